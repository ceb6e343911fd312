from __future__ import annotations

from contextlib import suppress

import pytest

from airflow_provider_zohocrm.client.api import query_params
from airflow_provider_zohocrm.client.calls import Call, field_names, module_name, names, record_id
from airflow_provider_zohocrm.exceptions import ZohoServerError, ZohoValidationError

INJECTIONS = [
    "",
    " ",
    "Leads/deleted",
    "../org",
    "..",
    "Leads?x=1",
    "Leads#x",
    "Leads%2Fdeleted",
    "Leads\n",
    "Le ads",
    "Leads\\x",
    "https://evil.io",
    "@evil.io",
    "Léads",
    "1Leads",
    "Leads;x",
    "Leads&x=1",
    "Leads\x00",
]


@pytest.mark.parametrize("name", [*INJECTIONS, None, 5, ["Leads"], b"Leads"])
def test_a_module_name_cannot_change_the_path(name):
    with pytest.raises(ZohoValidationError):
        module_name(name)


@pytest.mark.parametrize("name", ["Leads", "Sales_Orders", "CustomModule12", "X__s"])
def test_api_names_are_taken_as_they_are(name):
    assert module_name(name) == name


def test_the_error_says_what_the_name_is_for():
    with pytest.raises(ZohoValidationError, match="related list"):
        module_name("a/b", "related list")


@pytest.mark.parametrize(
    "value",
    [
        *(injection for injection in INJECTIONS),
        "12345678901234567890",
        "1.5",
        "-1",
        "1,2",
        "١٢٣",
        "1e5",
        True,
        None,
        1.0,
        1306462000000888026.0,
        -5,
    ],
)
def test_an_id_cannot_change_the_path_nor_be_a_float(value):
    with pytest.raises(ZohoValidationError):
        record_id(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1306462000000888026", "1306462000000888026"),
        (9223372036854775807, "9223372036854775807"),
        (" 42 ", "42"),
        ("9999999999999999999", "9999999999999999999"),
    ],
)
def test_ids_of_up_to_19_digits_keep_every_digit(value, text):
    assert record_id(value) == text


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None),
        ("Last_Name, Email ,Last_Name", ["Last_Name", "Email"]),
        (["Email", "Email", "id"], ["Email", "id"]),
        (("Email",), ["Email"]),
        ((name for name in ["a", "b"]), ["a", "b"]),
    ],
)
def test_names_come_as_list_or_as_rendered_text(given, found):
    assert names(given, "fields") == found


@pytest.mark.parametrize("empty", ["", " , ", [], [""]])
def test_no_name_at_all_is_an_error_and_not_all_fields(empty):
    with pytest.raises(ZohoValidationError, match="fields is empty"):
        names(empty, "fields")


@pytest.mark.parametrize("wrong", [[1], [None], [["a"]]])
def test_names_are_texts(wrong):
    with pytest.raises(ZohoValidationError):
        names(wrong, "fields")


@pytest.mark.parametrize("name", ["Owner.last_name", "Account_Name.Phone", "$approval_state", "id", "a.b.c"])
def test_field_names_with_dot_and_dollar(name):
    assert field_names([name]) == [name]


@pytest.mark.parametrize(
    "name", ["Last Name", "a..b", ".a", "a.", "a-b", "a&page=2", "$", "1a", "a\nb", "Náme", "a;b"]
)
def test_a_field_name_that_cannot_be_one_is_quoted(name):
    with pytest.raises(ZohoValidationError) as caught:
        field_names(["id", name], "duplicate_check_fields")
    assert repr(name) in str(caught.value)
    assert "duplicate_check_fields" in str(caught.value)


def test_a_call_reads_as_method_and_path_only():
    call = Call("GET", "/crm/v8/Leads", {"word": "private"}, headers={"X": "private"})
    assert str(call) == "GET /crm/v8/Leads"


def test_query_parameters_are_rendered_as_zoho_takes_them():
    params = {"a": None, "b": True, "c": False, "d": ["x", "y"], "e": ("1", 2), "f": 200, "g": ""}
    assert query_params(params) == {"b": "true", "c": "false", "d": "x,y", "e": "1,2", "f": "200", "g": ""}


@pytest.mark.parametrize("path", ["https://evil.io/x", "//evil.io/x", "http://www.zohoapis.com/crm/v8/org"])
def test_a_free_request_takes_no_host(zoho, path):
    with pytest.raises(ZohoValidationError):
        zoho.client().request("GET", path)
    assert zoho.requests == []


@pytest.mark.parametrize(("path", "sent"), [("users", "/crm/v8/users"), ("/crm/v7/users", "/crm/v7/users")])
def test_a_free_request_is_below_the_version_or_the_host(zoho, path, sent):
    zoho.answer("PUT", sent, {"users": []})
    answer = zoho.client().request("put", path, params={"type": ["a", "b"], "x": True}, json={"k": "ü"})
    assert answer == {"users": []}
    (call,) = zoho.calls
    assert (call.method, call.query, call.json) == ("PUT", {"type": "a,b", "x": "true"}, {"k": "ü"})


@pytest.mark.parametrize(
    ("method", "repeatable", "tries"),
    [
        ("GET", None, 2),
        ("PUT", None, 2),
        ("DELETE", None, 2),
        ("POST", None, 1),
        ("POST", True, 2),
        ("GET", False, 1),
    ],
)
def test_a_free_request_is_repeated_unless_it_posts(zoho, method, repeatable, tries):
    zoho.answer(method, "/crm/v8/users", (500, {}, {}), (200, {"ok": 1}, {}))
    with suppress(ZohoServerError):
        zoho.client().request(method, "users", repeatable=repeatable)
    assert len(zoho.calls) == tries
