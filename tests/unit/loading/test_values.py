from __future__ import annotations

import enum
import json
import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
import requests

from airflow_provider_zohocrm.client.jsontext import dumps
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.loading.keys import duplicate_check
from airflow_provider_zohocrm.loading.values import Preparation, Rejection
from airflow_provider_zohocrm.simulator.modules import USERS
from airflow_provider_zohocrm.simulator.server import Simulator


class NaTType(datetime):
    """As the missing moment of pandas behaves."""

    def __eq__(self, other):
        return False

    __hash__ = None


class NAType:
    """As the missing value of pandas behaves."""

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


class Scalar:
    """As the values and arrays of numpy: no Python values, but with a way to them."""

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


class Text(str):
    """As the texts of numpy."""

    __slots__ = ()


class Number(float):
    """As the numbers of numpy."""


class datetime64:
    """As the moments of numpy, which become a number where they are finer than a microsecond."""

    def __init__(self, moment, *, unit="ns"):
        self.moment, self.unit = moment, unit

    def astype(self, unit):
        return datetime64(self.moment, unit=unit)

    def tolist(self):
        return self.moment if self.unit == "datetime64[us]" else 1_704_164_645_678_901_234


class Timestamp(datetime):
    """Another datetime, such as those of pandas and pendulum."""


NAIVE = datetime(2024, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001  # the case at hand
IST = timezone(timedelta(hours=5, minutes=30))


@pytest.fixture(scope="module")
def simulator():
    with Simulator({"Leads": 30, "Accounts": 5, "Deals": 5, "Quotes": 5}) as running:
        yield running


class Zoho:
    """The simulator, asked by plain HTTP."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.session = requests.Session()
        form = {
            "grant_type": "refresh_token",
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "refresh_token": simulator.refresh_token,
        }
        answer = self.session.post(f"{simulator.url}/oauth/v2/token", data=form, timeout=10).json()
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {answer['access_token']}"

    def fields(self, module):
        url = f"{self.simulator.url}/crm/v8/settings/fields"
        return self.session.get(url, params={"module": module}, timeout=10).json()["fields"]

    def write(self, operation, record, module="Leads", **options):
        method, path = {
            "insert": ("POST", ""),
            "update": ("PUT", ""),
            "upsert": ("POST", "/upsert"),
            "delete": ("DELETE", ""),
        }[operation]
        url = f"{self.simulator.url}/crm/v8/{module}{path}"
        if operation == "delete":
            answer = self.session.delete(url, params={"ids": record["id"]}, timeout=10)
        else:
            answer = self.session.request(method, url, data=dumps({"data": [record], **options}), timeout=10)
        return answer.json()["data"][0]

    def record(self, id_, module="Leads"):
        return self.session.get(f"{self.simulator.url}/crm/v8/{module}/{id_}", timeout=10).json()["data"][0]


@pytest.fixture(scope="module")
def zoho(simulator):
    client = Zoho(simulator)
    yield client
    client.session.close()


@pytest.fixture(scope="module")
def ids(simulator):
    """Ids of a lead and of an account."""
    return {name: next(simulator.table(name))["id"] for name in ("Leads", "Accounts")}


@pytest.fixture(scope="module")
def leads(zoho):
    return zoho.fields("Leads")


def field(name, data_type, json_type="string", length=255, **more):
    return {"api_name": name, "data_type": data_type, "json_type": json_type, "length": length, **more}


FIELDS = [
    field("Name", "text", length=10, system_mandatory=True),
    field("Email", "email"),
    field("Flag", "boolean", "boolean"),
    field("Count", "integer", "integer", 9),
    field("Share", "percent", "double"),
    field("Amount", "currency", "double", 16),
    field("Big", "bigint", length=19),
    field("Day", "date"),
    field("Moment", "datetime"),
    field("Colours", "multiselectpicklist", "jsonarray"),
    field("Partner", "lookup", "jsonobject"),
    field("Owner", "ownerlookup", "jsonobject"),
    field("Helper", "userlookup", "jsonobject"),
    field("Tag", "text", "jsonarray"),
    field("Positions", "subform", "jsonarray"),
    field("Total", "formula", "double", read_only=True),
    field("Created_Time", "datetime", read_only=True),
    field("Stage", "picklist"),
    field("Points", "rollup_summary", "integer"),
    field("Extra", "not_known_yet", "jsonobject"),
]


def one(name, value, *, fields=FIELDS, operation="update", texts=False, **options):
    """Prepare a single value; the record, or the rejection."""
    found = Preparation(fields, operation, **options).prepare({"id": "1", name: value}, texts=texts)
    if isinstance(found, Rejection):
        return found
    assert found.pop("id") == "1"
    return found


class Size(enum.Enum):
    SMALL = "small"


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("Name", "x", "x"),
        ("Name", "  x ", "  x "),
        ("Name", 7, "7"),
        ("Name", 7.0, "7"),
        ("Name", 7.5, "7.5"),
        ("Name", Decimal("7.50"), "7.50"),
        ("Name", True, "true"),
        ("Name", date(2024, 2, 29), "2024-02-29"),
        ("Name", Size.SMALL, "small"),
        ("Name", Scalar(7), "7"),
        ("Name", Text("x"), "x"),
        ("Stage", "a stage nobody knows", "a stage nobody knows"),
        ("Stage", time(9, 30), "09:30:00"),
        ("Stage", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("Stage", NAIVE, "2024-01-02T03:04:05+00:00"),
        ("Email", "a@example.com", "a@example.com"),
        ("Flag", True, True),
        ("Flag", "true", True),
        ("Flag", " FALSE ", False),
        ("Flag", "1", True),
        ("Flag", 0, False),
        ("Flag", 1.0, True),
        ("Flag", Scalar(False), False),
        ("Count", 42, 42),
        ("Count", " -7 ", -7),
        ("Count", "+7", 7),
        ("Count", "4.0", 4),
        ("Count", "1e3", 1000),
        ("Count", 4.0, 4),
        ("Count", Decimal("4.00"), 4),
        ("Count", Scalar(4), 4),
        ("Count", Number(4), 4),
        ("Points", 2**62, 2**62),
        ("Amount", 1.5, 1.5),
        ("Amount", 3, 3),
        ("Amount", "1.10", Decimal("1.10")),
        ("Amount", " 1234567890.12345678901234567890 ", Decimal("1234567890.1234567890123456789")),
        ("Amount", Decimal("0.100000000000000000"), Decimal("0.1")),
        ("Amount", Decimal("1E+3"), Decimal(1000)),
        ("Amount", Scalar(1.5), 1.5),
        ("Share", 2**70, Decimal(2**70)),
        ("Share", "9" * 30, Decimal("9" * 30)),
        (
            "Share",
            Decimal("0.12345678901234567890123456789012345678"),
            Decimal("0.12345678901234567890123456789012345678"),
        ),
        ("Big", 9_007_199_254_740_993, "9007199254740993"),
        ("Big", "9223372036854775807", "9223372036854775807"),
        ("Big", " +007 ", "7"),
        ("Big", Decimal(9007199254740993), "9007199254740993"),
        ("Big", 7.0, "7"),
        ("Big", -7, "-7"),
        ("Day", "2024-02-29", "2024-02-29"),
        ("Day", date(2024, 2, 29), "2024-02-29"),
        ("Day", datetime(2024, 2, 29, tzinfo=IST), "2024-02-29"),
        ("Day", Timestamp(2024, 2, 29, tzinfo=IST), "2024-02-29"),
        ("Day", datetime64(datetime(2024, 2, 29, tzinfo=IST)), "2024-02-29"),
        ("Day", "2024-02-29 00:00:00", "2024-02-29"),
        ("Day", date(33, 4, 3), "0033-04-03"),
        ("Moment", "2024-01-02T03:04:05+05:30", "2024-01-02T03:04:05+05:30"),
        ("Moment", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05+00:00"),
        ("Moment", "2024-01-02T03:04:05-0530", "2024-01-02T03:04:05-05:30"),
        ("Moment", "2024-01-02T03:04:05+05", "2024-01-02T03:04:05+05:00"),
        ("Moment", "2024-01-02 03:04:05.678901", "2024-01-02T03:04:05+00:00"),
        ("Moment", "2024-01-02T03:04", "2024-01-02T03:04:00+00:00"),
        ("Moment", "2024-01-02", "2024-01-02T00:00:00+00:00"),
        ("Moment", NAIVE, "2024-01-02T03:04:05+00:00"),
        ("Moment", datetime(2024, 1, 2, 3, 4, 5, tzinfo=IST), "2024-01-02T03:04:05+05:30"),
        (
            "Moment",
            datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
            "1889-12-31T23:06:32+00:00",
        ),
        ("Moment", date(2024, 1, 2), "2024-01-02T00:00:00+00:00"),
        (
            "Moment",
            Timestamp(2024, 1, 2, 3, 4, 5, 678901, IST),
            "2024-01-02T03:04:05+05:30",
        ),
        ("Moment", datetime64(NAIVE), "2024-01-02T03:04:05+00:00"),
        ("Colours", ["red", "blue"], ["red", "blue"]),
        ("Colours", "red; dark blue ;", ["red", "dark blue"]),
        ("Colours", '["a;b", "c"]', ["a;b", "c"]),
        ("Colours", "[a];b", ["[a]", "b"]),
        ("Colours", ("red",), ["red"]),
        ("Colours", Scalar(["red", "blue"]), ["red", "blue"]),
        ("Colours", [], []),
        ("Partner", {"id": "12"}, {"id": "12"}),
        ("Partner", {"id": "12", "name": "Acme"}, {"id": "12", "name": "Acme"}),
        ("Partner", {"id": "12", "name": None}, {"id": "12"}),
        ("Partner", {"id": 12}, {"id": "12"}),
        ("Partner", "12", {"id": "12"}),
        ("Partner", " 12 ", {"id": "12"}),
        ("Partner", 1306462000000888026, {"id": "1306462000000888026"}),
        ("Partner", 12.0, {"id": "12"}),
        ("Partner", '{"id": "12", "name": "Acme"}', {"id": "12", "name": "Acme"}),
        ("Partner", {"name": "Acme"}, {"name": "Acme"}),
        ("Owner", "12", {"id": "12"}),
        ("Owner", {"id": "12", "name": "a", "email": None}, {"id": "12", "name": "a"}),
        ("Helper", 12, {"id": "12"}),
        ("Tag", "VIP; new", [{"name": "VIP"}, {"name": "new"}]),
        ("Tag", ["VIP", {"name": "new", "id": "1"}], [{"name": "VIP"}, {"name": "new", "id": "1"}]),
        ("Positions", [{"Product": "x"}], [{"Product": "x"}]),
        ("Positions", '[{"Product": "x", "Note": null}]', [{"Product": "x"}]),
        ("Positions", [{"id": "1", "_delete": None}], [{"id": "1", "_delete": None}]),
        ("Positions", [], []),
        ("Extra", '{"a": [1]}', {"a": [1]}),
        ("Extra", "text", "text"),
        ("$append_values", '{"Tag": true}', {"Tag": True}),
        ("$append_values", {"Tag": True}, {"Tag": True}),
        # Zoho ignores what is read-only, whatever it is.
        ("Created_Time", datetime(2024, 1, 2, tzinfo=timezone.utc), "2024-01-02T00:00:00+00:00"),
        ("Created_Time", "some day", "some day"),
        ("Total", "1.5", Decimal("1.5")),
        ("Layout", {"id": "7"}, {"id": "7"}),
    ],
)
def test_a_value_gets_the_form_of_its_field(name, value, sent):
    found = one(name, value)
    assert found == {name: sent}
    assert type(found[name]) is type(sent)
    dumps(found)


def test_the_tag_of_subform_rows_and_their_own_fields_are_converted():
    rows = [field("id", "bigint"), field("Quantity", "integer", "integer"), field("Due_On", "date")]
    value = '[{"Quantity": "3", "Due_On": "2024-01-02 00:00:00", "Note": null}, {"id": 5, "_delete": null}]'
    found = one("Positions", value, row_fields=lambda _: rows)
    assert found == {"Positions": [{"Quantity": 3, "Due_On": "2024-01-02"}, {"id": "5", "_delete": None}]}


EMPTY = [
    None,
    "",
    float("nan"),
    Decimal("NaN"),
    NaTType(2024, 1, 1),
    NAType(),
    Scalar(math.nan),
    datetime64(None),
]


@pytest.mark.parametrize("name", ["Email", "Flag", "Count", "Amount", "Big", "Day", "Moment", "Colours", "Partner",
                                  "Tag", "Positions", "Extra", "Created_Time", "$x"])  # fmt: skip
@pytest.mark.parametrize("value", EMPTY, ids=map(repr, EMPTY))
def test_what_is_empty_leaves_the_field_alone_or_empties_it(name, value):
    assert one(name, value) == {}
    assert one(name, value, ignore_empty=False) == {name: None}


@pytest.mark.parametrize("name", ["Flag", "Count", "Amount", "Big", "Day", "Moment", "Colours", "Partner"])
def test_a_blank_is_empty_where_there_are_no_texts(name):
    assert one(name, "  ", texts=True) == {}


def test_an_object_of_nulls_is_empty():
    assert one("Partner", {"id": None, "name": None}, ignore_empty=False) == {"Partner": None}


def test_an_empty_list_empties_the_field():
    assert one("Colours", []) == {"Colours": []}


@pytest.mark.parametrize(
    "name", ["Name", "Flag", "Count", "Amount", "Share", "Big", "Day", "Moment", "Partner", "Colours"]
)
@pytest.mark.parametrize("value", [math.inf, -math.inf, Decimal("Infinity"), b"\xff", object()], ids=repr)
def test_what_has_no_form_is_rejected_and_never_sent_as_null(name, value):
    found = one(name, value)
    assert found.code == "INVALID_DATA"
    assert found.json_path == f"$.{name}"
    if not isinstance(value, (bytes, int)) and type(value) is not object:
        assert json.loads(dumps(one(name, value, validate=False)))[name] is not None


@pytest.mark.parametrize(
    ("value", "sent"),
    [("99999999999999999999", "99999999999999999999"), (2**64, str(2**64)), (-(10**30), str(-(10**30)))],
)
def test_a_number_of_many_digits_can_be_sent_for_zoho_to_judge(value, sent):
    assert f'"Count":{sent}'.encode() in dumps(one("Count", value, validate=False))


@pytest.mark.parametrize("value", ["1e999999999", Decimal("1e999999999"), Decimal("1e-999999999")])
def test_an_exponent_that_would_fill_the_memory_is_rejected(value):
    assert one("Amount", value).code == "INVALID_DATA"
    assert len(dumps(one("Amount", value, validate=False))) < 100


# --- against the simulator -----------------------------------------------------------------------------------

BAD_AND_GOOD = [
    ("Last_Name", ["x" * 80, "x" * 81, "\U0001f680" * 80, 7, ["x"], {"a": 1}, True, None, ""]),
    ("Email", ["a@b.de", "a@b", "a b@c.de", "a@b.de;", "x" * 120 + "@b.de", "x" * 120, 7, ""]),
    ("Phone", ["+49 (89) 1/2-3", "12ab", "1" * 31, "0049_1", "\u0664\u0662", 5551234]),
    ("Website", ["http://a.de", "no address", "x" * 256]),
    ("Lead_Source", ["Cold Call", "Not in the list", "x" * 121, 7]),
    ("Description", ["x" * 32_000, "x" * 32_001]),
    ("No_of_Employees", [0, -1, 2_147_483_647, 2_147_483_648, -2_147_483_648, 2**63, 1.0, 1.5, "7", "7.5", "x", True, [1], "\u0664\u0662"]),
    ("Annual_Revenue", [0, 1.5, 10**16, 10**16 + 1, -(10**16) - 1, 1e17, Decimal("0.1"), Decimal("1e20"), "1.10", "1,10", "NaN", "Infinity", "x", "1_000", True, [1], {}]),
    ("Score", [0.1, 1e16, 1.1e16, "1e3", "x"]),
    ("Ledger_Number", ["7", 7, "9223372036854775807", "9" * 19, "9" * 20, -5, "-" + "9" * 19, "-" + "9" * 20, 10**19, 1.5, 2.0**60, "x", True]),
    ("Email_Opt_Out", [True, "true", "yes", 1, 2, "0", 0.5, [], "x"]),
    ("Birthday", ["2024-02-29", "2023-02-29", "2024-2-9", "29.02.2024", "2024-02-29T10:00:00Z", NAIVE, date(2024, 2, 29), 20240229, "0000-01-01", "2024-W01-1", "20240229", True]),
    ("Next_Call", ["2024-01-02T03:04:05+05:30", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.5Z", "2024-01-02T24:00:00Z", "2024-02-30T00:00:00+00:00", "2024-01-02T03:04:60+00:00", "2024-01-02T03:04:05+25:00", "2024-01-02T03:04:05+05:75", "2024-01-02", "2024-13-01T00:00:00Z", "noon", 1704164645, NAIVE, True, "0001-01-01T00:00:00+05:30", "9999-12-31T23:59:59-05:30"]),
    ("Languages", [["English"], [], ["Klingon"], ["English", 7], "English;Deutsch", '["English"]', {"a": 1}, 7, [["English"]], [None]]),
    ("Partner", [{"id": "account"}, "account", "x", 7.5, "9" * 20, {"id": "x"}, {"id": "9" * 20}, ["1"], True, {"id": True}, {"id": [1]}]),
    ("Owner", [{"id": "user"}, "user", "Patricia", {"id": "x"}, 1.5]),
    ("Tag", [["VIP"], [{"name": "VIP"}], "VIP;new", {"name": "VIP"}, 7, [7]]),
    ("Positions", [[{"Product_Name": "x"}], '[{"Quantity": 2}]', [], {"Product_Name": "x"}, "x", [1], 7]),
    # Read-only: anything goes.
    ("Full_Name", ["x", 7, "x" * 300]),
    ("Created_Time", ["some day", "2024-01-02T03:04:05Z"]),
    ("$append_values", [{"Tag": True}, "x"]),
]  # fmt: skip


def cases():
    for name, values in BAD_AND_GOOD:
        for value in values:
            yield pytest.param(name, value, id=f"{name}-{str(value)[:30]}-{type(value).__name__}")


def known(value, ids):
    """Put the ids of records and users that are there in the place of their names."""
    if isinstance(value, dict):
        return {key: known(one_, ids) for key, one_ in value.items()}
    if not isinstance(value, str):
        return value
    if value == "account":
        return ids["Accounts"]
    return {"user": USERS[1].id}.get(value, value)


@pytest.mark.parametrize("operation", ["insert", "update", "upsert"])
@pytest.mark.parametrize("ignore_empty", [True, False])
@pytest.mark.parametrize(("name", "value"), list(cases()))
def test_what_is_rejected_is_what_the_simulator_rejects(
    zoho, leads, ids, operation, name, value, ignore_empty
):
    row = {"Last_Name": "Boyle", "Company": "Zylker", name: known(value, ids)}
    row |= {} if operation == "insert" else {"id": ids["Leads"]}
    options = {"ignore_empty": ignore_empty, "checked": duplicate_check("Leads", leads, None)}
    local = Preparation(leads, operation, **options).prepare(row, texts=False)
    sent = Preparation(leads, operation, validate=False, **options).prepare(row, texts=False)
    if not isinstance(local, Rejection):
        assert sent == local
    said = zoho.write(operation, sent)
    if isinstance(local, Rejection):
        place = said["details"].pop("json_path")
        assert (local.code, local.message, local.details) == (said["code"], said["message"], said["details"])
        assert local.json_path == place.replace("$.data[0]", "$")
    else:
        assert said["code"] == "SUCCESS", said


@pytest.mark.parametrize("operation", ["insert", "update", "upsert", "delete"])
@pytest.mark.parametrize("id_", [None, "", "x", "1", "9" * 20, 12, "12x", "\u0664", "1,2", 1.5, True])
def test_ids_are_rejected_as_the_simulator_does(zoho, leads, ids, operation, id_):
    row = {"Last_Name": "Boyle", "Company": "Zylker", "id": id_}
    local = Preparation(leads, operation).prepare(row, texts=False)
    if operation == "delete" and id_ in (None, "", "1,2"):
        # Zoho never hears of these: an id that is missing or is two would change what the others of the call mean.
        assert local.code == ("INVALID_DATA" if id_ else "MANDATORY_NOT_FOUND")
        return
    said = zoho.write(operation, Preparation(leads, operation, validate=False).prepare(row, texts=False)
                      if operation != "delete" else {"id": id_})  # fmt: skip
    if isinstance(local, Rejection):
        said["details"].pop("json_path", None)
        assert (local.code, local.message, local.details) == (said["code"], said["message"], said["details"])
    elif said["code"] != "SUCCESS":
        # Whether a record is there, only Zoho knows.
        assert (said["code"], str(id_).isascii() and str(id_).isdigit()) == ("INVALID_DATA", True)


MISSING = [
    ("insert", {}, True),
    ("insert", {"External_Key": "LEAD-0000003"}, True),
    ("insert", {"Last_Name": "x"}, True),
    ("insert", {"Last_Name": "x", "Company": "y"}, False),
    ("insert", {"Last_Name": None, "Company": "y"}, True),
    ("upsert", {}, True),
    ("upsert", {"Phone": "1"}, True),
    ("upsert", {"External_Key": "LEAD-0000003"}, False),
    ("upsert", {"Email": "lead.0000004@example.com", "Phone": "1"}, False),
    ("upsert", {"id": "known"}, False),
    ("upsert", {"id": ""}, True),
    ("upsert", {"External_Key": ""}, True),
    ("update", {"id": "known"}, False),
    ("update", {"id": "known", "Phone": "1"}, False),
]


@pytest.mark.parametrize(("operation", "row", "rejected"), MISSING)
def test_a_missing_mandatory_field_is_rejected_where_the_record_is_new_for_certain(
    zoho, leads, ids, operation, row, rejected
):
    if row.get("id") == "known":
        row = {**row, "id": ids["Leads"]}
    checked = duplicate_check("Leads", leads, None)
    local = Preparation(leads, operation, checked=checked).prepare(row, texts=False)
    said = zoho.write(operation, Preparation(leads, operation, validate=False).prepare(row, texts=False))
    assert isinstance(local, Rejection) is rejected
    if rejected:
        place = said["details"].pop("json_path")
        assert local == Rejection(
            said["code"], said["message"], said["details"], place.replace("$.data[0]", "$")
        )
    else:
        assert said["code"] == "SUCCESS"


@pytest.mark.parametrize("name", ["Last_Name", "Company"])
@pytest.mark.parametrize("operation", ["insert", "update", "upsert"])
def test_a_mandatory_field_cannot_be_emptied(zoho, leads, ids, operation, name):
    row = {"id": ids["Leads"], "Last_Name": "x", "Company": "y", name: None}
    local = Preparation(leads, operation, ignore_empty=False).prepare(row, texts=False)
    said = zoho.write(operation, row)
    assert (local.code, local.json_path) == ("MANDATORY_NOT_FOUND", f"$.{name}")
    assert said["code"] == local.code


def test_an_upsert_by_a_value_nobody_has_is_left_to_zoho(zoho, leads, ids):
    row = {"External_Key": "nobody has this"}
    assert Preparation(leads, "upsert").prepare(row, texts=False) == row
    assert zoho.write("upsert", row)["code"] == "MANDATORY_NOT_FOUND"


def test_what_zoho_fills_in_itself_is_not_missed():
    fields = [
        field("Owner", "ownerlookup", "jsonobject", system_mandatory=True),
        field("Flag", "boolean", "boolean", system_mandatory=True),
        field("Stage", "picklist", system_mandatory=True, default_value="Open"),
        field("Number", "autonumber", system_mandatory=True, read_only=True),
    ]
    assert Preparation(fields, "insert").prepare({}, texts=False) == {}


def test_the_first_error_is_that_of_the_first_field_of_the_module(zoho, leads, ids):
    row = {"Birthday": "x", "Email": "x", "Last_Name": "Boyle"}
    local = Preparation(leads, "insert").prepare(row, texts=False)
    said = zoho.write("insert", row)
    assert (local.code, local.details["api_name"]) == (said["code"], said["details"]["api_name"])


def test_an_unknown_field_is_rejected_though_zoho_would_drop_the_value_without_a_word(zoho, leads, ids):
    row = {"Last_Name": "Boyle", "Company": "Zylker", "Compnay": "Zylker"}
    assert zoho.write("insert", row)["code"] == "SUCCESS"
    found = Preparation(leads, "insert").prepare(row, texts=False)
    assert (found.code, found.details, found.json_path) == (
        "INVALID_DATA",
        {"api_name": "Compnay"},
        "$.Compnay",
    )
    assert Preparation(leads, "insert").prepare({**row, "Compnay": None}, texts=False) == {
        "Last_Name": "Boyle",
        "Company": "Zylker",
    }
    assert Preparation(leads, "insert", validate=False).prepare(row, texts=False) == row


def test_rows_of_subforms_are_checked_by_their_own_fields(zoho, leads, ids):
    # The simulator does not look into the rows.
    rows = zoho.fields("Positions")
    value = [{"Quantity": 1}, {"Quantity": "2", "Due_On": "soon"}, {"Price": "x"}]
    found = one("Positions", value, fields=leads, row_fields=lambda _: rows)
    assert found == Rejection(
        "INVALID_DATA",
        "invalid data",
        {"expected_data_type": "date", "api_name": "Due_On", "parent_api_name": "Positions"},
        "$.Positions[1].Due_On",
    )
    sent = one("Positions", value, fields=leads, row_fields=lambda _: rows, validate=False)
    assert sent == {"Positions": [{"Quantity": 1}, {"Quantity": 2, "Due_On": "soon"}, {"Price": "x"}]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # The simulator's JSON parser makes floats of numbers beyond 64 bits, which are of a wrong type then.
        ("No_of_Employees", 10**30),
        # It takes digits of every script for a number, where the sheet knows of 0 to 9 only.
        ("Ledger_Number", "\u0664"),
        ("Partner", "\u0664"),
    ],
)
def test_where_the_simulator_says_something_else_the_code_is_still_that_of_the_sheet(leads, name, value):
    assert one(name, value, fields=leads).code == "INVALID_DATA"


def test_a_lookup_by_name_is_left_to_zoho():
    # The simulator refuses it; some lookups of Zoho find, or make, a record by its name.
    assert one("Partner", {"name": "Acme"}) == {"Partner": {"name": "Acme"}}


def test_a_comma_in_a_phone_number_is_left_to_zoho(zoho, leads, ids):
    # Zoho's pattern for phone numbers lets extensions follow a comma; the simulator's does not.
    assert one("Phone", "555,12", fields=leads) == {"Phone": "555,12"}


# --- mapping, operations -------------------------------------------------------------------------------------


def test_columns_are_mapped_dropped_or_keep_their_name():
    preparation = Preparation(FIELDS, "update", mapping={"mail": "Email", "x": "", "y": None, "key": "id"})
    row = {"mail": "a@b.de", "x": 1, "y": object(), "key": 7, "Count": "3"}
    assert preparation.prepare(row, texts=True) == {"Email": "a@b.de", "id": "7", "Count": 3}


def test_two_columns_for_one_field_are_an_error():
    with pytest.raises(ZohoValidationError, match="'a' and 'b' are both for the field 'Email'"):
        Preparation(FIELDS, "insert", mapping={"a": "Email", "b": "Email"})
    preparation = Preparation(FIELDS, "insert", mapping={"mail": "Email"})
    with pytest.raises(ZohoValidationError, match="'mail' and 'Email'"):
        preparation.prepare({"Email": "a@b.de"}, texts=False)


def test_a_mapping_to_a_field_that_is_not_there_is_an_error():
    with pytest.raises(ZohoValidationError, match="'Mail address', which the module has not"):
        Preparation(FIELDS, "insert", mapping={"mail": "Mail address"})


def test_the_id_of_a_bulk_export_is_the_id():
    preparation = Preparation(FIELDS, "update")
    assert preparation.prepare({"Id": "7", "Count": "1"}, texts=True) == {"id": "7", "Count": 1}


def test_an_unknown_operation_is_an_error():
    with pytest.raises(ZohoValidationError, match="'replace'"):
        Preparation(FIELDS, "replace")


def test_a_delete_takes_the_id_only():
    preparation = Preparation(FIELDS, "delete")
    assert preparation.prepare({"id": " 7 ", "Count": "bad", "Other": 1}, texts=True) == {"id": "7"}
    for validate in (True, False):
        preparation = Preparation(FIELDS, "delete", validate=validate)
        assert preparation.prepare({"Count": 1}, texts=False).code == "MANDATORY_NOT_FOUND"
        assert preparation.prepare({"id": "1,2"}, texts=False).code == "INVALID_DATA"


def test_an_external_id_stands_in_for_the_id():
    fields = [*FIELDS, field("Key", "text")]
    for operation in ("update", "upsert"):
        preparation = Preparation(fields, operation, external_id="Key")
        assert preparation.prepare({"Key": "a"}, texts=False) == {"Key": "a"}
        assert preparation.prepare({"Count": 1}, texts=False).code == "MANDATORY_NOT_FOUND"
    assert Preparation(fields, "delete", external_id="Key").prepare({"Key": "a"}, texts=False) == {"Key": "a"}


def test_without_metadata_only_columns_and_empty_values_are_treated():
    preparation = Preparation(None, "insert", mapping={"mail": "Email", "x": None})
    row = {"mail": "a@b.de", "x": 1, "Any": [1], "No": None, "Number": "1", "Nan": math.nan}
    assert preparation.prepare(row, texts=False) == {"Email": "a@b.de", "Any": [1], "Number": "1"}


def test_the_row_is_not_changed():
    row = {"Name": 7, "Colours": "a;b", "Email": None, "_type_errors": '{"Count": "x"}', "id": 1}
    before = dict(row)
    Preparation(FIELDS, "upsert").prepare(row, texts=False)
    assert row == before


def test_values_the_extraction_set_aside_go_back_to_their_column():
    preparation = Preparation(FIELDS, "update")
    row = {"id": "1", "Count": None, "Email": "a@b.de", "_type_errors": '{"Count": "12"}'}
    assert preparation.prepare(row, texts=False) == {"id": "1", "Count": 12, "Email": "a@b.de"}
    assert preparation.prepare({**row, "_type_errors": None}, texts=False) == {"id": "1", "Email": "a@b.de"}
