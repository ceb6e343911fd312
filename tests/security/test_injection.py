"""What a template renders becomes part of a path, a query or a header only after it was checked or quoted."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import yarl
from support.running import allow_execute_in_this_thread, context, dag_context, render

import airflow_provider_zohocrm as package
from airflow_provider_zohocrm.client.client import ZohoCRMApi, ZohoCRMClient
from airflow_provider_zohocrm.client.coql import has_limit, literal, paged
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError, ZohoValidationError
from airflow_provider_zohocrm.extraction.subforms import subform_fields
from airflow_provider_zohocrm.extraction.walks import CoqlWalk
from airflow_provider_zohocrm.extraction.window import Window
from airflow_provider_zohocrm.loading.delivery import Delivery
from airflow_provider_zohocrm.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_zohocrm.client.calls import Call

EVIL = [
    "../Leads",
    "Leads/../../settings/modules",
    "Leads/1",
    "Leads?ids=1",
    "Leads#",
    "Leads%2F1",
    "Leads\r\nX-Injected: yes",
    "Leads\n",
    "Leads\x00",
    "Leads where id is not null",
    "Leads' or id is not null or id = '",
    "Leads;",
    "Leads\\",
    "\uff2ceads",
    "\uff11\uff12\uff13",
    "{{ module }}",
]
PATHS = [
    "../x", "users/../../settings", "users/%2e%2E/x", "//third.example/x", "http://third.example/x", "users\r\nHost: x",
    "users x", "users#", "users\\..\\x", "users\x00", "..",
]  # fmt: skip
LISTS = ("fields", "ids", "duplicate_check_fields", "sort_by")
GOOD: dict[str, Any] = {
    "module": "Leads",
    "fields": ["Last_Name"],
    "records": [{"id": "1", "Last_Name": "A"}],
    "ids": ["1"],
    "record_id": "1",
    "deleted_record_id": "1",
    "related_list": "Contacts",
    "job_id": "1",
    "job": "1",
    "org_id": "1",
    "find_by": "Last_Name",
    "external_id": "External",
    "operation": "upsert",
    "file_id": "1",
    "word": "x",
    "select_query": "select id from Leads where id is not null",
    "method": "GET",
    "path": "users",
}
# Everything that may become part of a path, a COQL query or a header.
GUARDED = {
    "module", "fields", "ids", "record_id", "deleted_record_id", "related_list", "job_id", "job", "org_id", "find_by",
    "external_id", "operation", "cvid", "territory_id", "sort_by", "sort_order", "duplicate_check_fields", "lar_id",
    "type", "trigger", "path", "converted", "approved", "modified_since", "modified_before",
}  # fmt: skip
# What Zoho takes as a text of its own: a parameter of the query, or a value in JSON, whatever is in it.
QUOTED = {
    "criteria", "email", "phone", "word", "select_query", "page_token", "file_id", "callback", "records", "params", "json",
    "headers", "apply_feature_execution", "skip_feature_execution",
}  # fmt: skip
# Never a text, or not for Zoho.
PLAIN = {
    "include_child", "page_size", "max_records", "size", "page", "file_type", "target", "file", "ignore_empty",
    "repeatable", "repeat", "wf_trigger", "descending", "options", "method", "call", "count", "parts",
}  # fmt: skip
# What the other operations are made of.
PARTS = {"send", "write", "path", "coql_page"}


def operations() -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(method)
        for name, method in inspect.getmembers(ZohoCRMApi, callable)
        if not name.startswith("_") and name not in PARTS
    }


PLACES = [
    (name, parameter)
    for name, signature in operations().items()
    for parameter in signature.parameters
    if parameter in GUARDED
]


class Recorder:
    """Stands for a transport, and notes what would have been sent."""

    def __init__(self, credentials: Any) -> None:
        self.credentials = credentials
        self.calls: list[Call] = []

    def send(self, call: Call) -> dict[str, Any]:
        self.calls.append(call)
        return {"data": [], "fields": []}

    def upload_base(self) -> str:
        return self.credentials.api_url

    def api_base(self) -> str:
        return self.credentials.api_url

    def download(self, call: Call, _: Any) -> int:
        self.calls.append(call)
        return 0


@pytest.fixture(params=["v8", "v2"])
def recorder(request: pytest.FixtureRequest, credentials: Any) -> Recorder:
    return Recorder(credentials("http://127.0.0.1:9", api_version=request.param))


def perform(recorder: Recorder, name: str, **given: Any) -> None:
    method = getattr(ZohoCRMClient(recorder), name)
    values = {
        parameter: GOOD[parameter]
        for parameter, one in inspect.signature(method).parameters.items()
        if one.default is one.empty and parameter in GOOD
    }
    if "target" in inspect.signature(method).parameters:
        values["target"] = SimpleNamespace(seek=None, truncate=None, write=None)
    if "file" in inspect.signature(method).parameters:
        values["file"] = SimpleNamespace()
    if name in ("search_records", "count_records") and "word" in given:
        values.pop("word", None)
    if name == "search_records" and not {"criteria", "email", "phone", "word"} & set(given):
        values["word"] = "x"
    result = method(**{**values, **given})
    if hasattr(result, "__next__"):
        next(result, None)


def test_every_parameter_of_every_operation_is_classified() -> None:
    known = GUARDED | QUOTED | PLAIN | {"self"}
    assert {
        (name, parameter)
        for name, signature in operations().items()
        for parameter in signature.parameters
        if parameter not in known
    } == set()
    assert len(PLACES) > 50


@pytest.mark.parametrize(("name", "parameter"), PLACES)
def test_what_cannot_be_a_name_or_an_id_is_refused_before_it_is_sent(
    recorder: Recorder, name: str, parameter: str
) -> None:
    evil = PATHS if parameter == "path" else EVIL
    if parameter in LISTS:
        # Blanks around the names of fields, and so a line's end, are taken off.
        evil = [one for one in evil if one == one.strip()]
    related = name == "get_deleted_record_related_records" and recorder.credentials.version.name == "v2"
    for value in evil:
        with pytest.raises(ZohoValidationError):
            perform(recorder, name, **{parameter: value})
        if parameter in ("fields", "ids") and not related:
            with pytest.raises(ZohoValidationError):
                perform(recorder, name, **{parameter: [GOOD[parameter][0], value]})
    assert recorder.calls == []


@pytest.mark.parametrize("one", ["1,2", "1 or 1=1", "-1", "1.0", "0x1", "", " ", True, 1.5, "9" * 20, "1\n2"])
@pytest.mark.parametrize(
    ("name", "parameter"),
    [place for place in PLACES if place[1] in ("record_id", "job_id", "job", "cvid", "lar_id", "org_id")],
)
def test_one_id_is_one_id(recorder: Recorder, name: str, parameter: str, one: Any) -> None:
    with pytest.raises(ZohoValidationError):
        perform(recorder, name, **{parameter: one})
    assert recorder.calls == []


@pytest.mark.parametrize("key", ["id", "External"])
def test_one_record_to_delete_takes_no_other_along(recorder: Recorder, key: str) -> None:
    options = {} if key == "id" else {"external_id": "External"}
    with pytest.raises(ZohoValidationError):
        next(ZohoCRMClient(recorder).iter_write("delete", "Leads", [{key: "1,2"}], **options))
    assert recorder.calls == []


TEXTS = [
    "a&cvid=1",
    "a#b",
    "a/../b",
    "a?b=c",
    "a\r\nX: y",
    "a%26b",
    "a+b",
    "ü'\"\\",
    "((a:equals:b\\,c)and(d:equals:e))",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["criteria", "email", "phone", "word"])
def test_a_text_to_search_for_stays_one_parameter(recorder: Recorder, name: str, text: str) -> None:
    perform(recorder, "search_records", **{name: text})
    (call,) = recorder.calls
    assert call.params[name] == text
    assert call.path.endswith("/Leads/search")
    for url in (
        requests.Request("GET", "https://x" + call.path, params=dict(call.params)).prepare().url,
        str(yarl.URL("https://x" + call.path).update_query(dict(call.params))),
    ):
        assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == dict(call.params)
        assert urlsplit(url).path == call.path


def _criteria(**changed: Any) -> dict[str, Any]:
    return {"api_name": "Last_Name", "comparator": "equal", "value": "x", **changed}


@pytest.mark.parametrize("evil", [one for one in EVIL if one == one.strip()])
def test_criteria_of_bulk_read_name_fields_and_comparators_only(recorder: Recorder, evil: str) -> None:
    for criteria in (
        _criteria(api_name=evil),
        {"field": {"api_name": evil}, "comparator": "equal", "value": 1},
        _criteria(comparator=evil),
        {"group_operator": evil, "group": [_criteria()]},
        {"group_operator": "and", "group": [_criteria(), _criteria(api_name=evil)]},
        {**_criteria(), evil: 1},
    ):
        with pytest.raises(ZohoValidationError):
            perform(recorder, "create_bulk_read_job", criteria=criteria)
    assert recorder.calls == []


def test_values_in_json_are_texts_whatever_is_in_them(recorder: Recorder) -> None:
    import contextlib

    import orjson

    from airflow_provider_zohocrm.client.jsontext import dumps
    from airflow_provider_zohocrm.exceptions import ZohoResponseError

    evil = '"}], "module": {"api_name": "Contacts'
    with contextlib.suppress(ZohoResponseError):
        perform(recorder, "create_bulk_read_job", criteria=_criteria(value=evil))
    body = orjson.loads(dumps(recorder.calls[0].json))
    assert body["query"]["criteria"]["value"] == evil
    assert body["query"]["module"] in ("Leads", {"api_name": "Leads"})


@pytest.mark.parametrize("header", ["x\r\nAuthorization: other", "x\ny", "x\x00"])
def test_a_header_of_a_call_of_ones_own_is_one_header(recorder: Recorder, header: str) -> None:
    with pytest.raises(ZohoValidationError):
        ZohoCRMClient(recorder).request("GET", "users", headers={"X-CRM-ORG": header})
    assert recorder.calls == []


# --- COQL ---------------------------------------------------------------------------------------------------------

NASTY = [
    "O'Neil",
    "a\\",
    "a\\'",
    "\\' or id is not null or Last_Name = \\'",
    "' or id is not null",
    "''",
    "a'b\\'c",
    'ü"\u2019',
    "%",
    "a\nb",
]


@pytest.fixture(scope="module")
def crm() -> Iterator[Simulator]:
    with Simulator({"Leads": 30}) as running:
        yield running


@pytest.fixture
def client(crm: Simulator) -> Iterator[ZohoCRMClient]:
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

    fields = crm.connection
    transport = Transport(
        ZohoCredentials.from_fields(fields["login"], fields["password"], fields["extra"]),
        store=MemoryTokenStore(),
        policy=RetryPolicy(0),
    )
    yield ZohoCRMClient(transport)
    transport.close()


@pytest.mark.parametrize("text", NASTY)
def test_a_quoted_text_finds_itself_and_nothing_else(client: ZohoCRMClient, text: str) -> None:
    (result,) = client.insert_records("Leads", [{"Last_Name": text, "Company": "C"}])
    rows = list(client.query(f"select id, Last_Name from Leads where Last_Name = {literal(text)}"))
    assert [(row["id"], row["Last_Name"]) for row in rows] == [(result["details"]["id"], text)]


@pytest.mark.parametrize("text", [*NASTY, "a limit 5", "order by id limit 1, 2", "\\\n' limit 3"])
def test_words_in_a_quoted_text_are_no_clauses(text: str) -> None:
    query = f"select id from Leads where Last_Name = {literal(text)}"
    assert not has_limit(query)
    assert paged(query, 0, 200) == f"{query} order by id asc limit 0, 200"


@pytest.mark.parametrize("evil", ["1' or id is not null or id = '", "1) or (id is not null", "1\\"])
def test_an_id_of_a_hostile_answer_is_quoted(recorder: Recorder, evil: str) -> None:
    asked: list[str] = []

    class Api(ZohoCRMClient):
        def coql_page(self, select_query: str, size: int) -> Any:
            asked.append(select_query)
            return [], False

    list(CoqlWalk(Api(recorder), "Leads", ["Last_Name"], Window()).pages(after=evil))
    assert f"id > {literal(evil)} order" in asked[0]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("text", "x' or 1=1", "'x\\' or 1=1'"),
        ("integer", "5", "5"),
        ("integer", "-5", "-5"),
        ("integer", "5) or (id is not null", "'5) or (id is not null'"),
        ("bigint", "²", "'²'"),
    ],
)
def test_a_value_that_is_looked_up_is_quoted_unless_it_is_a_number(kind: str, value: str, shown: str) -> None:
    delivery = SimpleNamespace(_kinds={"Key": kind})
    item = SimpleNamespace(record={"Key": value})
    assert Delivery._coql_value(delivery, "Key", item) == shown  # type: ignore[arg-type]  # what it looks at


@pytest.mark.parametrize("evil", ["../../x", "a/b", "a\x00", "a b"])
def test_a_subform_that_metadata_names_oddly_names_no_file(evil: str) -> None:
    fields = [{"api_name": evil, "data_type": "subform", "subform": {"module": "Items"}}]
    with pytest.raises(ZohoValidationError):
        subform_fields(fields, "all")


# --- operators ----------------------------------------------------------------------------------------------------

OPERATORS: dict[str, dict[str, Any]] = {
    "ZohoBulkReadOperator": {"module": "Leads", "output_path": "{folder}/a.csv"},
    "ZohoBulkWriteOperator": {"module": "Leads", "records": [{"Email": "a"}], "find_by": "Email"},
    "ZohoDeleteOperator": {"module": "Leads", "records": [{"id": "1"}]},
    "ZohoGetRecordsOperator": {"module": "Leads", "output_path": "{folder}/a.jsonl"},
    "ZohoInsertOperator": {"module": "Leads", "records": [{"Email": "a"}]},
    "ZohoUpdateOperator": {"module": "Leads", "records": [{"id": "1"}]},
    "ZohoUpsertOperator": {"module": "Leads", "records": [{"Email": "a"}]},
    "ZohoQueryOperator": {"query": "select Email from Leads where id is not null"},
    "ZohoCountOperator": {"module": "Leads"},
    "ZohoGetDeletedRecordsOperator": {"module": "Leads"},
    "ZohoGetRelatedRecordsOperator": {
        "module": "Leads",
        "related_list": "Notes",
        "record_ids": "1",
        "fields": ["id"],
    },
    "ZohoRecordSensor": {"module": "Leads", "record_id": "1"},
    "ZohoBulkReadJobSensor": {"job_id": "1"},
    "ZohoApiCreditsSensor": {"min_credits": 5},
}
# Beside those of the same name as a parameter of an operation.
RENDERED_ONLY = {"api_version", "record_ids", "deleted_since", "query", "min_credits", "on_missing"}
RENDERED = [
    (name, field)
    for name in OPERATORS
    for field in getattr(package, name).template_fields
    if field in GUARDED | RENDERED_ONLY
]
RENDERS = ("../Evil", "Evil' or id is not null", "Evil\r\nX: y", "Evil?ids=1")
INSTEAD = {
    ("ZohoGetRecordsOperator", "record_id"): {"output_path": None},
    ("ZohoRecordSensor", "query"): {"module": None, "record_id": None},
}
"""What must not be given beside a parameter."""


def test_every_operator_and_sensor_is_asked() -> None:
    assert set(OPERATORS) == {one for one in package.__all__ if one.endswith(("Operator", "Sensor"))}


@pytest.mark.parametrize(("name", "field"), RENDERED)
def test_what_a_template_renders_is_checked_before_the_first_request(
    name: str, field: str, connection: Any, third_host: Any, tmp_path: Path
) -> None:
    allow_execute_in_this_thread()
    connection(
        extra={"accounts_url": third_host.url, "api_url": third_host.url, "upload_url": third_host.url}
    )
    given = {
        key: value.format(folder=tmp_path) if isinstance(value, str) else value
        for key, value in OPERATORS[name].items()
    }
    given |= INSTEAD.get((name, field), {})
    for evil in RENDERS:
        for way in ({"deferrable": False}, {"deferrable": True}) if name.endswith("Sensor") else ({},):
            operator = getattr(package, name)(task_id="t", **{**given, **way, field: "{{ evil }}"})
            with pytest.raises((ZohoValidationError, ZohoConfigurationError), match="Evil"):
                render(operator, evil=evil).execute(context())


@pytest.mark.parametrize("field", ["owner_id", "related_id", "related_module", "contact_id", "api_version"])
def test_what_a_template_renders_for_the_notifier_is_checked_before_the_first_request(
    field: str, connection: Any, third_host: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection(extra={"accounts_url": third_host.url, "api_url": third_host.url})
    for creates in ("task", "note"):
        if (creates, field) == ("note", "contact_id"):
            # A note has none.
            continue
        for evil in RENDERS:
            caplog.clear()
            given = {"creates": creates, "related_id": "1", "related_module": "Leads", field: "{{ evil }}"}
            package.ZohoCRMTaskNotifier(**given)(dag_context(evil=evil))
            assert re.search(
                f"No {creates} was created in Zoho CRM: Zoho(Validation|Configuration)Error: .*Evil",
                caplog.text,
            )
