from __future__ import annotations

import sys
import unicodedata
from decimal import Decimal

import pytest

from airflow_provider_zohocrm.loading.keys import duplicate_check, keys_of


def field(name, *, unique=False, external=None):
    return {"api_name": name, "unique": {"casesensitive": "false"} if unique else {}, "external": external}


LEADS = [field("id"), field("Email"), field("Name"), field("U1", unique=True), field("U2", unique=True)]


@pytest.mark.parametrize(
    ("given_", "order"),
    [
        (["U1"], ["U1", "U2"]),
        (["U2"], ["U2", "U1"]),
        (["U1", "U2"], ["U1", "U2"]),
        (["Email"], ["Email", "U1", "U2"]),
        (["U2", "Email"], ["U2", "Email", "U1"]),
        (None, ["Email", "U1", "U2"]),
        ([], ["Email", "U1", "U2"]),
    ],
)
def test_the_order_of_the_duplicate_check_is_that_of_the_sheet(given_, order):
    assert duplicate_check("Leads", LEADS, given_) == ["id", *order]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("Contacts", "Email"),
        ("Accounts", "Account_Name"),
        ("Price_Books", "Price_Book_Name"),
        ("PriceBooks", "Price_Book_Name"),
        ("Sales_Orders", "Subject"),
        ("Cases", "Subject"),
        ("Solutions", "Solution_Title"),
        ("Machines", "Name"),
    ],
)
def test_without_a_list_the_system_field_of_the_module_comes_first(module, name):
    fields = [field("U", unique=True), field(name)]
    assert duplicate_check(module, fields, None) == ["id", name, "U"]


@pytest.mark.parametrize("module", ["Tasks", "Events", "Calls", "Notes"])
def test_a_module_without_a_system_field_has_none(module):
    assert duplicate_check(module, [field("Subject"), field("U", unique=True)], None) == ["id", "U"]


def test_an_external_field_is_unique():
    assert duplicate_check("Tasks", [field("Key", external={"type": "org"})], None) == ["id", "Key"]


CHECKED = ["id", "Email", "U"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.COM"),
        (" ada", "ada\t"),
        ("a  b", "a b"),
        ("a\u00a0b", "a b"),
        ("Stra\u00dfe", "STRASSE"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("Caf\u00e9", "Cafe"),
        ("\u212a", "k"),
        ("\u0130", "i\u0307"),
        ("\uff21", "a"),
        ("zero\u200bwidth", "zerowidth"),
        (7, "7"),
        ("007", "7"),
        ("7", Decimal("7.00")),
        (7.0, "7"),
        ("-0", "0"),
        ("+7", 7),
        (True, "TRUE"),
        ({"id": "12", "name": "x"}, "12"),
        (9_007_199_254_740_993, "9007199254740993"),
    ],
)
def test_values_that_zoho_may_take_for_the_same_share_a_key(one, other):
    assert keys_of({"U": one}, CHECKED) == keys_of({"U": other}, CHECKED) != ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "b"),
        ("12", "21"),
        ("1.5", "15"),
        ("-7", "7"),
        (9_007_199_254_740_993, 9_007_199_254_740_992),
        ("10", "1"),
        ("0.10", "0.01"),
    ],
)
def test_values_that_differ_have_different_keys(one, other):
    assert not {*keys_of({"U": one}, CHECKED)} & {*keys_of({"U": other}, CHECKED)}


def test_the_same_value_of_two_fields_is_two_keys():
    assert not {*keys_of({"U": "a"}, CHECKED)} & {*keys_of({"Email": "a"}, CHECKED)}


@pytest.mark.parametrize("value", [None, "", float("nan"), Decimal("NaN")])
def test_what_is_empty_is_no_key(value):
    assert keys_of({"U": value, "Email": "a", "Other": "x"}, CHECKED) == (("Email", "a"),)


def test_a_record_with_several_keys_has_them_all():
    assert keys_of({"id": "1", "Email": "A", "U": 3}, CHECKED) == (("id", "1"), ("Email", "a"), ("U", "3"))


def test_no_character_is_told_from_itself_in_another_case_or_form_of_unicode():
    different = []
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code < 0xE000:
            continue
        one = f"a{chr(code)}b"
        forms = {unicodedata.normalize(form, one) for form in ("NFC", "NFD", "NFKC", "NFKD")}
        forms |= {one.lower(), one.casefold(), one.lower().casefold()}
        if forms == {one}:
            continue
        if len({keys_of({"U": form}, CHECKED) for form in forms | {one}}) > 1:
            different.append(f"U+{code:04X}")
    assert different == []
