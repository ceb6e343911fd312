"""How tasks that know nothing of each other get one new token for all.

The store between them need not be able to compare and set. So who needs a token writes a claim, lets it settle, and mints
only if its claim is the last one written; the others wait for the token. No time of another host is trusted: a claim is
stale when this task has watched it for a while without a change, and a token that came while this task watched is new,
whatever its time of expiry looks like here.

What is done when is decided here, in generators that yield steps; the transports take the steps, each in its way.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_zohocrm.client.oauth import TOKEN_CALL, Token
from airflow_provider_zohocrm.client.tokens import (
    PROCESS_TOKENS,
    SwappingTokenStore,
    claim_name,
    json_object,
    token_name,
    token_of,
    token_text,
    usable,
)
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoCRMError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
    ZohoUntrustedHostError,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_zohocrm.client.retry import RetryPolicy
    from airflow_provider_zohocrm.client.tokens import TokenStore

log = logging.getLogger(__name__)

MINT_TIMEOUT = 30.0
"""Seconds for one request to the token endpoint: others must not take the claim for stale meanwhile."""

# All in seconds.
_SETTLE = 1.5
_LONGEST_SETTLE = 15.0
_POLL = 0.5
_LONGEST_POLL = 3.0
_BEAT = 10.0
_STALE = 40.0
_THROTTLED = 60.0
# Zoho's window is 10 minutes (reference sheet §1.5).
_PATIENCE = 660.0
_UNSHARED = 300.0

_FAILURES = 3
# What one task's failure to get a token may be for those who waited for it.
_FAILED = {
    kind.__name__: kind
    for kind in (
        ZohoAuthenticationError,
        ZohoServerError,
        ZohoTokenThrottledError,
        ZohoTransportError,
        ZohoUntrustedHostError,
    )
}


@dataclass(frozen=True, slots=True)
class Ask:
    """Call a function of the store; it may block, and may raise anything."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Have a token masked in logs, before anything else is done with it."""

    value: str


@dataclass(frozen=True, slots=True)
class Mint:
    """Send one request to the token endpoint; the answer is a :class:`Token`, or the package's error."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


Step = Ask | Tell | Mint | Pause
T = TypeVar("T")
Steps = Generator[Step, Any, T]

# Until when a process keeps its tokens to itself, because their store has failed.
_unshared: dict[str, float] = {}
_warned: set[str] = set()


class HeldToken:
    """The token that a transport holds, and how it gets another one.

    :param store: where tokens are shared.
    :param key: hash of the credentials.
    :param policy: how often a mint is repeated.
    """

    def __init__(self, store: TokenStore, key: str, policy: RetryPolicy) -> None:
        self._store = store
        self._key = key
        self._policy = policy
        self._token: Token | None = None
        self._told: set[str] = set()
        self._early = random.uniform(0.8, 1.2)  # noqa: S311  # no secret

    def usable(self, refused: Collection[str]) -> Token | None:
        """Return the token, if it may be used.

        :param refused: values of tokens that Zoho has just refused.
        """
        return usable(self._token, refused, time.time(), self._early)

    def another(self, refused: Collection[str]) -> Steps[Token]:
        """Get a token, and hold it.

        :param refused: values of tokens that Zoho has just refused.
        :raises ZohoCRMError: why none can be had; the call that needs it was not sent, and asks no more.
        """
        search = Renewal(
            self._store,
            self._key,
            self._policy,
            refused=refused,
            early=self._early,
            told=self._told,
            now=time.time,
            clock=time.monotonic,
        )
        try:
            self._token = yield from search.find()
        except ZohoCRMError as error:
            error.exhausted = True
            error.sent = False
            raise
        return self._token


class Renewal:
    """One search for a token that may be used: a stored one, one another task is getting, or a new one.

    :param store: where the token is kept.
    :param key: hash of the credentials.
    :param policy: how often a mint is repeated; with no retries, or none that wait for a minute, a throttled
        one is not waited for either.
    :param refused: values of tokens that Zoho has just refused.
    :param early: factor on the 5 minutes before its end at which a token is replaced.
    :param told: tokens that are masked already; it grows.
    :param now: returns the Unix time, of this host.
    :param clock: returns seconds that only ever grow.
    :param uniform: returns a random number between two.
    """

    def __init__(
        self,
        store: TokenStore,
        key: str,
        policy: RetryPolicy,
        *,
        refused: Collection[str] = (),
        early: float = 1.0,
        told: set[str] | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._store = store
        self._key = key
        self._policy = policy
        self._refused = refused
        self._early = early
        self._now = now
        self._clock = clock
        self._uniform = uniform
        self._told = told if told is not None else set()
        # The stored token as it was when the search began.
        self._began_with: str | None = None
        self._has_begun = False
        self._id = uuid.uuid4().hex
        self._numbers = count(1)
        self._mine = ""
        self._others: str | None = None
        self._unchanged = 0.0
        self._waited = 0.0
        self._poll = _POLL

    def find(self) -> Steps[Token]:
        """Return a token that may be used.

        :raises ZohoCRMError: why none can be had; also what another task was told that this one waited for.
        """
        if self._store is PROCESS_TOKENS:
            return (yield from self._search())
        failure: Exception | None = None
        for failures in count(1):
            if self._clock() < _unshared.get(self._key, float("-inf")) or failures > _FAILURES:
                break
            try:
                return (yield from self._search())
            except _StoreError as error:
                # It may have been a lost race: Airflow 2.11 on PostgreSQL refuses one of two that write a new Variable.
                failure = error.reason
                yield self._pause(failures)
        if failure is not None:
            self._keep_to_itself(failure)
        return (yield from self._over_memory().find())

    def _search(self) -> Steps[Token]:
        while True:
            token = yield from self._stored()
            if token is not None:
                return token
            begun = self._clock()
            claim = yield from self._read(claim_name(self._key))
            if self._is_held(claim):
                yield from self._wait()
            elif (yield from self._claim(claim, begun)):
                token = yield from self._mint()
                if token is not None:
                    return token

    def _stored(self) -> Steps[Token | None]:
        text = yield from self._read(token_name(self._key))
        if not self._has_begun:
            self._has_begun, self._began_with = True, text
        token = token_of(text)
        if token is None:
            return None
        yield from self._tell(token)
        if token.value in self._refused:
            return None
        now = self._now()
        new = text != self._began_with
        if new or self._refused:
            # New, or at least not refused yet: both is worth more than a time that another host's clock gave.
            return replace(token, expires_at=now + token.life, new=new)
        # The clock that gave the time may have been ahead of this one.
        token = replace(token, expires_at=min(token.expires_at, now + token.life))
        return token if token.is_usable(now, self._early) else None

    def _tell(self, token: Token) -> Steps[None]:
        if token.value not in self._told:
            yield Tell(token.value)
            self._told.add(token.value)

    def _is_held(self, claim: str | None) -> bool:
        """Tell whether another task is getting a token.

        :raises ZohoCRMError: if it has just failed to.
        """
        fields = json_object(claim)
        watched = self._others is not None
        if claim != self._others:
            self._others, self._unchanged = claim, 0.0
            kind = _FAILED.get(str(fields.get("failed")))
            if watched and kind is not None:
                raise kind(f"Another task that needs the same access token was told: {fields.get('text')}")
        others = fields.get("state") == "minting" and fields.get("by") != self._id
        return others and self._unchanged < _STALE

    def _wait(self) -> Steps[None]:
        if self._waited > (_PATIENCE if self._policy.longest >= _THROTTLED else 0) + _STALE:
            raise ZohoTokenThrottledError(
                f"{TOKEN_CALL}: other tasks have been trying for {self._waited / 60:.0f} minutes to get the access token "
                "that this one needs, too. Zoho mints 10 tokens in 10 minutes; their logs tell what it answered."
            )
        pause = self._pause(self._poll)
        self._poll = min(self._poll * 1.5, _LONGEST_POLL)
        self._waited += pause.seconds
        self._unchanged += pause.seconds
        yield pause

    def _claim(self, seen: str | None, begun: float) -> Steps[bool]:
        """Say that this task is getting a token, and tell whether that stands."""
        name = claim_name(self._key)
        mine = self._claim_text()
        if isinstance(self._store, SwappingTokenStore):
            won = yield from self._ask(self._store.swap, name, seen, mine)
        else:
            yield from self._ask(self._store.write, name, mine)
            # Who took long to write may have written over a claim that had settled: it gives that task time to mint.
            settle = min(max(_SETTLE, 4 * (self._clock() - begun)), _LONGEST_SETTLE)
            yield self._pause(settle)
            found = yield from self._read(name)
            if found == seen:
                raise _StoreError(LookupError("what was written cannot be read"))
            won = found == mine
        if won:
            self._mine = mine
        return bool(won)

    def _mint(self) -> Steps[Token | None]:
        """Mint for all; None if the claim is lost meanwhile."""
        begun = self._waited
        for attempt in count(1):
            # Another task may have been quicker: while the claim settled, or because it took it for stale.
            token = yield from self._stored()
            if token is None:
                try:
                    token = yield Mint()
                except ZohoCRMError as error:
                    pause = self._pause_after(error, attempt, self._waited - begun)
                    if pause is None:
                        final = attempt > 1 or not self._policy.is_retryable(error, TOKEN_CALL)
                        yield from self._release(error if final else None)
                        raise
                    log.warning("No access token yet, next try in %.1f s: %s", pause, error)
                    if not (yield from self._hold(pause)):
                        return None
                    continue
                yield from self._tell(token)
                yield from self._save(token)
            break
        yield from self._release()
        return token

    def _pause_after(self, error: ZohoCRMError, attempt: int, waited: float) -> float | None:
        """Decide the seconds until the next try, or None for no other."""
        if isinstance(error, ZohoTokenThrottledError):
            patient = self._policy.retries and self._policy.longest >= _THROTTLED
            return _THROTTLED if patient and waited < _PATIENCE else None
        if attempt > self._policy.retries or not self._policy.is_retryable(error, TOKEN_CALL):
            return None
        return self._policy.wait(error, attempt, TOKEN_CALL)

    def _hold(self, seconds: float) -> Steps[bool]:
        """Wait with the claim kept fresh, or until there is a token; tell whether the claim still stands."""
        while (yield from self._stored()) is None and seconds > 0:
            pause = min(seconds, _BEAT)
            yield Pause(pause)
            seconds -= pause
            self._waited += pause
            claim = self._claim_text()
            if not (yield from self._replace_mine(claim)):
                return False
            self._mine = claim
        return True

    def _save(self, token: Token) -> Steps[None]:
        name, text = token_name(self._key), token_text(token)
        for failures in count(1):
            error = yield from self._written_error(name, text)
            if error is None:
                return
            if failures == _FAILURES:
                self._keep_to_itself(error)
                PROCESS_TOKENS.write(name, text)
                return
            yield self._pause(failures)

    def _written_error(self, name: str, text: str) -> Steps[Exception | None]:
        try:
            yield from self._ask(self._store.write, name, text)
        except _StoreError as error:
            return error.reason
        return None

    def _release(self, error: ZohoCRMError | None = None) -> Steps[None]:
        """Give the claim up; those who wait are told the error, so that they do not all run into it one by one."""
        fields = {"state": "released", "by": self._id}
        if type(error).__name__ in _FAILED:
            fields |= {"failed": type(error).__name__, "text": str(error)[:1000]}
        try:
            yield from self._replace_mine(json.dumps(fields))
        except _StoreError:
            log.debug("The claim on the access token could not be given up; it goes stale by itself")

    def _replace_mine(self, text: str) -> Steps[bool]:
        name = claim_name(self._key)
        if isinstance(self._store, SwappingTokenStore):
            return bool((yield from self._ask(self._store.swap, name, self._mine, text)))
        if (yield from self._read(name)) != self._mine:
            return False
        yield from self._ask(self._store.write, name, text)
        return True

    def _claim_text(self) -> str:
        return json.dumps({"state": "minting", "by": self._id, "number": next(self._numbers)})

    def _ask(self, function: Callable[..., Any], *args: Any) -> Steps[Any]:
        try:
            return (yield Ask(function, args))
        except Exception as error:  # noqa: BLE001  # whatever the store has: a token can always be minted
            # Without its cause, whose text may quote the statement that failed, and with it the token.
            raise _StoreError(error) from None

    def _read(self, name: str) -> Steps[str | None]:
        text = yield from self._ask(self._store.read, name)
        # Stores of other makers, such as Redis, return bytes.
        found = text.decode(errors="replace") if isinstance(text, bytes) else text
        if found is not None and not isinstance(found, str):
            raise _StoreError(TypeError("what was read is no text"))
        return found

    def _pause(self, seconds: float) -> Pause:
        return Pause(seconds * self._uniform(0.8, 1.2))

    def _keep_to_itself(self, reason: Exception) -> None:
        _unshared[self._key] = self._clock() + _UNSHARED
        kind = type(self._store).__name__
        if kind not in _warned:
            _warned.add(kind)
            log.warning(
                "Zoho's access token cannot be shared through %s (%s); this process keeps its own. "
                "Zoho mints 10 tokens in 10 minutes for all processes together.",
                kind,
                type(reason).__name__,
            )

    def _over_memory(self) -> Renewal:
        return Renewal(
            PROCESS_TOKENS,
            self._key,
            self._policy,
            refused=self._refused,
            early=self._early,
            told=self._told,
            now=self._now,
            clock=self._clock,
            uniform=self._uniform,
        )


class _StoreError(Exception):
    """Raised where the store has raised something."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(type(reason).__name__)
        self.reason = reason


def drive(steps: Steps[T], perform: Callable[[Step], Any]) -> T:
    """Take the steps of a generator until it returns.

    :param perform: takes one step and returns its answer.
    """
    error: Exception | None = None
    answer: Any = None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        answer = error = None
        try:
            answer = perform(step)
        except Exception as raised:  # noqa: BLE001  # the generator decides about it
            error = raised
