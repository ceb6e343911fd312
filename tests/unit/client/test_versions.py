from __future__ import annotations

import pytest

from airflow_provider_zohocrm.client.versions import DEFAULT_VERSION, VERSIONS, api_version
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

ALL = ["v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8"]


def names(flag):
    return [name for name, version in VERSIONS.items() if getattr(version, flag)]


def test_all_addressable_versions_are_known():
    assert list(VERSIONS) == ALL
    assert DEFAULT_VERSION == "v8"


@pytest.mark.parametrize(
    ("flag", "since"),
    [
        ("fields_required", "v3"),
        ("page_token", "v3"),
        ("sort_fields", "v3"),
        ("bulk_objects", "v2.1"),
        ("bulk_page_token", "v6"),
        ("deleted_related", "v8"),
    ],
)
def test_what_came_with_which_version(flag, since):
    assert names(flag) == ALL[ALL.index(since) :]


def test_sorting_is_limited_to_three_fields_from_v3_on():
    assert api_version("v3").sort_fields == ("id", "Created_Time", "Modified_Time")


@pytest.mark.parametrize(("name", "size"), [("v2", 200), ("v2.1", 200), ("v3", 2000), ("v8", 2000)])
def test_coql_returns_more_at_once_from_v3_on(name, size):
    assert api_version(name).coql_page == size


@pytest.mark.parametrize("name", ["v8", "V8", " v8 "])
def test_a_version_is_found_whatever_its_case(name):
    assert api_version(name) is VERSIONS["v8"]


@pytest.mark.parametrize("name", ["", "8", "v1", "v2.0", "v9", "v8/../v2"])
def test_an_unknown_version_is_an_error_that_lists_the_known(name):
    with pytest.raises(ZohoConfigurationError) as caught:
        api_version(name)
    assert all(known in str(caught.value) for known in ALL)
