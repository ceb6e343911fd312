"""``airflow zohocrm`` and ``python -m airflow_provider_zohocrm``: what is asked, stored, printed, and never shown."""

from __future__ import annotations

import getpass
import io
import json
import os
import subprocess
import sys

import pytest
from support.simulated import asked, truth

from airflow_provider_zohocrm import connection_form
from airflow_provider_zohocrm.__main__ import main
from airflow_provider_zohocrm.cli import arguments, stored
from airflow_provider_zohocrm.cli.definition import get_zohocrm_cli_commands
from airflow_provider_zohocrm.client.accounts import AccountsServer, find_data_center
from airflow_provider_zohocrm.client.hosts import DATA_CENTERS
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoConfigurationError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)

VARIABLES = (
    arguments.CLIENT_ID_VARIABLE,
    arguments.CLIENT_SECRET_VARIABLE,
    arguments.GRANT_CODE_VARIABLE,
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def database(monkeypatch):
    """Airflow's database as the commands use it, but in memory."""
    saved = {}
    monkeypatch.setattr(stored, "exists", saved.__contains__)
    monkeypatch.setattr(
        stored, "save", lambda conn_id, fields, description: saved.update({conn_id: (fields, description)})
    )
    return saved


@pytest.fixture
def given(monkeypatch):
    """Give the client and a code in the environment."""

    def give(simulator, **changes):
        values = (simulator.client_id, simulator.client_secret, simulator.new_grant_code())
        for name, value in zip(VARIABLES, values, strict=True):
            monkeypatch.setenv(name, changes.get(name, value))
        return values[2]

    return give


def codes(simulator):
    """Forms that were sent with a grant code."""
    return [one for one in simulator.requests if one["path"] == "/oauth/v2/token"]


def test_a_code_becomes_a_stored_connection_that_works(simulated, database, given, capsys):
    simulator = simulated({"Leads": 3})
    code = given(simulator)
    main(["connect", "--conn-id", "zoho_eu", "--accounts-url", simulator.url, "--environment", "sandbox"])
    assert list(database) == ["zoho_eu"]
    fields, description = database["zoho_eu"]
    assert fields == {
        "login": simulator.client_id,
        "password": simulator.client_secret,
        "extra": {
            "refresh_token": simulator.refresh_token,
            "environment": "sandbox",
            "api_version": "v8",
            "accounts_url": simulator.url,
        },
    }
    assert description.startswith("Connected to ")
    shown = "".join(capsys.readouterr())
    assert "zoho_eu" in shown
    for secret in (code, simulator.client_secret, simulator.refresh_token):
        assert secret not in shown


@pytest.mark.parametrize("form", ["json", "uri"])
def test_a_printed_connection_is_one_that_airflow_reads(simulated, database, given, capsys, form):
    from airflow.models import Connection

    simulator = simulated()
    given(simulator)
    main(["connect", "--print", form, "--accounts-url", simulator.url])
    printed = capsys.readouterr().out.strip()
    assert database == {}
    read = Connection.from_json(printed, "x") if form == "json" else Connection("x", uri=printed)
    assert (read.conn_type, read.login, read.password) == (
        "zohocrm",
        simulator.client_id,
        simulator.client_secret,
    )
    assert read.extra_dejson["refresh_token"] == simulator.refresh_token
    assert read.extra_dejson["accounts_url"] == simulator.url


def test_a_connection_that_is_there_is_kept_and_the_code_too(simulated, database, given):
    simulator = simulated()
    given(simulator)
    database["zohocrm_default"] = "as it was"
    with pytest.raises(SystemExit, match="--replace"):
        main(["connect", "--accounts-url", simulator.url])
    assert database == {"zohocrm_default": "as it was"}
    assert codes(simulator) == []
    main(["connect", "--accounts-url", simulator.url, "--replace"])
    assert database["zohocrm_default"] != "as it was"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ZOHOCRM_CLIENT_ID": "1000.OTHER"}, "client ID is unknown"),
        ({"ZOHOCRM_CLIENT_SECRET": "wrong-secret"}, "client secret is wrong"),
        ({"ZOHOCRM_GRANT_CODE": "1000.nothing"}, "used before, has expired"),
    ],
)
def test_a_refusal_says_what_to_do_without_a_secret(simulated, database, given, changes, word):
    simulator = simulated()
    code = given(simulator, **changes)
    with pytest.raises(SystemExit) as ended:
        main(["connect", "--accounts-url", simulator.url])
    assert word in str(ended.value)
    for secret in (code, simulator.client_secret, "wrong-secret", "1000.nothing"):
        assert secret not in str(ended.value)
    assert database == {}


def test_a_code_works_once_and_for_a_while(simulated, database, given):
    simulator = simulated()
    given(simulator)
    main(["connect", "--accounts-url", simulator.url])
    with pytest.raises(SystemExit, match="used before"):
        main(["connect", "--accounts-url", simulator.url, "--replace"])
    given(simulator)
    simulator.advance(181)
    with pytest.raises(SystemExit, match="expired"):
        main(["connect", "--accounts-url", simulator.url, "--replace"])


def test_a_connection_that_does_not_work_yet_is_kept(simulated, database, given, no_waiting):
    simulator = simulated()
    given(simulator)
    simulator.add_fault("html", status=503, path="/crm/", count=None)
    with pytest.raises(SystemExit, match="does not work yet"):
        main(["connect", "--accounts-url", simulator.url])
    assert database["zohocrm_default"][0]["extra"]["refresh_token"] == simulator.refresh_token


def test_a_missing_scope_for_the_organisation_is_no_failure(simulated, database, given, capsys):
    simulator = simulated(scopes="ZohoCRM.modules.ALL")
    given(simulator)
    main(["connect", "--accounts-url", simulator.url])
    assert "ZohoCRM.org.READ" in capsys.readouterr().err
    assert "zohocrm_default" in database


def test_secrets_are_asked_for_without_echo_and_the_code_last(simulated, database, monkeypatch, capsys):
    simulator = simulated()
    answers = {"Client secret: ": simulator.client_secret, "Grant code: ": simulator.new_grant_code()}
    prompts = []

    def silent(prompt):
        prompts.append(prompt)
        return answers[prompt]

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(getpass, "getpass", silent)
    monkeypatch.setattr(sys, "stdin", Terminal(f"{simulator.client_id}\n"))
    main(["connect", "--print", "json", "--accounts-url", simulator.url])
    assert prompts == list(answers)
    out, err = capsys.readouterr()
    assert json.loads(out)["login"] == simulator.client_id
    assert "Client ID: " in err
    assert simulator.client_secret not in err


def test_no_terminal_and_no_variable_names_the_variable(monkeypatch, database):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit, match="ZOHOCRM_CLIENT_ID"):
        main(["connect", "--data-center", "eu"])


def test_no_argument_takes_a_secret():
    names = {flag for command in arguments.COMMANDS for one in command.arguments for flag in one.flags}
    assert not [
        name for name in names if any(word in name for word in ("secret", "code", "token", "password"))
    ]


def test_choices_are_those_of_the_connection_form():
    connect = next(one for one in arguments.COMMANDS if one.name == "connect")
    choices = {one.flags[0]: one.options.get("choices") for one in connect.arguments}
    for flag, name in (("--data-center", "data_center"), ("--environment", "environment"), ("--api-version", "api_version")):  # fmt: skip
        assert list(choices[flag]) == connection_form.CONN_FIELDS[name]["schema"]["enum"]
    assert list(choices["--data-center"]) == list(DATA_CENTERS)


@pytest.fixture
def airflow_database(monkeypatch, tmp_path):
    """A database with Airflow's own table of connections."""
    from contextlib import contextmanager

    from airflow.models import Connection
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from airflow_provider_zohocrm import _compat

    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    Connection.__table__.create(engine)

    @contextmanager
    def session():
        with Session(engine) as opened:
            yield opened
            opened.commit()

    monkeypatch.setattr(_compat, "server_session", session)
    return engine


def test_the_connection_is_in_the_database_encrypted(
    simulated, given, airflow_database, tmp_path, monkeypatch
):
    from airflow.models import Connection, crypto
    from cryptography.fernet import Fernet
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    # Airflow makes this from its configuration, and keeps it.
    fernet = Fernet(Fernet.generate_key())
    fernet.is_encrypted = True
    for name in ("airflow.models.connection", "airflow.models.crypto"):
        monkeypatch.setattr(f"{name}.get_fernet", lambda: fernet)
    assert crypto.get_fernet() is fernet
    simulator = simulated()
    given(simulator)
    main(["connect", "--accounts-url", simulator.url])
    assert stored.exists("zohocrm_default")
    assert not stored.exists("another")
    given(simulator)
    main(["connect", "--accounts-url", simulator.url, "--replace", "--api-version", "v7"])
    with Session(airflow_database) as session:
        (found,) = session.scalars(select(Connection)).all()
        assert (found.conn_type, found.login, found.password) == (
            "zohocrm",
            simulator.client_id,
            simulator.client_secret,
        )
        assert found.extra_dejson["refresh_token"] == simulator.refresh_token
        assert found.extra_dejson["api_version"] == "v7"
    written = (tmp_path / "airflow.db").read_bytes()
    assert simulator.client_secret.encode() not in written
    assert simulator.refresh_token.encode() not in written


def test_a_database_that_cannot_be_used_is_told_before_the_code_is_spent(simulated, given, monkeypatch):
    from contextlib import contextmanager

    from sqlalchemy.exc import OperationalError

    from airflow_provider_zohocrm import _compat

    @contextmanager
    def away():
        raise OperationalError("select planted-statement", {}, Exception("planted-reason"))
        yield

    monkeypatch.setattr(_compat, "server_session", away)
    simulator = simulated()
    given(simulator)
    with pytest.raises(SystemExit, match="--print json") as ended:
        main(["connect", "--accounts-url", simulator.url])
    assert "planted" not in str(ended.value)
    assert codes(simulator) == []


# --- the data centre -----------------------------------------------------------------------------------------------


def answering(mocker, errors):
    for name, center in DATA_CENTERS.items():
        mocker.post(
            f"https://{center.accounts}/oauth/v2/token", json={"error": errors.get(name, "invalid_client")}
        )


@pytest.mark.parametrize("error", ["invalid_client_secret", "invalid_code"])
def test_the_data_centre_that_knows_the_client_is_found_without_secret_or_code(zoho, monkeypatch, error):
    answering(zoho.mocker, {"in": error})
    monkeypatch.setenv("ZOHOCRM_CLIENT_ID", "1000.CLIENT")
    monkeypatch.setenv("ZOHOCRM_CLIENT_SECRET", "planted-secret")
    monkeypatch.setenv("ZOHOCRM_GRANT_CODE", "planted-code")
    with pytest.raises(SystemExit):
        main(["connect", "--print", "json"])
    *probes, last = zoho.mocker.request_history
    assert {one.hostname for one in probes} == {
        center.accounts for name, center in DATA_CENTERS.items() if name not in ("ae", "sg")
    }
    assert not [one for one in probes if "planted" in one.text]
    assert last.hostname == "accounts.zoho.in"
    assert "planted-secret" in last.text
    assert "planted-code" in last.text


@pytest.mark.parametrize(
    "errors", [{}, {"eu": "invalid_code", "us": "invalid_code"}, {"eu": "general_error"}]
)
def test_a_data_centre_that_cannot_be_told_is_asked_for(zoho, errors):
    answering(zoho.mocker, errors)
    with pytest.raises(ZohoConfigurationError, match="--data-center"):
        find_data_center(lambda url: AccountsServer(url).knows("1000.CLIENT"))


def test_a_data_centre_out_of_reach_does_not_hide_another(zoho):
    import requests

    answering(zoho.mocker, {"eu": "invalid_code"})
    zoho.mocker.post("https://accounts.zoho.com.cn/oauth/v2/token", exc=requests.ConnectTimeout)
    assert find_data_center(lambda url: AccountsServer(url).knows("1000.CLIENT")) == "eu"


@pytest.mark.parametrize(
    ("answer", "error", "word"),
    [
        ({"json": {"error": "Access Denied", "status": "failure"}}, ZohoTokenThrottledError, "Access Denied"),
        ({"json": {"access_token": "1000.a"}}, ZohoAuthenticationError, "access_type=offline"),
        ({"json": {"error": "invalid_redirect_uri"}}, ZohoAuthenticationError, "redirect URI"),
        ({"text": "<html>", "status_code": 503}, ZohoAuthenticationError, "503"),
        ({"status_code": 302, "headers": {"Location": "https://elsewhere.example"}}, ZohoAuthenticationError, "302"),
    ],
)  # fmt: skip
def test_what_gives_no_refresh_token_is_told(zoho, answer, error, word):
    zoho.mocker.post("https://accounts.zoho.eu/oauth/v2/token", **answer)
    with pytest.raises(error, match=word):
        AccountsServer("https://accounts.zoho.eu").exchange("1000.C", "s", "1000.code")
    assert len(zoho.mocker.request_history) == 1, "a code is sent once"


def test_a_lost_answer_says_that_the_code_may_be_used_up(zoho):
    import requests

    zoho.mocker.post("https://accounts.zoho.eu/oauth/v2/token", exc=requests.ReadTimeout)
    with pytest.raises(ZohoTransportError, match="used up"):
        AccountsServer("https://accounts.zoho.eu").exchange("1000.C", "s", "1000.code")


# --- the other commands --------------------------------------------------------------------------------------------


def test_check_tells_organisation_credits_and_scopes(simulated, capsys):
    scopes = "ZohoCRM.modules.ALL,ZohoCRM.org.READ,ZohoCRM.settings.modules.READ"
    simulator = simulated({"Leads": 3}, scopes=scopes, credits=100)
    simulator.state.limits.charge(70)
    main(["check"])
    told = dict(line.rsplit("   ", 1) for line in capsys.readouterr().out.splitlines() if "Scope" in line)
    assert {name.strip(): state.strip() for name, state in told.items()} == {
        "Scope ZohoCRM.modules (Leads)": "granted",
        "Scope ZohoCRM.settings.modules": "granted",
        "Scope ZohoCRM.settings.fields": "missing",
        "Scope ZohoCRM.coql": "missing",
        "Scope ZohoSearch.securesearch": "missing",
        "Scope ZohoCRM.bulk": "missing",
    }
    assert simulator.counters["credits"] <= 77
    assert not [one for one in asked(simulator) if one.startswith("POST /crm/bulk")]


def test_check_of_what_works_whole(simulated, capsys):
    simulated({"Leads": 3})
    main(["check"])
    out = capsys.readouterr().out
    assert out.count("granted") == 6
    assert "more than half" in out
    assert "edition" in out


def test_check_without_the_scope_for_the_organisation_tells_the_others(simulated, capsys):
    simulated({"Leads": 3}, scopes="ZohoCRM.modules.ALL")
    main(["check"])
    out = capsys.readouterr().out
    assert "not shown: " in out
    assert (out.count("granted"), out.count("missing")) == (1, 5)


def test_check_of_a_wrong_connection_fails_without_its_secrets(simulated, connection):
    simulator = simulated()
    extra = {"refresh_token": "planted-refresh", "accounts_url": simulator.url}
    connection(login=simulator.client_id, password=simulator.client_secret, extra=extra)
    with pytest.raises(SystemExit, match="invalid_code") as ended:
        main(["check"])
    assert "planted" not in str(ended.value)
    with pytest.raises(SystemExit, match="no_such_conn"):
        main(["check", "--conn-id", "no_such_conn"])


def test_modules_fields_and_count(simulated, capsys):
    simulator = simulated({"Leads": 7, "Deals": 2})
    main(["modules"])
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split() == ["api_name", "plural_label", "generated_type", "api_supported"]
    assert {"Leads", "Deals"} <= {row.split()[0] for row in rows}
    main(["fields", "Leads", "--json"])
    found = {field["api_name"]: field["data_type"] for field in json.loads(capsys.readouterr().out)}
    assert found["Modified_Time"] == "datetime"
    main(["count", "Leads"])
    assert capsys.readouterr().out == "7\n"
    name = next(iter(truth(simulator, "Leads").values()))["Last_Name"]
    main(["count", "Leads", "--criteria", f"(Last_Name:equals:{name})", "--api-version", "v7"])
    assert int(capsys.readouterr().out) >= 1
    with pytest.raises(SystemExit, match="INVALID_MODULE"):
        main(["count", "Nothings"])


def test_the_module_runs_as_a_program_that_never_shows_a_secret(simulated):
    simulator = simulated()
    values = (simulator.client_id, simulator.client_secret, simulator.new_grant_code())
    environment = {**os.environ, **dict(zip(VARIABLES, values, strict=True))}
    command = [sys.executable, "-m", "airflow_provider_zohocrm", "connect", "--accounts-url", simulator.url]
    done = subprocess.run(
        [*command, "--print", "json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["extra"]["refresh_token"] == simulator.refresh_token
    assert not [secret for secret in (*values[1:], simulator.refresh_token) if secret in done.stderr]
    again = subprocess.run(
        [*command, "--print", "json"], env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in again.stderr


def test_airflow_gets_the_same_commands():
    (group,) = get_zohocrm_cli_commands()
    assert group.name == "zohocrm"
    assert [one.name for one in group.subcommands] == [one.name for one in arguments.COMMANDS]
    for one, command in zip(group.subcommands, arguments.COMMANDS, strict=True):
        assert [arg.flags for arg in one.args] == [arg.flags for arg in command.arguments]
