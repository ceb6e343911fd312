"""No secret in a log record of whatever logger, an error with all local variables, a ``repr``, or what is handed on."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import requests
from support.leaks import CLIENT_SECRET, REFRESH_TOKEN, forms, leaks, with_locals
from support.running import context, render, run_to_end
from support.wrong_servers import answer, serving, token_answer

from airflow_provider_zohocrm import (
    ZohoBulkReadOperator,
    ZohoCRMHook,
    ZohoGetRecordsOperator,
    ZohoUpsertOperator,
)
from airflow_provider_zohocrm.client.client import AsyncZohoCRMClient
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.exceptions import ZohoCRMError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook
from airflow_provider_zohocrm.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GONE = "http://127.0.0.1:9"


class Planted:
    """A simulator with recognisable secrets, and what must not be found; it shows nothing of itself."""

    def __init__(self, simulator: Simulator, records: list[logging.LogRecord]) -> None:
        self.simulator = simulator
        self._records = records
        self._tokens: list[str] = []

    def check(self, *left: Any) -> None:
        """Search what a run has left, all log records so far, and the simulator's own log."""
        tokens = [*self._tokens, *self.simulator.state.tokens._live]
        lines = []
        for record in self._records:
            lines.append(f"{record.name} {record.getMessage()} {record.args!r}")
            if record.exc_info and record.exc_info[1]:
                lines.append(with_locals(record.exc_info[1]))
        texts = [*lines, json.dumps(self.simulator.requests, default=str)]
        texts += [with_locals(one) if isinstance(one, BaseException) else str(one) for one in left]
        assert leaks("\n".join(texts), [CLIENT_SECRET, REFRESH_TOKEN, *tokens]) == []

    def forget_logs(self) -> None:
        """Leave out the log records so far."""
        self._records.clear()

    def knows(self, token: str) -> None:
        """Look for a token, too, that the simulator has not minted."""
        self._tokens.append(token)


@pytest.fixture
def planted(connection: Any, caplog: pytest.LogCaptureFixture, no_waiting: Any) -> Iterator[Planted]:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "aiohttp", "asyncio", "requests", "tenacity", "airflow_provider_zohocrm"):
        caplog.set_level(logging.DEBUG, name)
    with Simulator({"Leads": 250}, job_polls=3) as simulator:
        simulator.state.tokens.client_secret = CLIENT_SECRET
        simulator.state.tokens.refresh_token = REFRESH_TOKEN
        extra = {"refresh_token": REFRESH_TOKEN, "accounts_url": simulator.url, "api_url": simulator.url}
        connection(login=simulator.client_id, password=CLIENT_SECRET, extra=extra)
        yield Planted(simulator, caplog.records)


def failure(run: Callable[[], Any]) -> BaseException:
    """Return the error that a run ends with."""
    with pytest.raises(ZohoCRMError) as caught:
        run()
    return caught.value


async def looked(**options: Any) -> Any:
    async with ZohoCRMAsyncHook(retries=0, **options) as hook:
        return await hook.get_bulk_read_job("1")


def look(**options: Any) -> Any:
    """Do what a trigger does, with the debugging of the event loop on."""
    return asyncio.run(looked(**options), debug=True)


CALLS = {
    "requests": lambda: ZohoCRMHook(retries=0).get_organization(),
    "a list": lambda: list(ZohoCRMHook(retries=0).get_records("Leads", "Last_Name")),
    "a write": lambda: ZohoCRMHook(retries=0).insert_records("Leads", [{"Last_Name": "A"}]),
    "aiohttp": look,
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return CALLS[request.param]


def test_the_search_finds_what_is_planted() -> None:
    for form in forms(CLIENT_SECRET):
        assert leaks(b"x" * 7 + form + b"y", [CLIENT_SECRET])
    assert leaks(
        logging.LogRecord("n", 10, "p", 1, "%s", (REFRESH_TOKEN,), None).getMessage(), [REFRESH_TOKEN]
    )

    try:
        given: dict[str, Any] = {}
        exec(compile("def run(secret): raise ValueError('x')", "elsewhere.py", "exec"), given)
        given["run"](CLIENT_SECRET)
    except ValueError as error:
        shown = with_locals(error)
    assert leaks(shown, [CLIENT_SECRET])


def test_operators_leave_no_secret(planted: Planted, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"Last_Name": "A", "Company": "B"}\n')
    for kind, options in (
        (ZohoGetRecordsOperator, {"output_path": f"{tmp_path}/a.jsonl"}),
        (ZohoUpsertOperator, {"input_path": str(source)}),
        (
            ZohoBulkReadOperator,
            {"output_path": f"{tmp_path}/a.csv", "deferrable": True, "poll_interval": 0.1},
        ),
    ):

        def make(kind: Any = kind, options: Any = options) -> Any:
            return render(kind(task_id="t", module="Leads", **options))

        task = context()
        result, deferrals = run_to_end(make, task)
        operator = make()
        fields = [getattr(operator, name) for name in operator.template_fields]
        handed_on = [[one.trigger, one.kwargs, one.events] for one in deferrals]
        planted.check(result, task["ti"].pushed, fields, handed_on, repr(operator), vars(operator))
    assert deferrals


def test_an_answer_that_is_refused_leaves_no_secret(planted: Planted, call: Callable[[], Any]) -> None:
    planted.simulator.add_fault("status", path="/crm/", count=None, status=500)
    planted.check(failure(call))


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset_before"},
        {"action": "truncate"},
        {"action": "redirect", "location": f"{GONE}/stolen"},
        {"action": "html", "status": 502},
        {"action": "status", "status": 401, "body": {"code": "OAUTH_SCOPE_MISMATCH"}},
        {"action": "status", "status": 401, "body": {"code": "INVALID_TOKEN"}},
        {"action": "status", "status": 200, "body": "no json"},
    ],
)
@pytest.mark.parametrize("path", ["/crm/", "/oauth/"])
def test_a_fault_leaves_no_secret(
    planted: Planted, call: Callable[[], Any], fault: dict[str, Any], path: str
) -> None:
    planted.simulator.add_fault(**fault, path=path, count=None)
    planted.check(failure(call))


@pytest.mark.parametrize("gone", ["api_url", "accounts_url"])
def test_a_server_that_is_gone_leaves_no_secret(
    planted: Planted, connection: Any, call: Callable[[], Any], gone: str
) -> None:
    urls = {"api_url": planted.simulator.url, "accounts_url": planted.simulator.url, gone: GONE}
    connection(
        password=CLIENT_SECRET,
        login=planted.simulator.client_id,
        extra={"refresh_token": REFRESH_TOKEN, **urls},
    )
    planted.check(failure(call))


def test_a_wrong_secret_leaves_no_secret(planted: Planted, call: Callable[[], Any]) -> None:
    planted.simulator.state.tokens.client_secret = "another"
    error = failure(call)
    assert "invalid_client_secret" in str(error)
    planted.check(error)


@pytest.mark.parametrize(
    "wrong",
    [
        {"login": ""},
        {"extra": {"data_center": "mars"}},
        {"extra": {"api_url": "http://example.com"}},
        {"extra": {"api_url": "https://user:password@example.com"}},
        {"extra": {"verify": "false"}},
        {"extra": {"verify": "/nowhere/ca.pem"}},
        {"extra": {"grant_type": "client_credentials"}},
    ],
)
def test_a_connection_that_is_filled_in_wrongly_leaves_no_secret(
    planted: Planted, connection: Any, call: Callable[[], Any], wrong: dict[str, Any]
) -> None:
    extra = {"refresh_token": REFRESH_TOKEN, **wrong.get("extra", {})}
    connection(**{"login": "1000.CLIENT", "password": CLIENT_SECRET, **wrong, "extra": extra})
    planted.check(failure(call))


class Struck(BaseException):
    """What Airflow's execution time-out is: it strikes anywhere."""


@pytest.mark.parametrize("where", ["connect", "getresponse", "send"])
def test_a_time_out_in_the_middle_of_a_request_leaves_no_secret(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    from urllib3.connection import HTTPConnection

    def strike(*_: Any, **__: Any) -> None:
        raise Struck

    for ready in (False, True):
        hook = ZohoCRMHook(retries=0)
        if ready:
            hook.transport.token()
        with monkeypatch.context() as patched:
            patched.setattr(HTTPConnection, where, strike)
            with pytest.raises(Struck) as caught:
                hook.get_organization()
        planted.check(caught.value)


def test_a_bug_beneath_a_request_leaves_no_secret_but_says_where_it_is(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib3.connection import HTTPConnection

    def strike(*_: Any, **__: Any) -> None:
        raise UnicodeError("odd")

    monkeypatch.setattr(HTTPConnection, "getresponse", strike)
    with pytest.raises(UnicodeError) as caught:
        ZohoCRMHook(retries=0).get_organization()
    planted.check(caught.value)
    assert "transport.py" in with_locals(caught.value)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_a_server_that_echoes_what_it_was_sent_leaves_no_secret(
    planted: Planted, connection: Any, call: Callable[[], Any], status: int
) -> None:
    """Such as a debugging proxy, or a health page behind a wrong API URL."""

    def respond(request: str, raw: bytes) -> bytes:
        if "/oauth/" in request:
            return token_answer()
        text = raw.decode("latin-1")
        body = {"code": "ECHO", "message": text, "details": {"headers": text.split("\r\n")}}
        return answer(status, json.dumps(body if status > 400 else text).encode())

    planted.knows("1000." + "a" * 32 + "." + "b" * 32)
    with serving(respond) as url:
        connection(
            password=CLIENT_SECRET,
            extra={"refresh_token": REFRESH_TOKEN, "accounts_url": url, "api_url": url},
        )
        planted.check(failure(call))


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_accounts_server_that_echoes_what_it_was_sent_leaves_no_secret(
    planted: Planted, connection: Any, call: Callable[[], Any], status: int
) -> None:
    def respond(_: str, raw: bytes) -> bytes:
        sent = raw.split(b"\r\n\r\n", 1)[1].decode()
        body = {"error": f"{CLIENT_SECRET} {REFRESH_TOKEN} {sent}", "sent": sent}
        return answer(status, json.dumps(body).encode())

    with serving(respond) as url:
        connection(
            password=CLIENT_SECRET,
            extra={"refresh_token": REFRESH_TOKEN, "accounts_url": url, "api_url": url},
        )
        planted.check(failure(call))


def test_nothing_shows_a_secret_of_its_own(planted: Planted) -> None:
    hook = ZohoCRMHook()
    hook.get_organization()
    transport, session = hook.transport, hook.get_conn()
    prepared = session.prepare_request(requests.Request("GET", f"{planted.simulator.url}/crm/v8/org"))
    assert prepared.headers["Authorization"].startswith("Zoho-oauthtoken 1000.")
    credentials = transport.credentials
    answered = session.get("/crm/v8/org")
    token = transport.token()
    assert isinstance(token, Token)
    shown: list[Any] = [
        hook,
        transport,
        credentials,
        token,
        session,
        session.auth,
        prepared,
        answered,
        transport.policy,
    ]
    shown += [vars(hook), vars(transport), vars(session), vars(prepared), vars(answered), vars(session.auth)]
    shown += [
        str(credentials),
        f"{token}",
        [credentials.client_secret, credentials.refresh_token, token.value],
    ]

    async def asynchronous() -> list[Any]:
        async with ZohoCRMAsyncHook() as own:
            client = own._client
            assert isinstance(client, AsyncZohoCRMClient)
            await client.transport.token()
            tasks = asyncio.all_tasks()
            from airflow_provider_zohocrm.hooks.zohocrm import _connections

            # A task shows the beginning of its result.
            kept = [fetch.result() for _, fetch in _connections[asyncio.get_running_loop()].values()]
            assert kept
            return [
                own,
                client,
                client.transport,
                vars(own),
                vars(client),
                vars(client.transport),
                tasks,
                kept,
            ]

    shown += asyncio.run(asynchronous())
    planted.check(*(f"{one!r} {one}" for one in shown))


def test_the_log_of_the_simulator_masks_secrets_wherever_a_client_puts_them(
    planted: Planted, tmp_path: Path
) -> None:
    simulator = planted.simulator
    given = {
        "grant_type": "refresh_token",
        "client_id": simulator.client_id,
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
    }
    url = f"{simulator.url}/oauth/v2/token"
    with requests.Session() as session:
        session.trust_env = False
        token = session.post(url, data=given).json()["access_token"]
        session.post(url, params=given)
        session.post(url, json=given)
        session.post(url, files={name: (None, value) for name, value in given.items()})
        session.post(url, data=json.dumps(given))
        for prefix in ("Zoho-oauthtoken ", "Bearer ", "", "authtoken="):
            session.get(f"{simulator.url}/crm/v8/org", headers={"Authorization": prefix + token})
        session.get(f"{simulator.url}/crm/v8/org", params={"access_token": token})
        session.post(f"{simulator.url}/oauth/v2/token/revoke", params={"token": REFRESH_TOKEN})
    planted.knows(token)
    # What urllib3 has logged of these calls is not the package's doing.
    planted.forget_logs()
    assert len(simulator.requests) >= 11
    planted.check()
