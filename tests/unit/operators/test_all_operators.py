"""What holds for every operator: keyword-only, templated, mappable, and nothing is done when a DAG file is parsed."""

from __future__ import annotations

import inspect
import json
from datetime import datetime, timezone

import pytest
from support.running import context, render

from airflow_provider_zohocrm import (
    ZohoApiCreditsSensor,
    ZohoBulkReadJobSensor,
    ZohoBulkReadOperator,
    ZohoBulkWriteOperator,
    ZohoCountOperator,
    ZohoDeleteOperator,
    ZohoGetDeletedRecordsOperator,
    ZohoGetRecordsOperator,
    ZohoGetRelatedRecordsOperator,
    ZohoInsertOperator,
    ZohoQueryOperator,
    ZohoRecordSensor,
    ZohoUpdateOperator,
    ZohoUpsertOperator,
)
from airflow_provider_zohocrm.exceptions import ZohoCRMError, ZohoValidationError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

LOADING = [
    ZohoInsertOperator,
    ZohoUpdateOperator,
    ZohoUpsertOperator,
    ZohoDeleteOperator,
    ZohoBulkWriteOperator,
]
READING = [ZohoQueryOperator, ZohoGetDeletedRecordsOperator, ZohoGetRelatedRecordsOperator, ZohoCountOperator]
SENSORS = [ZohoRecordSensor, ZohoBulkReadJobSensor, ZohoApiCreditsSensor]
OPERATORS = [ZohoGetRecordsOperator, ZohoBulkReadOperator, *READING, *LOADING, *SENSORS]
# Airflow's own, which other operators do not template either; a sensor checks its times when it is made.
NOT_TYPED = {"deferrable", "poke_interval", "retry_policy"}
# What must be given, where it is not the module alone.
QUERY = "select id from Leads where id is not null"
NEEDED = {
    ZohoQueryOperator: {"query": QUERY},
    ZohoGetRelatedRecordsOperator: {
        "module": "Leads",
        "related_list": "Tasks",
        "record_ids": ["1"],
        "fields": "Subject",
    },
    ZohoRecordSensor: {"module": "Leads", "record_id": "1"},
    ZohoBulkReadJobSensor: {"job_id": "1"},
    ZohoApiCreditsSensor: {"min_credits": 5},
}
# Given to be of use, though not always needed.
OFTEN = {"fields", "record_id"}


def needed(operator):
    return dict(NEEDED.get(operator, {"module": "Leads"}))


every_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda one: one.__name__)


def parameters(operator):
    """Name the parameters of an operator that are its own."""
    found = {}
    for cls in operator.__mro__:
        if cls.__module__.startswith("airflow_provider_zohocrm") and "__init__" in vars(cls):
            for one in inspect.signature(cls.__init__).parameters.values():
                if one.name != "self" and one.kind is not inspect.Parameter.VAR_KEYWORD:
                    found.setdefault(one.name, one)
    return list(found.values())


@every_operator
def test_parameters_are_keywords_and_only_what_decides_is_needed(operator):
    assert {one.kind for one in parameters(operator)} == {inspect.Parameter.KEYWORD_ONLY}
    must = {one.name for one in parameters(operator) if one.default is inspect.Parameter.empty}
    assert must == set(needed(operator)) - OFTEN - ({"module"} if operator is ZohoRecordSensor else set())


@every_operator
def test_everything_a_user_types_is_templated(operator):
    assert {one.name for one in parameters(operator)} - NOT_TYPED - set(operator.template_fields) == set()


@every_operator
def test_every_template_field_is_a_parameter_that_is_kept_as_given(operator):
    given = {one.name: f"value of {one.name}" for one in parameters(operator) if one.name != "poke_interval"}
    made = operator(task_id="t", **given)
    assert set(operator.template_fields) <= set(given)
    assert {name: getattr(made, name) for name in given} == given


@every_operator
def test_templates_are_rendered_in_every_field(operator):
    made = operator(task_id="t", **dict.fromkeys(operator.template_fields, "{{ what }} done"))
    render(made, what="well")
    assert {getattr(made, name) for name in operator.template_fields} == {"well done"}


@every_operator
def test_templates_reach_into_lists_and_dicts(operator):
    nested = {
        "criteria": {"api_name": "Owner", "value": ["{{ what }}"]},
        "records": [{"Last_Name": "{{ what }}"}],
    }
    name = next((name for name in nested if name in operator.template_fields), operator.template_fields[0])
    given = {**needed(operator), name: nested.get(name, ["{{ what }}"])}
    made = render(operator(task_id="t", **given), what="Boyle")
    assert "Boyle" in json.dumps(getattr(made, name))


@every_operator
def test_a_wrong_parameter_name_is_refused_when_the_dag_is_parsed(operator):
    with pytest.raises(Exception, match="no_such_parameter"):
        operator(task_id="t", **needed(operator), no_such_parameter=1)


@every_operator
def test_parsing_looks_nothing_up_and_sends_nothing(operator, zoho, monkeypatch):
    monkeypatch.setattr(ZohoCRMHook, "get_connection", lambda *_: pytest.fail("the connection was looked up"))
    given = [one.name for one in parameters(operator) if one.name != "poke_interval"]
    operator(task_id="t", **dict.fromkeys(given, "{{ undefined.at.parsing }}"))
    assert zoho.mocker.request_history == []


@every_operator
def test_on_kill_of_an_operator_that_did_nothing_yet_does_not_fail(operator):
    operator(task_id="t", **needed(operator)).on_kill()


@pytest.mark.parametrize(
    ("operator", "name", "values"),
    [
        (ZohoGetRecordsOperator, "module", ["Leads", "Deals"]),
        (ZohoGetRecordsOperator, "record_id", ["1", "2"]),
        (ZohoUpsertOperator, "records", [[{"Last_Name": "a"}], [{"Last_Name": "b"}]]),
        (ZohoUpsertOperator, "input_path", ["a.csv", "b.csv"]),
        (ZohoBulkReadOperator, "output_path", ["a.csv", "b.csv"]),
        (ZohoBulkReadOperator, "criteria", [{"api_name": "a"}, {"api_name": "b"}]),
        (ZohoQueryOperator, "query", [QUERY, f"{QUERY} limit 5"]),
        (ZohoGetDeletedRecordsOperator, "module", ["Leads", "Deals"]),
        (ZohoGetRelatedRecordsOperator, "record_ids", ["1", "2"]),
        (ZohoCountOperator, "criteria", ["(a:equals:1)", "(a:equals:2)"]),
        (ZohoRecordSensor, "record_id", ["1", "2"]),
        (ZohoBulkReadJobSensor, "job_id", ["1", "2"]),
    ],
)
def test_partial_and_expand_work(operator, name, values):
    with DAG("mapping", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None) as dag:
        fixed = {key: value for key, value in needed(operator).items() if key != name}
        mapped = operator.partial(task_id="t", zohocrm_conn_id="zoho_eu", **fixed).expand(**{name: values})
    assert dag.task_ids == ["t"]
    for value in values:
        made = mapped.unmap({name: value})
        assert isinstance(made, operator)
        assert getattr(made, name) == value
        assert made.zohocrm_conn_id == "zoho_eu"
        assert {key: getattr(made, key) for key in fixed} == fixed


@every_operator
def test_the_connection_id_is_the_one_given(operator, zoho, tmp_path):
    more = (
        {"records": [{"Last_Name": "x"}]} if operator in LOADING else {"output_path": str(tmp_path / "x.csv")}
    )
    known = {one.name for one in parameters(operator)}
    more = {name: value for name, value in more.items() if name in known}
    made = operator(task_id="t", zohocrm_conn_id="no_such_conn", **needed(operator), **more)
    with pytest.raises(Exception, match="no_such_conn"):
        made.execute(context())


BAD = [
    (ZohoGetRecordsOperator, {"module": "Leads/../x"}, "API name"),
    (ZohoGetRecordsOperator, {"fields": ["Last Name"]}, "Last Name"),
    (ZohoGetRecordsOperator, {"fields": []}, "fields"),
    (ZohoGetRecordsOperator, {"record_id": "1/2"}, "1/2"),
    (ZohoGetRecordsOperator, {"ids": ["x"]}, "x"),
    (ZohoGetRecordsOperator, {"sort_by": "Last_Name"}, "sort_by"),
    (ZohoGetRecordsOperator, {"sort_order": "up"}, "sort_order"),
    (ZohoGetRecordsOperator, {"converted": "maybe"}, "maybe"),
    (ZohoGetRecordsOperator, {"approved": "maybe"}, "maybe"),
    (ZohoGetRecordsOperator, {"cvid": "abc"}, "abc"),
    (ZohoGetRecordsOperator, {"territory_id": "1"}, "territories"),
    (ZohoGetRecordsOperator, {"include_child": "perhaps", "module": "Deals"}, "include_child"),
    (ZohoGetRecordsOperator, {"modified_since": "yesterday"}, "modified_since"),
    (ZohoGetRecordsOperator, {"page_size": "201"}, "page_size"),
    (ZohoGetRecordsOperator, {"page_size": 0}, "page_size"),
    (ZohoGetRecordsOperator, {"page_size": "many"}, "page_size"),
    (ZohoGetRecordsOperator, {"max_records": "0"}, "max_records"),
    (ZohoGetRecordsOperator, {"max_records": 1.5}, "max_records"),
    (ZohoGetRecordsOperator, {"max_xcom_records": "few"}, "max_xcom_records"),
    (ZohoGetRecordsOperator, {"output_path": "leads.xlsx"}, "leads.xlsx"),
    (ZohoGetRecordsOperator, {"api_version": "v99"}, "v99"),
    (ZohoUpsertOperator, {}, "records or input_path"),
    (ZohoUpsertOperator, {"records": [], "input_path": "x.csv"}, "records or input_path"),
    (ZohoUpsertOperator, {"records": "[{"}, "records"),
    (ZohoUpsertOperator, {"records": {"Last_Name": "x"}}, "list"),
    (ZohoUpsertOperator, {"records": ["x"]}, "record 0"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "trigger": ["fireworks"]}, "fireworks"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "lar_id": "x"}, "x"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "external_id": "a b"}, "a b"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "duplicate_check_fields": "a b"}, "a b"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "on_reject": "explode"}, "on_reject"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "max_reject_ratio": "2"}, "max_reject_ratio"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "max_reject_ratio": "half"}, "max_reject_ratio"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "rejects_path": "x.doc"}, "x.doc"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "module": "no module"}, "no module"),
    (ZohoUpsertOperator, {"input_path": "x.xlsx"}, "x.xlsx"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "max_concurrency": 0}, "max_concurrency"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "max_concurrency": "11"}, "max_concurrency"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "mapping": ["a"]}, "mapping"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "mapping": {"a": "b c"}}, "b c"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "ignore_empty": "perhaps"}, "ignore_empty"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "validate": "perhaps"}, "validate"),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "results_path": "x.doc"}, "x.doc"),
    (
        ZohoUpsertOperator,
        {"records": [{"a": 1}], "results_path": "x.csv", "rejects_path": "x.csv"},
        "two files",
    ),
    (ZohoUpsertOperator, {"records": [{"a": 1}], "max_credits": "-1"}, "max_credits"),
    (ZohoInsertOperator, {"records": [{"a": 1}], "trigger": ["fireworks"]}, "fireworks"),
    (ZohoUpdateOperator, {"records": [{"id": "1"}], "external_id": "a b"}, "a b"),
    (ZohoDeleteOperator, {}, "records or input_path"),
    (ZohoDeleteOperator, {"records": [{"id": "1"}], "wf_trigger": "perhaps"}, "wf_trigger"),
    (ZohoBulkWriteOperator, {}, "records or input_path"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "operation": "delete"}, "delete"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "operation": "insert", "find_by": "id"}, "find_by"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "find_by": "a b"}, "a b"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "max_jobs_in_flight": "0"}, "max_jobs_in_flight"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "timeout": "soon"}, "timeout"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "callback": "nowhere"}, "callback"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "rejects_path": "x.doc"}, "x.doc"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "module": "no module"}, "no module"),
    (ZohoBulkWriteOperator, {"records": [{"a": 1}], "on_reject": "explode"}, "on_reject"),
    (ZohoUpsertOperator, {"input_path": "<csv>", "trigger": ["fireworks"]}, "fireworks"),
    (ZohoUpsertOperator, {"input_path": "<csv>", "duplicate_check_fields": "a b"}, "a b"),
    (ZohoBulkReadOperator, {"output_path": None}, "output_path"),
    (ZohoBulkReadOperator, {"output_path": "x.xlsx"}, "x.xlsx"),
    (ZohoBulkReadOperator, {"output_path": "x.ics"}, "x.ics"),
    (ZohoBulkReadOperator, {"max_pages": "0"}, "max_pages"),
    (ZohoBulkReadOperator, {"max_pages": "all"}, "max_pages"),
    (ZohoBulkReadOperator, {"file_type": "pdf"}, "pdf"),
    (ZohoBulkReadOperator, {"file_type": "ics"}, "Events"),
    (ZohoBulkReadOperator, {"file_type": "ics", "module": "Events", "fields": ["a"]}, "fields"),
    (ZohoBulkReadOperator, {"file_type": "ics", "module": "Events", "output_path": "x.csv"}, "x.csv"),
    (ZohoBulkReadOperator, {"fields": [f"f{n}" for n in range(201)]}, "201"),
    (ZohoBulkReadOperator, {"criteria": {"api_name": "a", "comparator": "like", "value": 1}}, "like"),
    (ZohoBulkReadOperator, {"criteria": "{"}, "criteria"),
    (
        ZohoBulkReadOperator,
        {"criteria": {"api_name": "a", "comparator": "in", "value": list(range(201))}},
        "201",
    ),
    (
        ZohoBulkReadOperator,
        {
            "criteria": {
                "group_operator": "or",
                "group": [{"api_name": "a", "comparator": "equal", "value": 1}] * 26,
            }
        },
        "26",
    ),
    (ZohoBulkReadOperator, {"callback": "nowhere"}, "callback"),
    (ZohoBulkReadOperator, {"cvid": "abc"}, "abc"),
    (ZohoBulkReadOperator, {"module": "Le ads"}, "Le ads"),
    (ZohoQueryOperator, {"query": "drop table Leads"}, "drop table"),
    (ZohoQueryOperator, {"query": "select id from Leads"}, "where"),
    (ZohoQueryOperator, {"output_path": "leads.xlsx"}, "leads.xlsx"),
    (ZohoQueryOperator, {"max_xcom_records": "few"}, "max_xcom_records"),
    (ZohoQueryOperator, {"max_credits": "few"}, "max_credits"),
    (ZohoQueryOperator, {"max_records_per_file": 0, "output_path": "x.csv"}, "max_records_per_file"),
    (ZohoQueryOperator, {"api_version": "v99"}, "v99"),
    (ZohoGetDeletedRecordsOperator, {"module": "Le ads"}, "Le ads"),
    (ZohoGetDeletedRecordsOperator, {"type": "gone"}, "gone"),
    (ZohoGetDeletedRecordsOperator, {"deleted_since": "yesterday"}, "yesterday"),
    (ZohoGetRelatedRecordsOperator, {"record_ids": "1/2"}, "1/2"),
    (ZohoGetRelatedRecordsOperator, {"record_ids": ""}, "record_ids"),
    (ZohoGetRelatedRecordsOperator, {"record_ids": ["1", 2.0]}, "2.0"),
    (ZohoGetRelatedRecordsOperator, {"related_list": "Open/Tasks"}, "Open/Tasks"),
    (ZohoGetRelatedRecordsOperator, {"fields": None}, "fields"),
    (ZohoGetRelatedRecordsOperator, {"fields": [f"f{n}" for n in range(51)]}, "51"),
    (ZohoGetRelatedRecordsOperator, {"deleted": "perhaps"}, "perhaps"),
    (ZohoGetRelatedRecordsOperator, {"on_missing": "shrug"}, "shrug"),
    (ZohoCountOperator, {"module": "Le ads"}, "Le ads"),
    (ZohoCountOperator, {"cvid": "x"}, "x"),
    (ZohoCountOperator, {"cvid": "1", "criteria": "(a:equals:b)"}, "cvid"),
    (ZohoBulkReadJobSensor, {"job_id": "1/2"}, "1/2"),
    (ZohoApiCreditsSensor, {"min_credits": "0"}, "min_credits"),
    (ZohoApiCreditsSensor, {"min_credits": ""}, "min_credits"),
    (ZohoApiCreditsSensor, {"min_credits": "many"}, "many"),
]


@pytest.mark.parametrize(
    ("operator", "options", "word"),
    BAD,
    ids=lambda one: one.__name__ if isinstance(one, type) else str(one)[:50],
)
def test_a_parameter_that_cannot_be_right_fails_before_any_request(operator, options, word, zoho, tmp_path):
    options = {**needed(operator), **options}
    if operator is ZohoBulkReadOperator:
        options = {"output_path": str(tmp_path / "out.csv"), **options}
    if options.get("input_path") == "<csv>":
        (tmp_path / "in.csv").write_text("Last_Name\nx\n")
        options["input_path"] = str(tmp_path / "in.csv")
    with pytest.raises(ZohoCRMError) as refused:
        operator(task_id="t", **options).execute(context())
    assert isinstance(refused.value, ValueError)
    assert word in str(refused.value)
    assert zoho.mocker.request_history == []
    assert {one.name for one in tmp_path.iterdir()} <= {"in.csv"}


def test_a_bad_parameter_does_not_touch_the_rejects_of_the_run_before(zoho, tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text("kept\n")
    with pytest.raises(ZohoValidationError):
        ZohoUpsertOperator(
            task_id="t", module="Leads", records=[{"a": 1}], trigger=["fireworks"], rejects_path=str(rejects)
        ).execute(context())
    assert rejects.read_text() == "kept\n"
