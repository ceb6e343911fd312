"""Subforms over the wire: the simulator answers, its table is the truth."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import ZohoAuthenticationError, ZohoServerError, ZohoValidationError
from airflow_provider_zohocrm.extraction.subforms import (
    ParentIds,
    SubformField,
    subform_columns,
    subform_fields,
    subform_rows,
)
from airflow_provider_zohocrm.simulator.server import Simulator
from airflow_provider_zohocrm.storage.columns import Column

POSITIONS = SubformField("Positions", "Positions")
TYPED = [
    Column("id"),
    Column("Parent_Id", "lookup"),
    Column("Created_Time", "datetime"),
    Column("Modified_Time", "datetime"),
    Column("Product_Name"),
    Column("Quantity", "integer"),
    Column("Price", "decimal", 18),
    Column("Due_On", "date"),
]
WHOLE = [Column("id"), Column("Parent_Id", "lookup"), Column("Row", "json")]


@pytest.fixture(scope="module")
def running():
    with Simulator({"Leads": 700, "Quotes": 60}) as simulator:
        yield simulator


@pytest.fixture
def simulator(running):
    yield running
    running.reset()


def client(simulator, version="v8"):
    connection = simulator.connection
    fields = connection["extra"] | {"api_version": version}
    credentials = ZohoCredentials.from_fields(connection["login"], connection["password"], fields)
    return ZohoCRMClient(Transport(credentials, store=MemoryTokenStore(), policy=RetryPolicy(retries=0)))


def truth(simulator, module="Leads", subform="Positions", of=None):
    """The rows as the records show them, in the form in which they are read, by id."""
    return {
        row["id"]: row | {"Parent_Id": {"id": record["id"]}}
        for record in simulator.table(module)
        if of is None or record["id"] in of
        for row in record[subform]
    }


def read(api, simulator, columns=TYPED, **options):
    simulator.state.journal.clear()
    simulator.state.limits.reset()
    found = {}
    for name, rows in subform_rows(api, "Leads", [POSITIONS], {"Positions": columns}, **options):
        assert name == "Positions"
        for row in rows:
            assert row["id"] not in found
            found[row["id"]] = row
    return found


def spent(simulator):
    return simulator.counters["credits"]


def calls(simulator):
    return {k: n for k, n in simulator.counters["calls_by_operation"].items() if k != "token"}


# --- which subforms ----------------------------------------------------------------------------------------------


def test_subforms_are_found_in_the_metadata(simulator):
    fields = client(simulator).get_fields("Leads")
    assert subform_fields(fields, "all") == [POSITIONS]
    assert subform_fields(fields, ["Positions"]) == [POSITIONS]
    assert subform_fields(fields, "Positions") == [POSITIONS]


@pytest.mark.parametrize(
    ("subform", "module"),
    [
        ({"module": "Leads_Rows", "id": "1"}, "Leads_Rows"),
        (None, "Items"),
        ({"module": None, "id": None}, "Items"),
    ],
)
def test_the_module_of_the_rows_is_the_one_zoho_names(subform, module):
    field = {"api_name": "Items", "data_type": "subform", "subform": subform}
    assert subform_fields([field], "all") == [SubformField("Items", module)]


def test_an_unknown_subform_names_those_there_are(simulator):
    fields = client(simulator).get_fields("Leads")
    with pytest.raises(ZohoValidationError, match=r"'Posts'; the module has Positions"):
        subform_fields(fields, ["Positions", "Posts"])
    with pytest.raises(ZohoValidationError, match="the module has no subforms"):
        subform_fields([], ["Posts"])
    assert subform_fields([], "all") == []


def test_columns_come_from_the_metadata_of_the_rows(simulator):
    found = subform_columns(client(simulator), POSITIONS)
    assert [(column.name, column.kind) for column in found] == [
        (column.name, column.kind) for column in TYPED
    ]


def test_without_metadata_a_row_is_one_json_column(simulator, caplog):
    simulator.options.subform_modules = False
    assert subform_columns(client(simulator), POSITIONS) == WHOLE
    assert "INVALID_MODULE" in caplog.text


# --- by COQL -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v8", "v3", "v2"])
def test_all_rows_by_a_walk_over_their_module(simulator, version):
    found = read(client(simulator, version), simulator)
    assert found == truth(simulator)
    pages = {"v2": 4}.get(version, 1)
    assert (calls(simulator), spent(simulator)) == ({"coql": pages}, pages if version == "v2" else 3)


def test_rows_of_few_records_are_asked_for_by_their_ids(simulator):
    wanted = [lead["id"] for lead in simulator.table("Leads")][100:180]
    found = read(client(simulator), simulator, parent_ids=iter(wanted))
    assert found == truth(simulator, of=wanted)
    assert (calls(simulator), spent(simulator)) == ({"coql": 1}, 1)


def test_rows_of_more_records_are_counted_and_the_cheaper_way_is_taken(simulator):
    ids = [lead["id"] for lead in simulator.table("Leads")]
    # 2 queries of a hundred ids are cheaper than the walk of 3 credits; 7 are not.
    found = read(client(simulator), simulator, parent_ids=ids[:200])
    assert (found, spent(simulator)) == (truth(simulator, of=ids[:200]), 1 + 2)
    found = read(client(simulator), simulator, parent_ids=ids[::-1][:650])
    assert (found, spent(simulator)) == (truth(simulator, of=set(ids[50:])), 1 + 3)


def test_many_rows_in_few_records_take_larger_pages(simulator):
    ids = [lead["id"] for lead in simulator.table("Leads")][:200]
    api = client(simulator)
    api.update_records(
        "Leads", [{"id": one, "Positions": [{"Quantity": n} for n in range(5)]} for one in ids]
    )
    found = read(api, simulator, parent_ids=ids)
    assert found == truth(simulator, of=ids)
    # The count; 500 rows in three pages of 200; 500 in one of up to 2,000.
    assert (calls(simulator), spent(simulator)) == ({"coql": 1 + 3 + 1}, 1 + 3 + 3)


def test_where_in_takes_fifty_values_only(simulator):
    simulator.options.coql_in_values = 50
    ids = [lead["id"] for lead in simulator.table("Leads")][:100]
    assert read(client(simulator), simulator, parent_ids=ids) == truth(simulator, of=ids)
    assert [one["status"] for one in simulator.requests if one["path"].endswith("coql")][-2:] == [200, 200]


def test_a_select_that_takes_few_columns(simulator):
    simulator.options.coql_fields = 5
    assert read(client(simulator), simulator) == truth(simulator)


def test_no_records_are_no_calls(simulator):
    assert read(client(simulator), simulator, parent_ids=[]) == {}
    assert calls(simulator) == {}


def test_a_failure_in_the_walk_is_no_refusal(simulator):
    simulator.add_fault("status", path="/coql", status=500)
    with pytest.raises(ZohoServerError):
        read(client(simulator), simulator)


def test_a_token_that_is_not_accepted_is_no_refusal(simulator):
    body = {"code": "INVALID_TOKEN", "message": "invalid oauth token", "status": "error", "details": {}}
    simulator.add_fault("status", path="/coql", status=401, body=body, count=None)
    with pytest.raises(ZohoAuthenticationError):
        read(client(simulator), simulator)


def test_rows_of_records_that_go_and_come_in_the_walk(simulator):
    ids = [lead["id"] for lead in simulator.table("Leads")]
    simulator.add_fault(
        "meanwhile",
        path="/coql",
        after=1,
        calls=[{"method": "DELETE", "path": f"/crm/v2/Leads?ids={ids[500]}"}],
    )
    # In v2 pages hold 200 rows; the record of row 500 goes behind the second.
    found = read(client(simulator, "v2"), simulator)
    assert found == truth(simulator)
    assert simulator.faults[0]["answers"] == [200]


# --- with the records --------------------------------------------------------------------------------------------


def test_refused_coql_is_read_with_the_records_and_logged(simulator, caplog):
    simulator.options.subform_modules = False
    ids = [lead["id"] for lead in simulator.table("Leads")][:130]
    with caplog.at_level(logging.WARNING):
        found = read(client(simulator), simulator, parent_ids=ids)
    assert found == truth(simulator, of=ids)
    assert calls(simulator) == {"coql": 2, "one_record": 130}
    [line] = [one.getMessage() for one in caplog.records if "refuses COQL" in one.getMessage()]
    assert "Positions (INVALID_MODULE)" in line
    assert "130 credits" in line


def test_a_missing_scope_for_coql_is_no_obstacle(simulator):
    simulator.options.scopes = "ZohoCRM.modules.ALL,ZohoCRM.settings.ALL"
    assert read(client(simulator), simulator) == truth(simulator)
    # The ids of all records come from lists.
    assert calls(simulator) == {"coql": 2, "list_records": 4, "one_record": 700}


def test_all_records_are_found_by_coql_where_only_the_subform_is_refused(simulator):
    simulator.options.subform_modules = False
    assert read(client(simulator), simulator, columns=WHOLE).keys() == truth(simulator).keys()
    assert calls(simulator) == {"coql": 1, "one_record": 700}


def test_rows_without_metadata_are_whole(simulator):
    simulator.options.subform_modules = False
    lead = next(one for one in simulator.table("Leads") if one["Positions"])
    found = read(client(simulator), simulator, columns=WHOLE, parent_ids=[lead["id"]])
    row = lead["Positions"][0]
    rest = {name: value for name, value in row.items() if name not in ("id", "Parent_Id")}
    assert found[row["id"]] == {"id": row["id"], "Parent_Id": {"id": lead["id"]}, "Row": rest}


def test_a_record_that_went_has_no_rows(simulator):
    simulator.options.subform_modules = False
    ids = [lead["id"] for lead in simulator.table("Leads")][:6]
    api = client(simulator)
    api.delete_records("Leads", [ids[1]])
    assert read(api, simulator, parent_ids=ids) == truth(simulator, of=ids)


def test_fewer_records_than_subforms_are_read_alone(simulator):
    quote = next(one for one in simulator.table("Quotes") if one["Quoted_Items"])
    api = client(simulator)
    [items] = subform_fields(api.get_fields("Quotes"), "all")
    other = SubformField("Other_Items", "Other_Items")
    simulator.state.limits.reset()
    columns = {"Quoted_Items": TYPED, "Other_Items": WHOLE}
    found = list(subform_rows(api, "Quotes", [items, other], columns, parent_ids=[quote["id"]]))
    wanted = truth(simulator, "Quotes", "Quoted_Items", [quote["id"]])
    assert found == [("Quoted_Items", list(wanted.values()))]
    assert calls(simulator) == {"one_record": 1}


def test_ids_are_kept_in_order_and_small():
    ids = ParentIds(["30", "4", "100", "4"])
    assert (list(ids), len(ids), ids.chunk(1, 5)) == (["4", "30", "100"], 3, ("30", "100"))
    assert "30" in ids
    assert "5" not in ids
    assert "101" not in ids
    with pytest.raises(ZohoValidationError, match="no Zoho id"):
        ParentIds(["x"])
