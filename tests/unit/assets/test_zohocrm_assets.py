"""The URIs of modules: checked, normalised, and cut into OpenLineage's names."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from airflow_provider_zohocrm._compat import asset, is_asset
from airflow_provider_zohocrm.assets.zohocrm import (
    convert_asset_to_openlineage,
    create_asset,
    dataset_name,
    files_alias,
    module_alias,
    module_uri,
    sanitize_uri,
)

URI = "zohocrm://www.zohoapis.eu/org20012345/Leads"


def test_the_factory_makes_the_asset_that_operators_report():
    made = create_asset(host="www.zohoapis.EU", organisation="org20012345", module="Leads", extra={"a": 1})
    assert is_asset(made)
    assert made.uri == module_uri("www.zohoapis.eu", "org20012345", "Leads") == URI
    assert made.extra == {"a": 1}


def test_airflow_normalises_what_authors_write():
    written = urlsplit("zohocrm://WWW.zohoapis.eu/org20012345/Leads/")
    assert sanitize_uri(written).geturl() == URI


@pytest.mark.parametrize(
    "uri",
    [
        "zohocrm://Leads",
        "zohocrm://www.zohoapis.eu/Leads",
        "zohocrm://www.zohoapis.eu/org1/Leads/1",
        "zohocrm:///org1/Leads",
        "zohocrm://user@www.zohoapis.eu/org1/Leads",
        "zohocrm://www.zohoapis.eu//Leads",
    ],
)
def test_another_form_is_refused_with_the_right_one(uri):
    with pytest.raises(ValueError, match="org20012345/Leads"):
        sanitize_uri(urlsplit(uri))


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        (URI, ("zohocrm://www.zohoapis.eu/org20012345", "Leads")),
        ("s3://lake/zoho/leads", ("s3://lake", "zoho/leads")),
        ("file:///lake/leads.jsonl", ("file", "/lake/leads.jsonl")),
    ],
)
def test_openlineage_names(uri, names):
    assert dataset_name(uri) == names


def test_an_asset_becomes_a_dataset_of_openlineage():
    converted = convert_asset_to_openlineage(asset(URI), None)
    assert (converted.namespace, converted.name) == ("zohocrm://www.zohoapis.eu/org20012345", "Leads")


def test_aliases_are_known_when_a_dag_is_parsed():
    assert module_alias("Leads").name == "zohocrm_default/Leads"
    assert files_alias("Leads", "zoho_eu").name == "zoho_eu/Leads/files"
