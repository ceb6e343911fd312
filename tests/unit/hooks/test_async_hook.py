from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.zoho import ACCESS_TOKEN, SECRETS, TOKEN, job, refusal

from airflow_provider_zohocrm.client.jobs import job_state
from airflow_provider_zohocrm.exceptions import (
    ZohoConfigurationError,
    ZohoNotFoundError,
    ZohoServerError,
    ZohoTransportError,
)
from airflow_provider_zohocrm.hooks import zohocrm
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook, ZohoCRMHook

STATUS = "/crm/bulk/v8/read/77"


async def look(*, times=1, **options):
    async with ZohoCRMAsyncHook(**options) as hook:
        return [await hook.get_bulk_read_job("77") for _ in range(times)][-1]


def test_making_an_async_hook_looks_nothing_up():
    hook = ZohoCRMAsyncHook("no_such_connection", api_version="v99", timeout=1.0, retries=0)
    assert hook.zohocrm_conn_id == "no_such_connection"


def test_the_connection_is_fetched_once_for_many_looks(zoho, monkeypatch):
    fetched = []
    fetch = zohocrm.async_connection

    async def counting(conn_id):
        fetched.append(conn_id)
        return await fetch(conn_id)

    monkeypatch.setattr(zohocrm, "async_connection", counting)
    zoho.on("GET", STATUS, job("77", "QUEUED"), job("77", "IN PROGRESS"), job("77", "COMPLETED", count=3))
    found = asyncio.run(look(times=3))
    assert job_state(found) == "completed"
    assert fetched == ["zohocrm_default"]
    assert (zoho.mints, len(zoho.calls)) == (1, 3)


def test_the_async_hook_shares_the_token_of_the_hook(zoho):
    zoho.on("GET", STATUS, job("77", "ADDED"))
    ZohoCRMHook().transport.token()
    asyncio.run(look())
    assert zoho.mints == 1


def test_api_version_of_the_async_hook_goes_before_the_connections(zoho):
    zoho.on("GET", "/crm/bulk/v2/read/77", job("77", "ADDED"))
    asyncio.run(look(api_version="v2"))
    assert zoho.asked == ["GET /crm/bulk/v2/read/77"]


def test_secrets_and_the_token_are_masked_without_blocking_the_loop(zoho, monkeypatch):
    masked = []

    async def keep(secret):
        masked.append(secret)

    monkeypatch.setattr(zohocrm, "async_mask_secret", keep)
    monkeypatch.setattr(zohocrm, "mask_secret", lambda _: pytest.fail("masked by the blocking function"))
    zoho.on("GET", STATUS, job("77", "ADDED"))
    asyncio.run(look())
    assert set(masked) == set(SECRETS)


def test_the_token_store_is_used_outside_of_the_event_loop(zoho, monkeypatch):
    from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS

    def outside(*_):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    for method in ("read", "write", "swap"):
        original = getattr(PROCESS_TOKENS, method)
        monkeypatch.setattr(PROCESS_TOKENS, method, lambda *given, to=original: (outside(), to(*given))[1])
    zoho.on("GET", STATUS, job("77", "ADDED"))
    asyncio.run(look())
    assert zoho.mints == 1


def test_errors_are_those_of_the_hook(zoho, connection):
    zoho.on("GET", STATUS, refusal(404, "RESOURCE_NOT_FOUND", resource="77"))
    with pytest.raises(ZohoNotFoundError, match="one day"):
        asyncio.run(look())
    connection(login="")
    with pytest.raises(ZohoConfigurationError, match="Client ID"):
        asyncio.run(look())


def test_a_refused_token_is_replaced(zoho):
    zoho.tokens({"json": TOKEN}, {"json": {**TOKEN, "access_token": "1000.second"}})
    zoho.on("GET", STATUS, refusal(401, "INVALID_TOKEN"), job("77", "ADDED"))
    asyncio.run(look())
    assert [one.headers["Authorization"].split()[1] for one in zoho.calls] == [ACCESS_TOKEN, "1000.second"]


def test_passing_failures_are_repeated_as_often_as_asked(zoho):
    zoho.on("GET", STATUS, {"status_code": 500, "text": ""}, {"text": '{"data": [{"id'}, job("77", "ADDED"))
    assert asyncio.run(look(retries=2))["state"] == "ADDED"
    zoho.on("GET", STATUS, {"status_code": 500, "text": ""})
    with pytest.raises(ZohoServerError):
        asyncio.run(look(retries=1))
    assert len(zoho.calls) == 3 + 2


def test_an_async_hook_that_was_not_entered_says_so(connection):
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(ZohoCRMAsyncHook().get_bulk_read_job("77"))


# --- shared by many ----------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch):
    """The sessions that were opened, and which of them are still."""
    from airflow_provider_zohocrm.client.aio import AsyncTransport

    sessions = []
    leave = AsyncTransport.__aexit__

    async def noted(self, *error):
        sessions.append(self._session)
        await leave(self, *error)

    monkeypatch.setattr(AsyncTransport, "__aexit__", noted)
    return sessions


@pytest.fixture
def fetched(monkeypatch):
    """The connections that were fetched; each takes some turns of the loop."""
    asked = []
    fetch = zohocrm.async_connection

    async def slow(conn_id):
        asked.append(conn_id)
        await asyncio.sleep(0.01)
        return await fetch(conn_id)

    monkeypatch.setattr(zohocrm, "async_connection", slow)
    return asked


def test_many_hooks_share_one_session_one_token_and_one_fetch_of_the_connection(zoho, opened, fetched):
    zoho.on("GET", STATUS, job("77", "ADDED"))

    async def run():
        await asyncio.gather(*(look(times=2) for _ in range(50)))

    asyncio.run(run())
    assert (zoho.mints, len(zoho.calls)) == (1, 100)
    assert fetched == ["zohocrm_default"]
    assert len(opened) == 1
    assert opened[0].closed


def test_the_session_stays_open_for_those_who_still_use_it(zoho, opened):
    zoho.on("GET", STATUS, job("77", "ADDED"))

    async def run():
        async with ZohoCRMAsyncHook() as staying:
            await look()
            assert opened == []
            return await staying.get_bulk_read_job("77")

    assert asyncio.run(run())["state"] == "ADDED"
    assert [session.closed for session in opened] == [True]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
def test_a_hook_that_is_cancelled_while_it_is_entered_harms_no_other(zoho, opened, fetched, turns):
    zoho.on("GET", STATUS, job("77", "ADDED"))

    async def run():
        first = asyncio.create_task(look())
        others = [asyncio.create_task(look()) for _ in range(5)]
        await asyncio.sleep(turns * 0.004)
        first.cancel()
        found = await asyncio.gather(*others)
        await asyncio.gather(first, return_exceptions=True)
        return found

    assert [one["state"] for one in asyncio.run(run())] == ["ADDED"] * 5
    assert fetched == ["zohocrm_default"]
    assert all(session is None or session.closed for session in opened)


def test_a_changed_connection_is_noticed_by_hooks_that_are_entered_later(zoho, connection, monkeypatch):
    zoho.on("GET", STATUS, job("77", "ADDED"))
    now = [1000.0]
    monkeypatch.setattr(zohocrm, "time", type("time", (), {"monotonic": staticmethod(lambda: now[0])}))

    async def run():
        async with ZohoCRMAsyncHook() as old:
            connection(login="1000.OTHER")
            async with ZohoCRMAsyncHook() as too_soon:
                assert too_soon._client.transport is old._client.transport
            now[0] += 31
            async with ZohoCRMAsyncHook() as new:
                assert new._client.transport.credentials.client_id == "1000.OTHER"
                await new.get_bulk_read_job("77")
            await old.get_bulk_read_job("77")

    asyncio.run(run())


def test_a_connection_that_could_not_be_fetched_is_asked_for_again(zoho, monkeypatch, connection):
    zoho.on("GET", STATUS, job("77", "ADDED"))

    async def run():
        with pytest.raises(Exception, match="zoho_late"):
            await look(zohocrm_conn_id="zoho_late")
        connection("zoho_late")
        return await look(zohocrm_conn_id="zoho_late")

    assert asyncio.run(run())["state"] == "ADDED"


def test_versions_and_connections_are_kept_apart(zoho, connection):
    connection("zoho_other", login="1000.OTHER")

    async def run():
        async with (
            ZohoCRMAsyncHook() as v8,
            ZohoCRMAsyncHook(api_version="v2") as v2,
            ZohoCRMAsyncHook("zoho_other") as other,
        ):
            return len({id(hook._client.transport) for hook in (v8, v2, other)})

    assert asyncio.run(run()) == 3


def test_over_a_real_socket_the_token_goes_in_the_documented_header_and_redirects_are_not_followed(
    connection,
):
    """The only test of the async hook with the real sending end of its transport; the simulator has more."""
    seen = []

    async def token(_request):
        return web.json_response({"access_token": "1000.real", "expires_in": 3600})

    async def status(request):
        seen.append(request.headers["Authorization"])
        if len(seen) == 2:
            raise web.HTTPFound("/elsewhere")
        return web.json_response(job("77", "COMPLETED", count=1))

    async def elsewhere(_request):
        seen.append("followed")
        return web.json_response({})

    async def run():
        application = web.Application()
        application.router.add_post("/oauth/v2/token", token)
        application.router.add_get(STATUS, status)
        application.router.add_get("/elsewhere", elsewhere)
        async with TestServer(application) as server:
            url = str(server.make_url("/"))
            connection(extra={"api_url": url, "accounts_url": url})
            found = await look(retries=0)
            with pytest.raises(Exception, match="redirect"):
                await look(retries=0)
            return found

    found = asyncio.run(run())
    assert found["result"]["count"] == 1
    assert seen == ["Zoho-oauthtoken 1000.real"] * 2


def test_no_connection_is_a_transport_error(connection):
    async def run():
        async with TestServer(web.Application()) as server:
            url = str(server.make_url("/"))
        connection(extra={"api_url": url, "accounts_url": url})
        await look(retries=0)

    with pytest.raises(ZohoTransportError, match="triggerer can reach") as failed:
        asyncio.run(run())
    assert failed.value.sent is False
