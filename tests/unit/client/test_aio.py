from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from airflow_provider_zohocrm.client import aio, retry
from airflow_provider_zohocrm.client.aio import AsyncTransport
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.client import AsyncZohoCRMClient
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore, token_name, token_text
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoCRMError,
    ZohoNotFoundError,
    ZohoRateLimitError,
    ZohoResponseError,
    ZohoScopeError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
    ZohoUntrustedHostError,
)

pytestmark = pytest.mark.asyncio
READ = Call("GET", "/crm/v8/Leads", {"fields": "id", "word": "a+b ü&"})
INSERT = Call("POST", "/crm/v8/Leads", json={"data": [{"Last_Name": "ü"}]}, repeatable=False)
OK = {"data": [{"id": "1306462000000888026"}]}
GOOD = (200, OK, {})


def refused(code, status=401):
    return (status, {"code": code, "details": {}, "message": "m", "status": "error"}, {})


TOO_MANY = refused("TOO_MANY_REQUESTS", 429)
INTERNAL = refused("INTERNAL_ERROR", 500)


async def send(transport, call=READ):
    async with transport:
        return await transport.send(call)


async def test_a_call_goes_out_as_from_the_synchronous_transport(wire, make_credentials):
    wire.script = [GOOD, GOOD]
    assert await send(wire.aio()) == OK
    assert wire.transport().send(READ) == OK
    first, second = wire.calls
    assert (first.method, first.path, first.query) == (second.method, second.path, second.query)
    assert first.query == READ.params
    token = wire.requests[0]
    assert (token.method, token.path, token.query) == ("POST", "/oauth/v2/token", {})
    assert token.form["refresh_token"] == make_credentials().refresh_token
    assert "Authorization" not in token.headers
    assert first.headers["Authorization"] == "Zoho-oauthtoken 1000.atoken-1"


async def test_a_body_is_json_with_its_content_type(wire):
    wire.script = [(201, OK, {})]
    await send(wire.aio(), INSERT)
    assert wire.calls[0].headers["Content-Type"] == "application/json"
    assert wire.calls[0].json == INSERT.json


@pytest.mark.parametrize("status", [204, 304])
async def test_an_empty_answer_is_none(wire, status):
    wire.script = [f"HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n".encode()]
    assert await send(wire.aio()) is None


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "AUTHENTICATION_FAILURE"])
@pytest.mark.parametrize("call", [READ, INSERT])
async def test_a_refused_token_is_replaced_once(wire, code, call):
    wire.script = [refused(code), GOOD]
    assert await send(wire.aio(), call) == OK
    assert wire.minted == 2
    assert [one.headers["Authorization"][-1] for one in wire.calls] == ["1", "2"]


async def test_a_token_refused_twice_is_an_error(wire, clock):
    wire.script = [refused("INVALID_TOKEN")] * 2
    with pytest.raises(ZohoAuthenticationError, match="INVALID_TOKEN"):
        await send(wire.aio())
    assert (wire.minted, len(wire.calls), clock.slept) == (2, 2, [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused("OAUTH_SCOPE_MISMATCH"), ZohoScopeError),
        (refused("RESOURCE_NOT_FOUND", 404), ZohoNotFoundError),
        (refused("INVALID_DATA", 400), ZohoAPIError),
    ],
)
async def test_a_lasting_refusal_is_not_repeated(wire, clock, answer, kind):
    wire.script = [answer]
    with pytest.raises(kind):
        await send(wire.aio())
    assert (wire.minted, len(wire.calls), clock.slept) == (1, 1, [])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(wire, status):
    wire.script = [(status, b"", {"Location": f"{wire.url}/stolen"})]
    with pytest.raises(ZohoUntrustedHostError):
        await send(wire.aio())
    assert [call.path for call in wire.calls] == ["/crm/v8/Leads"]


async def test_a_redirect_of_the_token_endpoint_is_not_followed(wire):
    wire.token_script = [(302, b"", {"Location": f"{wire.url}/stolen"})]
    with pytest.raises(ZohoUntrustedHostError):
        await send(wire.aio())
    assert [one.path for one in wire.requests] == ["/oauth/v2/token"]


@pytest.mark.parametrize(
    "api_domain", ["https://evil.io", "http://127.0.0.1.evil.io", "https://evil.io\\.zohoapis.com"]
)
async def test_nothing_is_sent_to_a_foreign_api_domain(wire, api_domain):
    token = {"access_token": "1000.atoken-1", "api_domain": api_domain, "expires_in": 3600}
    wire.token_script = [(200, token, {})]
    with pytest.raises(ZohoUntrustedHostError):
        await send(wire.aio(api_url=""))
    assert wire.calls == []


@pytest.mark.parametrize(
    ("answer", "waited"),
    [
        ((429, {}, {"Retry-After": "7"}), 7.0),
        ((429, {"code": "TOO_MANY_REQUESTS", "details": {"retry_after": 60}}, {}), 60.0),
        (TOO_MANY, 2.0),
        (INTERNAL, 2.0),
        ((502, b"<html>", {}), 2.0),
        ((200, b'{"data":[', {}), 2.0),
    ],
)
async def test_a_passing_failure_is_repeated_after_the_right_time(wire, clock, monkeypatch, answer, waited):
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: high)
    wire.script = [answer, GOOD]
    assert await send(wire.aio()) == OK
    assert clock.slept == [waited]


@pytest.mark.parametrize("fault", ["reset", "hang up", "cut"])
async def test_a_broken_answer_is_read_again(wire, clock, truncated, fault):
    wire.script = [truncated(OK) if fault == "cut" else fault, GOOD]
    assert await send(wire.aio()) == OK
    assert len(wire.calls) == 2
    # aiohttp itself may repeat a GET whose connection was closed, at once.
    assert len(clock.slept) == 1 or fault != "cut"


async def test_a_refused_connection_is_tried_again_even_for_an_insert(silent_wire, clock):
    clock.on_sleep = silent_wire.listen
    silent_wire.script = [GOOD, GOOD]
    store = silent_wire.stocked(clock)
    assert await send(silent_wire.aio(store=store), INSERT) == OK
    assert (len(silent_wire.calls), len(clock.slept)) == (1, 1)


@pytest.mark.parametrize("answer", [INTERNAL, "reset", "hang up", (201, b'{"data":[', {})])
async def test_an_insert_that_may_have_been_stored_is_not_repeated(wire, clock, answer):
    wire.script = [answer, GOOD]
    with pytest.raises((ZohoServerError, ZohoTransportError)):
        await send(wire.aio(), INSERT)
    assert (len(wire.calls), clock.slept) == (1, [])


async def test_an_insert_is_repeated_after_429(wire):
    wire.script = [TOO_MANY, GOOD]
    assert await send(wire.aio(), INSERT) == OK


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_longer_than_the_limit_is_not_begun(wire, clock, status):
    wire.script = [(status, {}, {"Retry-After": "3600"}), GOOD]
    with pytest.raises((ZohoRateLimitError, ZohoServerError)):
        await send(wire.aio())
    assert clock.slept == []


async def test_what_lasts_fails_after_the_retries(wire, clock):
    wire.script = [INTERNAL] * 5
    with pytest.raises(ZohoServerError):
        await send(wire.aio(retries=3))
    assert (len(wire.calls), len(clock.slept)) == (4, 3)


@pytest.mark.parametrize("fault", [(500, b"", {}), "reset"])
async def test_a_token_endpoint_that_stays_down_is_not_asked_more_often_than_the_policy_says(wire, fault):
    wire.token_script = [fault] * 50
    with pytest.raises((ZohoServerError, ZohoTransportError)):
        await send(wire.aio(retries=3))
    assert wire.minted == 4


async def test_a_throttled_mint_is_tried_again_every_minute(wire, clock):
    wire.token_script = [(200, {"error": "Access Denied", "status": "failure"}, {})] * 2
    wire.script = [GOOD]
    assert await send(wire.aio()) == OK
    assert (wire.minted, sum(clock.slept)) == (3, 120)


async def test_without_retries_a_throttled_mint_is_tried_once(wire, clock):
    wire.token_script = [(400, {"error": "Access Denied", "status": "failure"}, {})]
    with pytest.raises(ZohoTokenThrottledError):
        await send(wire.aio(retries=0))
    assert (wire.minted, clock.slept) == (1, [])


async def test_a_stored_token_that_is_refused_too_is_followed_by_a_new_one(wire, clock):
    store = wire.stocked(clock)
    transport = wire.aio(store=store)
    wire.script = [GOOD, refused("INVALID_TOKEN"), refused("INVALID_TOKEN"), GOOD]
    async with transport:
        await transport.send(READ)
        token = Token("1000.elsewhere", wire.url, clock.now - 3600, 3600)
        store.write(token_name(transport.credentials.token_key), token_text(token))
        assert await transport.send(READ) == OK
    assert [one.headers["Authorization"].split()[1] for one in wire.calls] == [
        "1000.atoken-stocked",
        "1000.atoken-stocked",
        "1000.elsewhere",
        "1000.atoken-1",
    ]


async def test_a_token_endpoint_that_does_not_answer_holds_the_claim_no_longer_than_others_wait_for_it(
    wire, clock, monkeypatch
):
    monkeypatch.setattr(aio, "MINT_TIMEOUT", 0.05)
    released = threading.Event()

    class Slow(list):
        def pop(self, _):
            released.wait(5)
            return (200, {}, {})

    wire.token_script = Slow([1])
    with pytest.raises(ZohoTransportError, match="oauth"):
        await send(wire.aio(retries=0))
    released.set()


async def test_coroutines_of_one_transport_mint_one_token(wire):
    wire.script = [GOOD] * 20
    async with wire.aio() as transport:
        answers = await asyncio.gather(*(transport.send(READ) for _ in range(20)))
    assert answers == [OK] * 20
    assert wire.minted == 1


async def test_both_transports_share_the_store(wire):
    store = MemoryTokenStore()
    wire.script = [GOOD, GOOD]
    wire.transport(store=store).send(READ)
    await send(wire.aio(store=store))
    assert wire.minted == 1


async def test_the_store_is_never_called_on_the_event_loop(wire):
    threads = []

    class Watching(MemoryTokenStore):
        def read(self, name):
            threads.append(threading.current_thread())
            return super().read(name)

        def write(self, name, text):
            threads.append(threading.current_thread())
            super().write(name, text)

        def swap(self, name, old, new):
            threads.append(threading.current_thread())
            return super().swap(name, old, new)

    wire.script = [GOOD]
    await send(wire.aio(store=Watching()))
    assert len(threads) == 6
    assert threading.current_thread() not in threads


async def test_a_token_is_told_before_its_first_use(wire):
    told = []

    async def tell(value):
        told.append((value, len(wire.calls)))

    wire.script = [GOOD]
    await send(wire.aio(on_token=tell))
    assert told == [("1000.atoken-1", 0)]


async def test_a_time_out_is_the_packages_own_error(wire, clock):
    released = threading.Event()

    class Slow(list):
        def pop(self, _):
            released.wait(5)
            return GOOD

    wire.script = Slow([1])
    transport = AsyncTransport(
        wire.credentials(), store=wire.stocked(clock), policy=retry.RetryPolicy(retries=0), timeout=0.1
    )
    with pytest.raises(ZohoTransportError, match="GET /crm/v8/Leads") as caught:
        await send(transport)
    released.set()
    assert caught.value.sent is True


async def test_use_outside_of_async_with_is_an_error(wire, clock):
    with pytest.raises(RuntimeError, match="async with"):
        await wire.aio(store=wire.stocked(clock)).send(READ)
    assert wire.requests == []


@pytest.mark.parametrize(
    "script",
    [[GOOD], [refused("INVALID_TOKEN")] * 2, [TOO_MANY, INTERNAL, GOOD], ["reset", (400, b"<html>", {})]],
)
async def test_no_secret_is_in_any_log_record_or_error(wire, caplog, secrets, script):
    wire.script = list(script)
    with caplog.at_level(logging.DEBUG):
        try:
            await send(wire.aio(retries=2))
        except ZohoCRMError:
            logging.getLogger("test").exception("failed")
    assert wire.calls
    assert not [secret for secret in secrets if secret in caplog.text]


async def test_a_job_is_read_through_the_asynchronous_client(wire):
    job = {"id": "5", "state": "IN PROGRESS"}
    wire.script = [(200, {"data": [job]}, {}), (200, {"data": []}, {})]
    async with wire.aio() as transport:
        client = AsyncZohoCRMClient(transport)
        assert await client.get_bulk_read_job(5) == job
        with pytest.raises(ZohoResponseError):
            await client.get_bulk_read_job("5")
    assert {call.path for call in wire.calls} == {"/crm/bulk/v8/read/5"}
