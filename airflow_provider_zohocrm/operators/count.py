"""Count records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.assets.zohocrm import module_alias
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.operators.parameters import given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm._compat import Context


class ZohoCountOperator(ZohoOperator):
    """Count the records of a module, for a credit; the task returns the number.

    The number comes from Zoho's search index, which lags behind writes. It needs the scope
    ``ZohoSearch.securesearch.READ``.

    :param module: API name, e.g. ``Leads``.
    :param criteria: e.g. ``((Last_Name:equals:Boyle)and(City:starts_with:San))``, at most 10 conditions.
    :param email: an email address in any field.
    :param phone: a phone number in any field.
    :param word: a word in any field. At most one of the four is given.
    :param cvid: id of a custom view; not together with the others.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "criteria",
        "email",
        "phone",
        "word",
        "cvid",
        "zohocrm_conn_id",
        "api_version",
    )
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        module: str,
        criteria: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        word: str | None = None,
        cvid: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.criteria = criteria
        self.email = email
        self.phone = phone
        self.word = word
        self.cvid = cvid
        self.declare(kwargs, reads=module_alias(module, self.zohocrm_conn_id))

    def execute(self, context: Context) -> int:
        """Count.

        :return: the number of records.
        """
        from airflow_provider_zohocrm.operators.report import Report, uri_of_module

        hook = self._hook()
        self.show_pages(context, hook, self.module)
        count = hook.count_records(
            self.module,
            criteria=given(self.criteria),
            email=given(self.email),
            phone=given(self.phone),
            word=given(self.word),
            cvid=given(self.cvid),
        )
        self.log.info("%s: %d records", self.module, count)
        self.tell(context, Report(uri_of_module(hook, self.module), writes=False, files_uri=None, rows=count))
        return count
