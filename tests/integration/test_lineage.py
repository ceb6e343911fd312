"""What each operator tells of its run: events of assets, OpenLineage, links. Nothing of it costs a call."""

from __future__ import annotations

import json
import sys
import uuid
from datetime import datetime, timezone

import pytest
from openlineage.client import set_producer
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde
from support.assets import events_of_outlets, run_context
from support.lineage import validate_event
from support.running import run_to_end
from support.simulated import asked

from airflow_provider_zohocrm import (
    ZohoBulkReadOperator,
    ZohoBulkWriteOperator,
    ZohoCountOperator,
    ZohoDeleteOperator,
    ZohoGetDeletedRecordsOperator,
    ZohoGetRecordsOperator,
    ZohoGetRelatedRecordsOperator,
    ZohoInsertOperator,
    ZohoQueryOperator,
    ZohoUpdateOperator,
    ZohoUpsertOperator,
)
from airflow_provider_zohocrm._compat import asset, asset_alias
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.operators.links import PAGES, ZohoModuleLink, ZohoRecordLink

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

ORG = "org20012345"
FIELDS = ["Last_Name", "Annual_Revenue", "Modified_Time"]


@pytest.fixture
def crm(simulated, connection):
    simulator = simulated({"Leads": 40}, job_polls=3)
    extra = {
        "refresh_token": simulator.refresh_token,
        "accounts_url": simulator.url,
        "organization": "20012345",
    }
    connection(login=simulator.client_id, password=simulator.client_secret, extra=extra)
    return simulator


def rows_of(simulator, count):
    return [
        {"id": each["id"], "Last_Name": each["Last_Name"], "Company": "Changed"}
        for each, _ in zip(simulator.table("Leads"), range(count), strict=False)
    ]


def event_of(operator):
    """Build the event as Airflow's OpenLineage provider does, and read it as a server does."""
    found = operator.get_openlineage_facets_on_complete(None)
    set_producer("https://github.com/apache/airflow")
    event = RunEvent(
        eventType=RunState.COMPLETE,
        eventTime=datetime.now(tz=timezone.utc).isoformat(),
        run=Run(runId=str(uuid.uuid4()), facets=found.run_facets),
        job=Job(namespace="default", name="dag.task", facets=found.job_facets),
        inputs=found.inputs,
        outputs=found.outputs,
    )
    content = json.loads(Serde.to_json(event))
    validate_event(content)
    return content


def run(operator, context=None, **options):
    """Run an operator to its end, through deferrals; return the instance that ended, its result and its context."""
    made = []
    context = context or run_context()

    def make():
        made.append(operator(task_id="t", **{"module": "Leads", **options}))
        return made[-1]

    result, deferrals = run_to_end(make, context)
    return made[-1], result, context, deferrals


def types_of(dataset):
    return {field["name"]: field.get("type") for field in dataset["facets"]["schema"]["fields"]}


def reading(tmp_path):
    return [
        (ZohoGetRecordsOperator, {"output_path": str(tmp_path / "a.jsonl"), "fields": FIELDS}),
        (ZohoGetRecordsOperator, {"output_path": str(tmp_path / "a.parquet"), "fields": FIELDS}),
        (
            ZohoGetRecordsOperator,
            {
                "output_path": str(tmp_path / "a.csv"),
                "fields": FIELDS,
                "strategy": "bulk",
                "deferrable": True,
                "poll_interval": 0,
                "max_poll_interval": 0,
            },
        ),
        (
            ZohoBulkReadOperator,
            {"output_path": str(tmp_path / "a.jsonl"), "fields": FIELDS, "poll_interval": 0},
        ),
        (
            ZohoBulkReadOperator,
            {
                "output_path": str(tmp_path / "a.parquet"),
                "fields": FIELDS,
                "deferrable": True,
                "poll_interval": 0,
                "max_poll_interval": 0,
            },
        ),
    ]


@pytest.mark.parametrize("which", range(5))
def test_a_read_tells_module_and_files(crm, tmp_path, which):
    operator, options = reading(tmp_path)[which]
    ended, result, context, deferrals = run(operator, **options)
    assert bool(deferrals) == options.get("deferrable", False)
    assert run_is_free(crm)
    event = event_of(ended)
    (read,), (written,) = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == (
        f"zohocrm://{crm.url.removeprefix('http://')}/{ORG}",
        "Leads",
    )
    assert (written["namespace"], written["name"]) == ("file", options["output_path"])
    assert set(FIELDS) <= set(types_of(read)) == set(types_of(written))
    if not options["output_path"].endswith("a.jsonl") or operator is ZohoBulkReadOperator:
        assert types_of(read)["Annual_Revenue"] == "decimal"
        assert types_of(read)["Modified_Time"] == "datetime"
    size = sum(file["bytes"] for file in result["files"])
    statistics = written["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (40, size, 1)

    (outlet,) = events_of_outlets(context)
    assert (outlet.alias, outlet.uri) == ("zohocrm_default/Leads/files", f"file://{options['output_path']}")
    newest = max(datetime.fromisoformat(each["Modified_Time"]) for each in crm.table("Leads"))
    watermark = outlet.extra.pop("watermark")
    assert datetime.fromisoformat(watermark) == newest
    jobs = outlet.extra.pop("job_id", None)
    if operator is ZohoBulkReadOperator or options.get("strategy") == "bulk":
        assert event["run"]["facets"]["externalQuery"]["externalQueryId"] == jobs
        assert asked(crm, f"/read/{jobs}/result")
    else:
        assert jobs is None
        assert event["run"].get("facets", {}) == {}
    assert outlet.extra == {
        "rows": 40,
        "bytes": size,
        "files": options["output_path"],
        "file_count": 1,
        "manifest": str(tmp_path / "_manifest.json"),
    }


def test_queries_deletions_and_related_records_tell_module_and_files(crm, tmp_path):
    leads = [each["id"] for each in crm.table("Leads")]
    path = str(tmp_path / "rows.jsonl")
    for operator, options in (
        (ZohoQueryOperator, {"query": "select Last_Name from Leads where id is not null"}),
        (ZohoGetDeletedRecordsOperator, {"module": "Leads"}),
        (
            ZohoGetRelatedRecordsOperator,
            {"module": "Leads", "related_list": "Notes", "record_ids": leads[:2], "fields": "Note_Title"},
        ),
    ):
        ended, context = operator(task_id="t", output_path=path, **options), run_context()
        result = ended.execute(context)
        event = event_of(ended)
        (read,), (written,) = event["inputs"], event["outputs"]
        assert (read["name"], written["name"]) == ("Leads", path)
        assert written["outputFacets"]["outputStatistics"]["rowCount"] == result["records"]
        (outlet,) = events_of_outlets(context)
        assert (outlet.alias, outlet.extra["rows"]) == ("zohocrm_default/Leads/files", result["records"])
    assert run_is_free(crm)


def test_a_count_tells_the_module(crm):
    ended = ZohoCountOperator(task_id="t", module="Leads")
    assert ended.execute(run_context()) == 40
    (read,) = event_of(ended)["inputs"]
    assert read["name"] == "Leads"


def test_a_query_whose_module_is_not_known_yet_declares_nothing():
    ended = ZohoQueryOperator(task_id="t", query="all.coql", output_path="/tmp/a.jsonl")
    assert (ended.inlets, ended.outlets) == ([], [])


def run_is_free(simulator):
    """Tell that nothing was read for the sake of lineage or links."""
    return (
        not [one for one in asked(simulator) if one.endswith("/org")]
        and len(asked(simulator, "settings/fields")) <= 1
    )


WRITING = [
    (ZohoInsertOperator, {}, "records"),
    (ZohoUpdateOperator, {}, "records"),
    (ZohoUpsertOperator, {}, "records"),
    (ZohoDeleteOperator, {}, "records"),
    (ZohoBulkWriteOperator, {"operation": "update"}, "bulk"),
    (ZohoBulkWriteOperator, {"operation": "update", "deferrable": True, "max_poll_interval": 0}, "bulk"),
    (
        ZohoUpsertOperator,
        {"operation": "bulk", "duplicate_check_fields": "id", "deferrable": True, "max_poll_interval": 0},
        "bulk",
    ),
]


@pytest.mark.parametrize(("operator", "options", "way"), WRITING)
def test_a_write_tells_files_and_module(crm, tmp_path, operator, options, way):
    source = tmp_path / "in.jsonl"
    rows = rows_of(crm, 7)
    if operator is ZohoInsertOperator:
        rows = [{"Last_Name": f"New {n}", "Company": "X"} for n in range(7)]
    bad = {"id": "no id"} if operator is not ZohoInsertOperator else {"Company": "No name"}
    source.write_text("".join(json.dumps(row) + "\n" for row in [*rows, bad]))
    waits = {} if way == "records" else {"poll_interval": 0}
    ended, result, context, deferrals = run(
        operator, input_path=str(source), on_reject="continue", **options, **waits
    )
    assert bool(deferrals) == options.get("deferrable", False)
    event = event_of(ended)
    (read,), (written,) = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == ("file", str(source))
    assert (written["namespace"], written["name"]) == (
        f"zohocrm://{crm.url.removeprefix('http://')}/{ORG}",
        "Leads",
    )
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 7
    if operator is not ZohoDeleteOperator:
        assert types_of(written)["Annual_Revenue"] == "currency"
    (outlet,) = events_of_outlets(context)
    assert outlet.alias == "zohocrm_default/Leads"
    assert outlet.uri == f"{written['namespace']}/Leads"
    jobs = outlet.extra.pop("job_id", "")
    assert bool(jobs) == (way == "bulk")
    assert event["run"].get("facets", {}).get("externalQuery", {}).get("externalQueryId", "") == jobs
    counts = {name: result[name] for name in ("inserted", "updated", "deleted", "rejected")}
    assert outlet.extra == {"rows": 7, **counts}
    assert result["rejected"] == 1


def test_the_fields_read_before_a_deferral_are_told_after_it(crm):
    options = {"operation": "update", "deferrable": True, "poll_interval": 0, "max_poll_interval": 0}
    ended, _, _, deferrals = run(ZohoBulkWriteOperator, records=rows_of(crm, 3), **options)
    assert deferrals
    assert types_of(event_of(ended)["outputs"][0])["Annual_Revenue"] == "currency"
    assert len(asked(crm, "settings/fields")) == 1


def test_a_load_that_fails_for_its_rejects_tells_what_it_wrote_all_the_same(crm):
    operator = ZohoUpdateOperator(task_id="t", module="Leads", records=[*rows_of(crm, 2), {"id": "no id"}])
    with pytest.raises(Exception, match="1 of 3 records"):
        operator.execute(run_context())
    assert event_of(operator)["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_records_in_xcom_have_a_module_and_no_files(crm):
    ended, _, context, _ = run(ZohoGetRecordsOperator, fields=["Last_Name"])
    event = event_of(ended)
    assert [each["name"] for each in event["inputs"]] == ["Leads"]
    assert event.get("outputs", []) == []
    assert events_of_outlets(context) == []


def test_a_run_that_failed_has_nothing_to_tell(crm):
    operator = ZohoGetRecordsOperator(task_id="t", module="Leads", fields=["Last_Name"], max_xcom_records=1)
    with pytest.raises(ZohoValidationError, match="more than 1 records"):
        operator.execute(run_context())
    assert operator.get_openlineage_facets_on_complete(None) is None


def test_works_where_openlineage_is_not_installed(crm, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openlineage", None)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", None)
    ended, _, context, _ = run(ZohoGetRecordsOperator, fields=FIELDS, output_path=str(tmp_path / "a.jsonl"))
    assert ended.report is not None
    assert [event.extra["rows"] for event in events_of_outlets(context)] == [40]


class TestOutlets:
    def read(self, tmp_path, path="leads.jsonl", **options):
        return run(ZohoGetRecordsOperator, fields=FIELDS, output_path=str(tmp_path / path), **options)

    def test_those_of_the_author_are_kept_and_carry_the_extra(self, crm, tmp_path):
        mine, alias = asset("file:///lake/leads"), asset_alias("my_leads")
        ended, _, context, _ = self.read(tmp_path, outlets=[mine, alias])
        assert ended.outlets == [mine, alias]
        found = {event.alias: event for event in events_of_outlets(context)}
        assert found[None].uri == "file:///lake/leads"
        assert found["my_leads"].uri == f"file://{tmp_path}/leads.jsonl"
        assert found[None].extra == found["my_leads"].extra
        assert found[None].extra["rows"] == 40

    def test_none_are_wanted(self, crm, tmp_path):
        ended, _, context, _ = self.read(tmp_path, outlets=[], inlets=[])
        assert (ended.inlets, ended.outlets) == ([], [])
        assert events_of_outlets(context) == []

    def test_a_path_with_templates_is_one_asset_for_all_runs(self, crm, tmp_path):
        operator = ZohoGetRecordsOperator(
            task_id="t",
            module="Leads",
            fields=FIELDS,
            output_path=f"{tmp_path}/lake/leads/{{{{ ds }}}}/part.jsonl",
        )
        operator.render_template_fields({"ds": "2026-01-01", "ti": None})
        context = run_context()
        operator.execute(context)
        (event,) = events_of_outlets(context)
        assert event.uri == f"file://{tmp_path}/lake/leads"
        assert event.extra["files"] == f"{tmp_path}/lake/leads/2026-01-01/part.jsonl"

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("more", [{}, {"watermark": "asset"}])
    def test_a_mapped_task_has_an_alias(self, crm, tmp_path, monkeypatch, more, known):
        """Airflow 2 would fail the task for an event of an alias that it knows from no DAG."""
        monkeypatch.setattr(
            "airflow_provider_zohocrm.operators.lineage.is_unknown_alias", lambda _: not known
        )
        monkeypatch.setattr("airflow_provider_zohocrm.operators.watermark.read_variable", lambda _: None)
        monkeypatch.setattr("airflow_provider_zohocrm.operators.watermark.write_variable", lambda *_: None)
        with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None):
            mapped = ZohoGetRecordsOperator.partial(task_id="t", fields=FIELDS, **more).expand_kwargs(
                [{"module": "Leads", "output_path": str(tmp_path / "a.jsonl")}]
            )
        one = mapped.unmap({"module": "Leads", "output_path": str(tmp_path / "a.jsonl")})
        context = run_context(map_index=0)
        one.execute(context)
        found = [(event.alias, event.extra["rows"]) for event in events_of_outlets(context)]
        assert found == [("zohocrm_default/Leads/files", 40)] * known

    def test_an_organisation_the_connection_does_not_name_is_named_by_the_connection(
        self, simulated, tmp_path
    ):
        simulated({"Leads": 2}, conn_id="zoho_eu")
        ended, *_ = run(ZohoGetRecordsOperator, fields=FIELDS, zohocrm_conn_id="zoho_eu")
        assert event_of(ended)["inputs"][0]["namespace"].endswith("/zoho_eu")


class TestLinks:
    def pages(self, context):
        return context["ti"].xcoms[PAGES]

    def test_every_operator_has_them(self):
        for operator in (ZohoGetRecordsOperator, ZohoBulkReadOperator, *{each[0] for each in WRITING}):
            made = operator(task_id="t", module="Leads")
            assert {link.name for link in made.operator_extra_links} == {"Zoho CRM module", "Zoho CRM record"}

    def test_lead_to_module_and_record_before_the_task_waits(self, crm, tmp_path, monkeypatch):
        record_id = rows_of(crm, 1)[0]["id"]
        *_, context, _ = run(ZohoGetRecordsOperator, record_id=record_id)
        base = f"https://crm.zoho.com/crm/{ORG}/tab/Leads"
        assert self.pages(context) == {"module": base, "record": f"{base}/{record_id}"}
        from airflow_provider_zohocrm.operators import links

        monkeypatch.setattr(links, "read_xcom", lambda ti_key, key: ti_key.xcoms.get(key))
        key = context["ti"]
        assert ZohoModuleLink().get_link(None, ti_key=key) == base
        assert ZohoRecordLink().get_link(None, ti_key=key) == f"{base}/{record_id}"
        assert ZohoRecordLink().get_link(None, ti_key=run_context()["ti"]) == ""

    @pytest.mark.parametrize(("operator", "options", "way"), WRITING)
    def test_writes_lead_to_the_module(self, crm, operator, options, way):
        context = run_context()
        rows = rows_of(crm, 2)
        waits = {} if way == "records" else {"poll_interval": 0}
        run(operator, context, records=rows, on_reject="continue", **options, **waits)
        assert self.pages(context) == {"module": f"https://crm.zoho.com/crm/{ORG}/tab/Leads"}
