from __future__ import annotations

import copy
import json
from datetime import date, datetime, timezone

import pytest

from airflow_provider_zohocrm.client.criteria import COMPARATORS, coql_condition, shaped_criteria
from airflow_provider_zohocrm.client.versions import VERSIONS
from airflow_provider_zohocrm.exceptions import ZohoValidationError

V2, V8 = VERSIONS["v2"], VERSIONS["v8"]
OBJECT_VERSIONS = [version for name, version in VERSIONS.items() if name != "v2"]


def leaf(name="Email", comparator="equal", value="x"):
    return {"api_name": name, "comparator": comparator, "value": value}


def group(*nodes, operator="and"):
    return {"group_operator": operator, "group": list(nodes)}


def test_v2_names_fields_by_text():
    assert shaped_criteria(leaf("Owner", "in", ["1"]), V2) == {
        "api_name": "Owner",
        "comparator": "in",
        "value": ["1"],
    }


@pytest.mark.parametrize("version", OBJECT_VERSIONS, ids=lambda one: one.name)
def test_newer_versions_name_fields_by_object(version):
    assert shaped_criteria(leaf("Owner", "in", ["1"]), version) == {
        "field": {"api_name": "Owner"},
        "comparator": "in",
        "value": ["1"],
    }


@pytest.mark.parametrize("version", [V2, V8], ids=lambda one: one.name)
def test_both_shapes_are_taken(version):
    new = {"field": {"api_name": "Owner", "id": "1"}, "comparator": "equal", "value": "x"}
    assert shaped_criteria(new, version) == shaped_criteria(leaf("Owner"), version)


def test_groups_nest_and_are_shaped_to_the_leaf():
    given = group(leaf("A"), group(leaf("B"), leaf("C.D"), operator="OR"), operator="and")
    before = copy.deepcopy(given)
    assert shaped_criteria(given, V8) == {
        "group_operator": "and",
        "group": [
            {"field": {"api_name": "A"}, "comparator": "equal", "value": "x"},
            {
                "group_operator": "or",
                "group": [
                    {"field": {"api_name": "B"}, "comparator": "equal", "value": "x"},
                    {"field": {"api_name": "C.D"}, "comparator": "equal", "value": "x"},
                ],
            },
        ],
    }
    assert given == before


# Reference sheet §4.2.
DOCUMENTED = [
    "equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal",
    "contains", "not_contains", "starts_with", "ends_with", "between", "not_between",
]  # fmt: skip


def test_the_comparators_are_the_documented_ones():
    assert sorted(COMPARATORS) == sorted(DOCUMENTED)


@pytest.mark.parametrize("comparator", DOCUMENTED)
def test_each_documented_comparator_passes(comparator):
    value = ["a", "b"] if comparator in ("in", "not_in", "between", "not_between") else "a"
    assert shaped_criteria(leaf("F", comparator, value), V2) == leaf("F", comparator, value)


@pytest.mark.parametrize("comparator", ["equals", "EQUAL", "like", "", None, 5, ["in"], "starts with"])
def test_another_comparator_is_refused_with_the_list(comparator):
    with pytest.raises(ZohoValidationError) as caught:
        shaped_criteria(leaf("Email", comparator), V8)
    assert "Email" in str(caught.value)
    assert "greater_equal" in str(caught.value)


@pytest.mark.parametrize("value", ["${EMPTY}", "x", 5, 1.5, True, False, ""])
def test_single_values_go_as_they_are(value):
    assert shaped_criteria(leaf(value=value), V8)["value"] is value


@pytest.mark.parametrize("comparator", ["in", "not_in"])
def test_a_single_value_of_a_list_comparator_becomes_a_list(comparator):
    assert shaped_criteria(leaf("F", comparator, "a"), V8)["value"] == ["a"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2026, 1, 31, 4, 5, 6, 789, tzinfo=timezone.utc), "2026-01-31T04:05:06+00:00"),
        (date(2026, 1, 31), "2026-01-31"),
    ],
)
def test_moments_go_without_milliseconds(value, sent):
    assert shaped_criteria(leaf("Created_Time", "greater_than", value), V8)["value"] == sent
    assert shaped_criteria(leaf("Created_Time", "between", [value, value]), V8)["value"] == [sent, sent]


@pytest.mark.parametrize(
    ("comparator", "value"),
    [
        ("between", "a"),
        ("between", ["a"]),
        ("between", ["a", "b", "c"]),
        ("not_between", []),
        ("equal", ["a"]),
        ("contains", ["a", "b"]),
        ("in", []),
        ("in", ["x"] * 201),
        ("not_in", [None]),
        ("equal", None),
        ("not_equal", True),
        ("in", True),
        ("in", [True, False]),
    ],
)
def test_a_value_that_does_not_fit_its_comparator_is_refused_by_field(comparator, value):
    with pytest.raises(ZohoValidationError):
        shaped_criteria(leaf("Status", comparator, value), V8)


@pytest.mark.parametrize("comparator", ["in", "not_in"])
def test_200_values_pass(comparator):
    assert len(shaped_criteria(leaf("F", comparator, [str(one) for one in range(200)]), V8)["value"]) == 200


@pytest.mark.parametrize("nested", [False, True])
def test_25_conditions_pass_and_26_do_not(nested):
    def build(count):
        leaves = [leaf(f"F{one}") for one in range(count)]
        return group(*leaves[:2], group(*leaves[2:], operator="or")) if nested else group(*leaves)

    assert json.dumps(shaped_criteria(build(25), V8)).count("comparator") == 25
    with pytest.raises(ZohoValidationError, match="25"):
        shaped_criteria(build(26), V8)


@pytest.mark.parametrize(
    "wrong",
    [
        "Email:equals:x",
        [leaf()],
        {},
        {"api_name": "Email"},
        {"comparator": "equal", "value": "x"},
        {"api_name": "Email", "comparator": "equal"},
        {"api_name": "a b", "comparator": "equal", "value": "x"},
        {"api_name": 5, "comparator": "equal", "value": "x"},
        {"field": "Email", "comparator": "equal", "value": "x"},
        leaf() | {"extra": 1},
        leaf() | {"group": []},
        {"group_operator": "and", "group": []},
        {"group_operator": "xor", "group": [leaf()]},
        {"group": [leaf()]},
        {"group_operator": "and"},
        {"group_operator": "and", "group": leaf()},
        {"group_operator": "and", "group": ["x"]},
        {"group_operator": "and", "group": [leaf(comparator="like")]},
    ],
)
def test_criteria_of_another_shape_are_refused(wrong):
    with pytest.raises(ZohoValidationError):
        shaped_criteria(wrong, V8)


@pytest.mark.parametrize(
    ("criteria", "condition"),
    [
        (leaf(), "Email = 'x'"),
        (leaf(value="O'Neil"), r"Email = 'O\'Neil'"),
        (leaf("Score", "greater_equal", 1.5), "Score >= 1.5"),
        (leaf("Email_Opt_Out", "equal", True), "Email_Opt_Out = true"),
        (leaf("Owner", "not_in", ["1", "2"]), "Owner not in ('1', '2')"),
        (
            leaf("Birthday", "between", [date(2026, 1, 1), date(2026, 2, 1)]),
            "Birthday between '2026-01-01' and '2026-02-01'",
        ),
        (leaf("City", "not_contains", "x"), "City not like '%x%'"),
        (leaf("City", "ends_with", "x"), "City like '%x'"),
        (leaf("City", "equal", "${EMPTY}"), "City is null"),
        (leaf("City", "not_equal", "${EMPTY}"), "City is not null"),
        (group(leaf("A"), leaf("B"), leaf("C"), operator="or"), "((A = 'x' or B = 'x') or C = 'x')"),
        (group(leaf("A"), group(leaf("B"), leaf("C"))), "(A = 'x' and (B = 'x' and C = 'x'))"),
        (leaf("City", "contains", "10 %"), None),
        (leaf("City", "in", ["x", "${EMPTY}"]), None),
        (leaf("City", "in", [str(n) for n in range(51)]), None),
        (leaf("City", "contains", "${EMPTY}"), None),
        (group(leaf("A"), leaf("City", "contains", "%"), leaf("B")), None),
    ],
)
@pytest.mark.parametrize("version", [V2, V8], ids=["v2", "v8"])
def test_criteria_as_a_condition_of_coql(criteria, condition, version):
    assert coql_condition(shaped_criteria(criteria, version)) == condition
