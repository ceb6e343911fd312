"""Notifications: channels, and one POST to a loopback address per change (sheet §9)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.errors import ApiError, invalid_param, required_param
from airflow_provider_zohocrm.simulator.outgoing import host_of, post
from airflow_provider_zohocrm.simulator.paging import whole_number
from airflow_provider_zohocrm.simulator.validation import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_zohocrm.simulator.modules import Module
    from airflow_provider_zohocrm.simulator.state import State

DEFAULT_LIFE = 3_600
DAY = 86_400
MAX_TOKEN = 50
MAX_IDS = 100
"""Ids in one notification: a bulk write changes thousands at once."""
EVENTS = {"create": "insert", "edit": "update", "delete": "delete"}
"""Event of a channel and ``operation`` of its notification."""


@dataclass
class Channel:
    """A subscription to changes of modules."""

    id: str
    events: list[str]
    url: str
    token: str | None
    expires: float
    related: bool = False
    values: bool = False
    """Notifications carry the values that changed."""
    condition: Any = None


class Watch:
    """The channels of the organisation."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.channels: dict[str, Channel] = {}
        self.sent: list[dict[str, Any]] = []
        """What was sent, and whether it arrived."""
        # One thread: notifications arrive in the order of the changes.
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="notifications")

    def reset(self) -> None:
        """Forget all channels."""
        self.channels.clear()
        self.sent.clear()

    def close(self) -> None:
        """End the thread."""
        self._caller.shutdown(wait=False, cancel_futures=True)

    # --- sending -----------------------------------------------------------------------------------------------

    def changed(self, module: Module, operation: str, ids: Sequence[str], fields: Sequence[str] = ()) -> None:
        """Tell the channels of a change.

        :param module: where.
        :param operation: insert, update or delete.
        :param ids: the records.
        :param fields: names of the fields that were written.
        """
        if not ids:
            return
        now = self.state.clock.now()
        wanted = {f"{module.api_name}.all"}
        wanted |= {f"{module.api_name}.{event}" for event, name in EVENTS.items() if name == operation}
        for channel in list(self.channels.values()):
            if channel.expires <= now or not wanted & set(channel.events):
                continue
            for start in range(0, len(ids), MAX_IDS):
                part = list(ids[start : start + MAX_IDS])
                body = {
                    "server_time": int(now * 1000),
                    "query_params": {},
                    "module": module.api_name,
                    "resource_uri": f"https://www.zohoapis.com/crm/v8/{module.api_name}",
                    "ids": part,
                    "affected_fields": [{one: list(fields)} for one in part] if operation == "update" else [],
                    "operation": operation,
                    "channel_id": channel.id,
                    "token": channel.token,
                }
                self._caller.submit(self._send, channel.url, body)

    def _send(self, url: str, body: dict[str, Any]) -> None:
        # Noted before it is sent: who was notified finds it here. Nothing is sent to other hosts than loopback.
        entry: dict[str, Any] = {"url": url, "body": body, "status": None}
        self.sent.append(entry)
        entry["status"] = post(url, body)

    # --- channels ----------------------------------------------------------------------------------------------

    def create(self, call: Call) -> Answer:
        """``POST /crm/{v}/actions/watch``."""

        def one(item: dict[str, Any], path: str) -> dict[str, Any]:
            channel_id = self._channel_id(item, path)
            channel = Channel(
                channel_id,
                self._events(item, path),
                self._url(item, path),
                self._token(item, path),
                self._expiry(item, path, call),
                bool(item.get("notify_on_related_action", False)),
                bool(item.get("return_affected_field_values", False)),
                item.get("notification_condition"),
            )
            self.channels[channel_id] = channel
            message = "Successfully subscribed for actions-watch of the given module"
            return self._success(message, {"events": self._shown_events(channel)})

        return self._each(call, one, 201)

    def replace(self, call: Call) -> Answer:
        """``PUT /crm/{v}/actions/watch``: the whole channel."""

        def one(item: dict[str, Any], path: str) -> dict[str, Any]:
            channel = self._known(item, path)
            channel.events = self._events(item, path)
            channel.url = self._url(item, path)
            channel.token = self._token(item, path)
            channel.expires = self._expiry(item, path, call)
            message = "Successfully updated the subscribe details"
            return self._success(message, {"events": self._shown_events(channel)})

        return self._each(call, one, 200)

    def change(self, call: Call) -> Answer:
        """``PATCH /crm/{v}/actions/watch``: some keys, or with ``_delete_events`` some events fewer."""

        def one(item: dict[str, Any], path: str) -> dict[str, Any]:
            channel = self._known(item, path)
            if item.get("_delete_events") is True:
                gone = set(self._events(item, path))
                channel.events = [event for event in channel.events if event not in gone]
                if not channel.events:
                    del self.channels[channel.id]
                message = "Successfully removed the subscribe details"
                return self._success(message, {"channel_id": channel.id})
            if "events" in item:
                channel.events = self._events(item, path)
            if "notify_url" in item:
                channel.url = self._url(item, path)
            if "token" in item:
                channel.token = self._token(item, path)
            if "channel_expiry" in item:
                channel.expires = self._expiry(item, path, call)
            message = "Successfully updated the subscribe details"
            return self._success(message, {"events": self._shown_events(channel)})

        return self._each(call, one, 200)

    def show(self, call: Call) -> Answer:
        """``GET /crm/{v}/actions/watch``."""
        now = self.state.clock.now()
        wanted, module = call.query.get("channel_id"), call.query.get("module")
        found = []
        for channel in self.channels.values():
            if channel.expires <= now or (wanted is not None and channel.id != wanted):
                continue
            modules = {event.partition(".")[0] for event in channel.events}
            found += [
                self._shown(channel, name) for name in sorted(modules) if module is None or name == module
            ]
        count = whole_number(call, "per_page", 200, 200)
        number = whole_number(call, "page", 1)
        part = found[(number - 1) * count : number * count]
        if not part:
            return Answer(204)
        info = {"per_page": count, "count": len(part), "page": number}
        return Answer(200, {"watch": part, "info": {**info, "more_records": number * count < len(found)}})

    def remove(self, call: Call) -> Answer:
        """``DELETE /crm/{v}/actions/watch?channel_ids=``."""
        ids = [part.strip() for part in call.query.get("channel_ids", "").split(",") if part.strip()]
        if not ids:
            raise required_param("channel_ids", self.state.options.required_param_style)
        if not all(one.isdigit() for one in ids):
            raise invalid_param("channel_ids")
        results = []
        for channel_id in ids:
            channel = self.channels.pop(channel_id, None)
            if channel is None:
                results.append(_not_subscribed(channel_id, None).element(json_path=False))
                continue
            first = self._shown_events(channel)[0]
            details = {name: first[name] for name in ("resource_uri", "resource_id", "channel_id")}
            results.append(self._success("Successfully un-subscribed from actions-watch", details))
        return _answer(results, 200, bad=400)

    # --- parts of a channel ------------------------------------------------------------------------------------

    def _each(self, call: Call, one: Callable[[dict[str, Any], str], dict[str, Any]], good: int) -> Answer:
        items = call.json().get("watch")
        if items is None:
            raise ApiError(400, "MANDATORY_NOT_FOUND", "required field not found", {"api_name": "watch"})
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            details = {"expected_data_type": "jsonarray", "api_name": "watch"}
            raise ApiError(400, "INVALID_DATA", "invalid data", details)

        def treat(number: int, item: dict[str, Any]) -> dict[str, Any]:
            try:
                return one(item, f"$.watch[{number}]")
            except RecordError as error:
                return error.element(json_path=call.rank > 2)

        return _answer([treat(number, item) for number, item in enumerate(items)], good, bad=202)

    @staticmethod
    def _success(message: str, details: dict[str, Any]) -> dict[str, Any]:
        return {"code": "SUCCESS", "details": details, "message": message, "status": "success"}

    def _known(self, item: dict[str, Any], path: str) -> Channel:
        channel_id = self._channel_id(item, path)
        channel = self.channels.get(channel_id)
        if channel is None or channel.expires <= self.state.clock.now():
            raise _not_subscribed(channel_id, f"{path}.channel_id")
        return channel

    @staticmethod
    def _channel_id(item: dict[str, Any], path: str) -> str:
        value = item.get("channel_id")
        if value is None:
            raise _missing("channel_id", path)
        if isinstance(value, bool) or not str(value).isdigit() or len(str(value)) > 19:
            raise _invalid("channel_id", path, expected_data_type="bigint")
        return str(value)

    def _events(self, item: dict[str, Any], path: str) -> list[str]:
        events = item.get("events")
        if events is None:
            raise _missing("events", path)
        if not isinstance(events, list) or not events:
            raise _invalid("events", path, expected_data_type="jsonarray")
        for event in events:
            module, _, kind = str(event).partition(".")
            if module not in self.state.store.modules or kind not in {*EVENTS, "all"}:
                raise _invalid(
                    "events", path, supported_values=[f"<module>.{one}" for one in (*EVENTS, "all")]
                )
        return [str(event) for event in events]

    @staticmethod
    def _url(item: dict[str, Any], path: str) -> str:
        url = item.get("notify_url")
        if url is None:
            raise _missing("notify_url", path)
        if host_of(url) is None:
            raise _invalid("notify_url", path)
        return str(url)

    @staticmethod
    def _token(item: dict[str, Any], path: str) -> str | None:
        token = item.get("token")
        if token is not None and len(str(token)) > MAX_TOKEN:
            raise _invalid("token", path, maximum_length=MAX_TOKEN)
        return None if token is None else str(token)

    def _expiry(self, item: dict[str, Any], path: str, call: Call) -> float:
        now = self.state.clock.now()
        given = item.get("channel_expiry")
        if given is None:
            return now + DEFAULT_LIFE
        moment = parse_iso(str(given))
        # A day up to v3, a week from v4 on (sheet §9).
        longest = DAY if call.rank < 4 else 7 * DAY
        if moment is None or not now < moment <= now + longest + 1:
            raise _invalid("channel_expiry", path)
        return moment

    def _shown_events(self, channel: Channel) -> list[dict[str, Any]]:
        names = sorted({event.partition(".")[0] for event in channel.events})
        keys = ("channel_expiry", "resource_uri", "resource_id", "resource_name", "channel_id")
        return [{key: self._shown(channel, name)[key] for key in keys} for name in names]

    def _shown(self, channel: Channel, name: str) -> dict[str, Any]:
        module = self.state.store.modules[name]
        return {
            "notify_on_related_action": channel.related,
            "return_affected_field_values": channel.values,
            "channel_expiry": self.state.clock.iso(channel.expires),
            "resource_uri": f"https://www.zohoapis.com/crm/v8/{name}",
            "resource_id": module.module_id,
            "resource_name": name,
            "notify_url": channel.url,
            "channel_id": channel.id,
            "events": [event for event in channel.events if event.partition(".")[0] == name],
            "token": channel.token,
            "fields": None,
            "notification_condition": channel.condition,
        }


def _answer(results: list[dict[str, Any]], good: int, *, bad: int) -> Answer:
    failed = sum(result["status"] == "error" for result in results)
    status = good if not failed else bad if failed == len(results) else 207
    return Answer(status, {"watch": results})


def _missing(name: str, path: str) -> RecordError:
    return RecordError(
        "MANDATORY_NOT_FOUND", "required field not found", {"api_name": name}, f"{path}.{name}"
    )


def _invalid(name: str, path: str, **details: Any) -> RecordError:
    return RecordError("INVALID_DATA", "invalid data", {"api_name": name, **details}, f"{path}.{name}")


def _not_subscribed(channel_id: str, path: str | None) -> RecordError:
    message = "the given channel is not subscribed"
    return RecordError("NOT_SUBSCRIBED", message, {"channel_id": channel_id}, path)
