"""Every difference between the versions of Zoho's API that the package knows."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

DEFAULT_VERSION = "v8"
PAGE_SIZE = 200
FIELDS_PER_CALL = 50
RECORDS_PER_WRITE = 100
# API credits (reference sheet §6.2).
RECORDS_PER_CREDIT = 10
CREDITS_PER_VIEW_PAGE = 3
CREDITS_PER_DELETED_PAGE = 2
CREDITS_PER_BULK_READ = 50
CREDITS_PER_BULK_WRITE = 500
RECORDS_PER_BULK_WRITE = 25_000
IDS_PER_CALL = 100
# A second reading of the specification allows about 50 ids in one call (reference sheet §2.1).
IDS_PER_CALL_FALLBACK = 50
DISCRETE_LIMIT = 2_000
RECORDS_PER_BULK_READ = 200_000


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """What differs between API versions (reference sheet §2.1, §2.7, §4.2, §8).

    :param name: as in the path, e.g. ``v8``.
    :param fields_required: lists need ``fields``, at most 50 of them.
    :param page_token: lists are continued by ``page_token``, not only by page number.
    :param sort_fields: fields a list can be sorted by; None for any.
    :param bulk_objects: bulk read names modules and fields by objects, not by strings.
    :param bulk_page_token: bulk read is continued by ``page_token``.
    :param coql_page: records per COQL query.
    :param deleted_related: related records of a deleted record can be read.
    """

    name: str
    fields_required: bool = True
    page_token: bool = True
    sort_fields: tuple[str, ...] | None = ("id", "Created_Time", "Modified_Time")
    bulk_objects: bool = True
    bulk_page_token: bool = False
    coql_page: int = 2_000
    deleted_related: bool = False


_LEGACY = {"fields_required": False, "page_token": False, "sort_fields": None, "coql_page": 200}
VERSIONS = {
    version.name: version
    for version in (
        ApiVersion("v2", bulk_objects=False, **_LEGACY),  # type: ignore[arg-type]  # one dict of several types
        ApiVersion("v2.1", **_LEGACY),  # type: ignore[arg-type]  # as above
        ApiVersion("v3"),
        ApiVersion("v4"),
        ApiVersion("v5"),
        ApiVersion("v6", bulk_page_token=True),
        ApiVersion("v7", bulk_page_token=True),
        ApiVersion("v8", bulk_page_token=True, deleted_related=True),
    )
}


def api_version(name: str) -> ApiVersion:
    """Look up an API version.

    :param name: e.g. ``v8``.
    :raises ZohoConfigurationError: if there is no such version.
    """
    version = VERSIONS.get(str(name).strip().lower())
    if version is None:
        raise ZohoConfigurationError(f"API version {name!r} is unknown; choose one of {', '.join(VERSIONS)}")
    return version
