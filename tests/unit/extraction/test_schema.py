from __future__ import annotations

import pytest

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.schema import check_names, columns_of
from airflow_provider_zohocrm.storage.columns import Column


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ({"data_type": "bigint", "json_type": "string"}, ("integer", 0)),
        ({"data_type": "currency", "json_type": "double", "decimal_place": 2}, ("decimal", 18)),
        ({"data_type": "double", "json_type": "double", "decimal_place": None}, ("decimal", 18)),
        ({"data_type": "percent", "json_type": "double", "decimal_place": 0}, ("decimal", 18)),
        ({"data_type": "integer", "json_type": "integer"}, ("integer", 0)),
        ({"data_type": "boolean", "json_type": "boolean"}, ("boolean", 0)),
        ({"data_type": "date", "json_type": "string"}, ("date", 0)),
        ({"data_type": "datetime", "json_type": "string"}, ("datetime", 0)),
        ({"data_type": "multiselectpicklist", "json_type": "jsonarray"}, ("list", 0)),
        ({"data_type": "lookup", "json_type": "jsonobject"}, ("lookup", 0)),
        ({"data_type": "ownerlookup", "json_type": "jsonobject"}, ("user", 0)),
        ({"data_type": "subform", "json_type": "jsonarray"}, ("json", 0)),
        ({"data_type": "fileupload", "json_type": "jsonarray"}, ("json", 0)),
        ({"data_type": "formula", "json_type": "double", "decimal_place": 4}, ("decimal", 18)),
        ({"data_type": "formula", "json_type": "boolean"}, ("boolean", 0)),
        ({"data_type": "autonumber", "json_type": "string"}, ("string", 0)),
        ({"data_type": "something_new"}, ("string", 0)),
        ({"data_type": None, "json_type": None}, ("string", 0)),
    ],
)
def test_the_type_of_a_field_is_that_of_its_column(field, column):
    assert columns_of([{"api_name": "X", **field}], ["X"]) == [Column("X", *column)]


def test_ids_are_texts_and_tags_lists_whatever_the_metadata_says():
    fields = [
        {"api_name": "id", "data_type": "bigint", "json_type": "string"},
        {"api_name": "Tag", "data_type": "text", "json_type": "jsonarray"},
    ]
    assert columns_of(fields, ["id", "Tag"]) == [Column("id", "string"), Column("Tag", "list")]


def test_names_without_metadata():
    assert columns_of([], ["Owner.last_name", "$approval"]) == [
        Column("Owner.last_name", "string"),
        Column("$approval", "json"),
    ]


def test_names_that_are_not_in_the_metadata_are_told_with_those_like_them():
    fields = [{"api_name": "Email", "data_type": "email"}, {"api_name": "Owner", "data_type": "ownerlookup"}]
    check_names("Leads", fields, ["id", "Email", "Owner.nonesuch", "$approved"])
    for name, like in (("email", "Email"), ("Emial", "Email"), ("ID", "id")):
        with pytest.raises(ZohoValidationError, match=rf"fields of Leads: '{name}' \(like {like}\)"):
            check_names("Leads", fields, ["Email", name])


def test_metadata_that_lists_nothing_refuses_nothing():
    check_names("Leads", [], ["Email"])
