"""The fields of the rows of subforms."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoRateLimitError,
    ZohoServerError,
)
from airflow_provider_zohocrm.extraction.subforms import subform_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_zohocrm.client.metadata import MetadataApi

log = logging.getLogger(__name__)


def row_fields_of(api: MetadataApi) -> Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None]:
    """Make what reads the fields of the rows of a subform; a credit each.

    :return: takes the subform's field object; returns the field objects of its rows, or None where Zoho does not tell
        them: it checks the rows itself then.
    """

    def row_fields(subform: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        (found,) = subform_fields([subform], "all")
        try:
            return api.get_fields(found.module)
        except ZohoAPIError as error:
            if isinstance(error, (ZohoAuthenticationError, ZohoRateLimitError, ZohoServerError)):
                raise
            log.warning(
                "Rows of %s are sent as they are, as their fields cannot be read: %s", found.name, error
            )
            return None

    return row_fields
