"""Addresses of web pages, of each data centre and environment."""

from __future__ import annotations

import pytest

from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.web import module_page


def page(module="Leads", record_id=None, **extra):
    credentials = ZohoCredentials.from_fields("id", "secret", {"refresh_token": "r", **extra})
    return module_page(credentials, module, record_id)


@pytest.mark.parametrize(
    ("data_center", "host"),
    [
        ("us", "crm.zoho.com"),
        ("eu", "crm.zoho.eu"),
        ("au", "crm.zoho.com.au"),
        ("cn", "crm.zoho.com.cn"),
        ("ca", "crm.zohocloud.ca"),
        ("uk", "crm.zoho.uk"),
    ],
)
def test_the_host_is_that_of_the_data_centre(data_center, host):
    assert page(data_center=data_center) == f"https://{host}/crm/tab/Leads"


def test_an_api_address_of_zohos_tells_the_data_centre_better():
    assert page(api_url="https://www.zohoapis.eu").startswith("https://crm.zoho.eu/")


@pytest.mark.parametrize(
    ("extra", "organisation"),
    [
        ({"organization": "20012345"}, "org20012345"),
        ({"organization": "org20012345"}, "org20012345"),
        (
            {"grant_type": "client_credentials", "soid": "ZohoCRM.20012345", "scope": "s"},
            "org20012345",
        ),
        ({"grant_type": "client_credentials", "soid": "20012345", "scope": "s", "organization": "7"}, "org7"),
    ],
)
def test_the_organisation_is_the_one_of_the_connection(extra, organisation):
    assert page(**extra) == f"https://crm.zoho.com/crm/{organisation}/tab/Leads"


def test_a_sandbox_has_a_host_and_a_name_of_its_own():
    found = page(environment="sandbox", organization="test_box", data_center="eu")
    assert found == "https://crmsandbox.zoho.eu/crm/test_box/tab/Leads"


def test_a_record_is_below_its_module_and_deals_have_their_old_name():
    assert page("Deals", "57257") == "https://crm.zoho.com/crm/tab/Potentials/57257"


def test_nothing_of_a_name_gets_out_of_its_place():
    assert (
        page("Leads", "1?x=/..#", organization="org1")
        == "https://crm.zoho.com/crm/org1/tab/Leads/1%3Fx%3D%2F..%23"
    )
