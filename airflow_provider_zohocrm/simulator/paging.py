"""Pages of a list: by number up to 2,000 records, by token up to 100,000 (sheet §2.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.errors import ApiError, ambiguous, pattern_not_matched

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.calls import Call
    from airflow_provider_zohocrm.simulator.clock import Clock
    from airflow_provider_zohocrm.simulator.modules import Row
    from airflow_provider_zohocrm.simulator.options import Options
    from airflow_provider_zohocrm.simulator.store import Selection, Store

MAX_PAGE = 200


@dataclass(frozen=True)
class Position:
    """Where a page token leads."""

    bound: str
    """Digest of everything the token is bound to."""
    after: tuple[int, ...] | None
    """Key behind which the page begins."""
    before: int
    """Records in the pages before."""
    page: int
    expires: float
    previous: str | None


@dataclass(frozen=True)
class Page:
    """The rows of a page and what is said about them."""

    rows: list[Row]
    info: dict[str, Any]


def whole_number(call: Call, name: str, default: int, most: int | None = None) -> int:
    """Read a positive whole number from the query.

    :param call: the request.
    :param name: name of the parameter.
    :param default: value where it is absent.
    :param most: the highest value allowed.
    """
    text = call.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < 1 or (most is not None and int(text) > most):
        raise pattern_not_matched(name)
    return int(text)


class Pager:
    """Serves pages and keeps the tokens it gave out."""

    def __init__(self, clock: Clock, options: Options, store: Store) -> None:
        self.clock = clock
        self.options = options
        self.store = store
        self._tokens: dict[str, Position] = {}
        self._given = 0
        self._keys: dict[tuple[Any, ...], tuple[int, ...]] = {}
        self._keys_version = -1

    def reset(self) -> None:
        """Forget all tokens."""
        self._tokens.clear()
        self._keys.clear()

    @staticmethod
    def _bound(call: Call) -> str:
        query = sorted((k, v) for k, v in call.query.items() if k not in {"page", "page_token"})
        since = call.headers.get("if-modified-since", "")
        return hashlib.sha256(repr((call.path, query, since)).encode()).hexdigest()

    def _issue(self, position: Position) -> str:
        self._given += 1
        token = hashlib.sha256(f"{self._given}/{position.bound}".encode()).hexdigest()[:48]
        self._tokens[token] = position
        return token

    def _take(self, call: Call, token: str) -> Position:
        position = self._tokens.get(token)
        if position is None or position.bound != self._bound(call):
            message = "The page_token given seems to be invalid or input param is added or altered or deleted"
            raise ApiError(400, "TOKEN_BOUND_DATA_MISMATCH", message, {"param_name": "page_token"})
        if position.expires <= self.clock.now():
            details = {"api_name": "page_token", "json_path": "$.query.page_token"}
            raise ApiError(400, "EXPIRED_VALUE", "Page token expired", details)
        limit = self.options.page_token_limit
        if position.before >= limit:
            message = f"You can only get upto {limit} records using page_token param"
            raise ApiError(400, "PAGINATION_LIMIT_EXCEEDED", message, {"param_name": "page_token"})
        return position

    def check_page(self, call: Call, before: int) -> None:
        """Refuse a page by number behind the reach of `page`.

        :param call: the request.
        :param before: records in the pages before.
        """
        limit = self.options.discrete_limit
        if before >= limit and before > 0 and (not call.old or self.options.v2_page_limit):
            message = f"You can only get the first {limit} records without using page_token param"
            raise ApiError(400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED", message, {"limit": limit})

    def _numbered(self, selection: Selection, before: int, count: int) -> list[Row]:
        """Read a page by its number; where the page before was read, go on from its last row instead of counting."""
        if self._keys_version != self.store.version:
            self._keys.clear()
            self._keys_version = self.store.version
        after = self._keys.get((selection, before))
        rows = self.store.rows(selection, after=after, offset=0 if after else before, limit=count + 1)
        if len(rows) > count:
            self._keys[(selection, before + count)] = self.store.key_of(selection, rows[count - 1])
        return rows

    def page(self, call: Call, selection: Selection, *, tokens: bool = True) -> Page:
        """Read the page a request asks for.

        :param call: the request.
        :param selection: which rows, in which order.
        :param tokens: whether the call knows page tokens (from v3 on).
        """
        count = whole_number(call, "per_page", MAX_PAGE, MAX_PAGE)
        number = whole_number(call, "page", 1)
        token = call.query.get("page_token") if tokens else None
        if token is not None and "page" in call.query:
            raise ambiguous("page", "page_token")
        if token is None:
            before = (number - 1) * count
            self.check_page(call, before)
            before = max(0, before - self.options.page_overlap) if number > 1 else before
            position = None
            rows = self._numbered(selection, before, count)
        else:
            position = self._take(call, token)
            number, before = position.page, position.before
            rows = self.store.rows(selection, after=position.after, limit=count + 1)
        more = len(rows) > count
        rows = rows[:count]
        info: dict[str, Any] = {
            "call": False,
            "per_page": count,
            "count": len(rows),
            "page": number,
            "email": False,
        }
        info["more_records"] = more
        if tokens and rows:
            info.update(self._token_info(call, selection, rows, token, position, number, before, more))
        return Page(rows, info)

    def _token_info(
        self,
        call: Call,
        selection: Selection,
        rows: list[Row],
        token: str | None,
        position: Position | None,
        number: int,
        before: int,
        more: bool,
    ) -> dict[str, Any]:
        expires = self.clock.now() + self.options.page_token_life
        bound = self._bound(call)
        following = None
        if more and not (number == 1 and token is None and self.options.missing_page1_token):
            previous = token or self._issue(Position(bound, None, 0, 1, expires, None))
            key = self.store.key_of(selection, rows[-1])
            following = self._issue(Position(bound, key, before + len(rows), number + 1, expires, previous))
        return {
            "next_page_token": following,
            "previous_page_token": None if position is None else position.previous,
            "page_token_expiry": self.clock.iso(expires) if following else None,
        }
