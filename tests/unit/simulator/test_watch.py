from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.wire import Zoho

WATCH = "/crm/v8/actions/watch"


class Listener:
    """An address on loopback, and what was posted to it."""

    def __init__(self) -> None:
        received: queue.Queue[dict[str, Any]] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/notify"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> dict[str, Any]:
        return self.received.get(timeout=10)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


def channel(
    url: str = "http://127.0.0.1:1/x", channel_id: Any = "1000000068001", **more: Any
) -> dict[str, Any]:
    return {"channel_id": channel_id, "events": ["Leads.all"], "notify_url": url, "token": "secret", **more}


def subscribe(zoho: Zoho, *channels: dict[str, Any]) -> Any:
    answer = zoho.post(WATCH, {"watch": list(channels)})
    assert answer.status_code == 201, answer.text
    return answer.json()["watch"]


def in_hours(zoho: Zoho, hours: float) -> str:
    return zoho.simulator.state.clock.iso(zoho.simulator.state.clock.now() + hours * 3600)


def test_create_list_and_expire(zoho: Zoho):
    (created,) = subscribe(zoho, channel(events=["Leads.create", "Deals.all"]))
    assert (created["code"], created["message"]) == (
        "SUCCESS",
        "Successfully subscribed for actions-watch of the given module",
    )
    sent = json.loads(zoho.simulator.requests[-1]["body"])["watch"][0]
    assert (sent["token"], sent["channel_id"]) == ("***", "1000000068001")
    assert [event["resource_name"] for event in created["details"]["events"]] == ["Deals", "Leads"]
    listed = zoho.get(WATCH).json()
    assert listed["info"] == {"per_page": 200, "count": 2, "page": 1, "more_records": False}
    assert [one["events"] for one in listed["watch"]] == [["Deals.all"], ["Leads.create"]]
    assert listed["watch"][0]["token"] == "secret"
    assert len(zoho.get(WATCH, {"module": "Deals"}).json()["watch"]) == 1
    assert zoho.get(WATCH, {"channel_id": "1"}).status_code == 204
    zoho.simulator.advance(3601)
    zoho.login()
    assert zoho.get(WATCH).status_code == 204


@pytest.mark.parametrize(
    ("version", "hours", "status"), [("v3", 24, 201), ("v3", 25, 202), ("v4", 168, 201), ("v8", 169, 202)]
)
def test_life_of_a_channel(zoho: Zoho, version: str, hours: int, status: int):
    body = {"watch": [channel(channel_expiry=in_hours(zoho, hours))]}
    answer = zoho.post(f"/crm/{version}/actions/watch", body)
    assert answer.status_code == status
    if status == 202:
        assert answer.json()["watch"][0]["details"]["api_name"] == "channel_expiry"


def test_update_and_change(zoho: Zoho):
    subscribe(zoho, channel())
    answer = zoho.put(WATCH, {"watch": [channel(events=["Deals.edit"], token="new")]})
    assert answer.status_code == 200
    assert answer.json()["watch"][0]["message"] == "Successfully updated the subscribe details"
    (listed,) = zoho.get(WATCH).json()["watch"]
    assert (listed["events"], listed["token"]) == (["Deals.edit"], "new")
    patch = {
        "channel_id": "1000000068001",
        "events": ["Deals.edit", "Leads.delete"],
        "channel_expiry": in_hours(zoho, 24),
    }
    assert zoho.call("PATCH", WATCH, json={"watch": [patch]}).status_code == 200
    assert {one["resource_name"] for one in zoho.get(WATCH).json()["watch"]} == {"Deals", "Leads"}
    gone = {"channel_id": "1000000068001", "events": ["Deals.edit"], "_delete_events": True}
    answer = zoho.call("PATCH", WATCH, json={"watch": [gone]})
    assert answer.json()["watch"][0]["message"] == "Successfully removed the subscribe details"
    assert [one["events"] for one in zoho.get(WATCH).json()["watch"]] == [["Leads.delete"]]


def test_delete(zoho: Zoho):
    subscribe(zoho, channel(), channel(channel_id="2"))
    answer = zoho.delete(WATCH, {"channel_ids": "1000000068001,3"})
    assert answer.status_code == 207
    good, bad = answer.json()["watch"]
    assert (good["message"], good["details"]["channel_id"]) == (
        "Successfully un-subscribed from actions-watch",
        "1000000068001",
    )
    assert (bad["code"], bad["details"]) == ("NOT_SUBSCRIBED", {"channel_id": "3"})
    assert zoho.delete(WATCH, {"channel_ids": "3"}).status_code == 400
    assert zoho.delete(WATCH).json()["code"] == "REQUIRED_PARAM_MISSING"
    assert [one["channel_id"] for one in zoho.get(WATCH).json()["watch"]] == ["2"]


@pytest.mark.parametrize(
    ("change", "code", "name"),
    [
        ({"channel_id": None}, "MANDATORY_NOT_FOUND", "channel_id"),
        ({"channel_id": "abc"}, "INVALID_DATA", "channel_id"),
        ({"events": None}, "MANDATORY_NOT_FOUND", "events"),
        ({"events": []}, "INVALID_DATA", "events"),
        ({"events": ["Leads.shrink"]}, "INVALID_DATA", "events"),
        ({"events": ["Nothing.all"]}, "INVALID_DATA", "events"),
        ({"notify_url": None}, "MANDATORY_NOT_FOUND", "notify_url"),
        ({"notify_url": "somewhere"}, "INVALID_DATA", "notify_url"),
        ({"token": "x" * 51}, "INVALID_DATA", "token"),
        ({"channel_expiry": "tomorrow"}, "INVALID_DATA", "channel_expiry"),
    ],
)
def test_errors(zoho: Zoho, change: dict[str, Any], code: str, name: str):
    answer = zoho.post(WATCH, {"watch": [channel(), {**channel(), **change}]})
    assert answer.status_code == 207
    error = answer.json()["watch"][1]
    assert (error["code"], error["details"]["api_name"]) == (code, name)
    assert error["details"]["json_path"] == f"$.watch[1].{name}"
    assert zoho.post(WATCH, {"watch": [{**channel(), **change}]}).status_code == 202


def test_bodies_and_unknown_channels(zoho: Zoho):
    assert zoho.post(WATCH, {}).json()["code"] == "MANDATORY_NOT_FOUND"
    assert zoho.post(WATCH, {"watch": []}).json()["code"] == "INVALID_DATA"
    answer = zoho.put(WATCH, {"watch": [channel()]})
    assert (answer.status_code, answer.json()["watch"][0]["code"]) == (202, "NOT_SUBSCRIBED")


def test_one_post_per_change(zoho: Zoho, listener: Listener):
    subscribe(zoho, channel(listener.url))
    lead = next(iter(zoho.simulator.table("Leads")))
    records = [
        {"Last_Name": "New", "Company": "x", "External_Key": "watch-1"},
        {"Last_Name": "Known", "Company": "x", "External_Key": lead["External_Key"]},
    ]
    results = zoho.post("/crm/v8/Leads/upsert", {"data": records}).json()["data"]
    ids = [one["details"]["id"] for one in results]
    inserted, updated = listener.next(), listener.next()
    assert (inserted["operation"], inserted["ids"]) == ("insert", [ids[0]])
    assert (updated["operation"], updated["ids"]) == ("update", [lead["id"]])
    assert updated["affected_fields"] == [{lead["id"]: ["Company", "External_Key", "Last_Name"]}]
    assert (updated["module"], updated["channel_id"], updated["token"]) == (
        "Leads",
        "1000000068001",
        "secret",
    )
    zoho.delete("/crm/v8/Leads", {"ids": ids[0]})
    assert (listener.next()["operation"], listener.received.empty()) == ("delete", True)
    assert [entry["body"]["operation"] for entry in zoho.simulator.notifications] == [
        "insert",
        "update",
        "delete",
    ]


def test_only_what_was_subscribed_is_told(zoho: Zoho, listener: Listener):
    subscribe(zoho, channel(listener.url, events=["Campaigns.edit"]))
    made = zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "a"}]}).json()["data"][0]["details"][
        "id"
    ]
    zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "a", "Company": "b"}]})
    zoho.put(f"/crm/v8/Campaigns/{made}", {"data": [{"Status": "Active"}]})
    assert listener.next()["affected_fields"] == [{made: ["Status"]}]
    assert listener.received.empty()


def test_nothing_leaves_loopback(zoho: Zoho, listener: Listener, monkeypatch: pytest.MonkeyPatch):
    import http.client

    asked: list[str] = []
    connect = http.client.HTTPConnection.connect

    def noted(self: http.client.HTTPConnection) -> None:
        asked.append(self.host)
        connect(self)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", noted)
    # One thread sends: when the second has arrived, the first was dealt with.
    subscribe(zoho, channel("http://crm.example.com/notify"), channel(listener.url, channel_id="2"))
    zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "a", "Company": "b"}]})
    listener.next()
    assert {entry["url"] for entry in zoho.simulator.notifications} == {
        "http://crm.example.com/notify",
        listener.url,
    }
    assert set(asked) == {"127.0.0.1"}
