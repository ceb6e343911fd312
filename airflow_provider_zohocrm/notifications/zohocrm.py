"""Tell of a run in the CRM: a task for somebody, or a note on a record."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseNotifier, sync_to_async
from airflow_provider_zohocrm.client.calls import module_name, record_id as checked_id
from airflow_provider_zohocrm.exceptions import ZohoCRMError, ZohoValidationError
from airflow_provider_zohocrm.operators.parameters import from_json, given, whole_number

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context

log = logging.getLogger(__name__)

_CREATES = ("task", "note")
# A notification must not hold up who sends it: the DAG processor, or the triggerer.
_RETRIES = 2
_LONGEST_WAIT = 5.0
_TIMEOUT = (5.0, 10.0)
# Zoho's lengths of text fields; what is longer would be refused.
_LONGEST_SUBJECT = 255
_LONGEST_TITLE = 120
_LONGEST_TEXT = 32_000

SUBJECT = (
    "Airflow: {{ dag.dag_id if dag is defined and dag else 'a DAG' }} "
    "{{ dag_run.state if dag_run is defined and dag_run and dag_run.state else 'failed' }}"
)
DESCRIPTION = (
    "Run: {{ run_id if run_id is defined else '' }}\n"
    "Task: {{ ti.task_id if ti is defined and ti else '' }}\n"
    "Reason: {{ reason if reason is defined and reason else exception if exception is defined and exception else '' }}"
)


class ZohoCRMTaskNotifier(BaseNotifier):
    """Create a task in Zoho CRM, or a note on a record, when a DAG run or task fails, succeeds or misses its deadline.

    .. code-block:: python

        @dag(on_failure_callback=ZohoCRMTaskNotifier(owner_id="3652397000000186017"))

    A notification that cannot be sent is logged, and changes nothing for the DAG.

    :param creates: ``task``, or ``note``, which needs ``related_id`` and ``related_module``.
    :param subject: of the task, or title of the note; cut to 255 or 120 characters.
    :param description: of the task, or text of the note; cut to 32,000 characters.
    :param due_in_days: days from today (UTC) until the task is due; None for a task without a due date.
    :param priority: of the task, one of the choices in the CRM, e.g. ``High``.
    :param status: of the task, one of the choices in the CRM, e.g. ``Not Started``.
    :param owner_id: id of the user whose task it is; None for the user of the connection.
    :param related_id: id of the record it is about: an Account, a Deal, a Lead, …
    :param related_module: API name of that record's module.
    :param contact_id: id of the Contact of a task.
    :param fields: further fields of the record, by API name; they go before the parameters.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "creates",
        "subject",
        "description",
        "due_in_days",
        "priority",
        "status",
        "owner_id",
        "related_id",
        "related_module",
        "contact_id",
        "fields",
        "zohocrm_conn_id",
        "api_version",
    )

    def __init__(
        self,
        *,
        creates: str = "task",
        subject: str = SUBJECT,
        description: str = DESCRIPTION,
        due_in_days: int | str | None = 1,
        priority: str | None = "High",
        status: str | None = None,
        owner_id: str | int | None = None,
        related_id: str | int | None = None,
        related_module: str | None = None,
        contact_id: str | int | None = None,
        fields: Mapping[str, Any] | None = None,
        zohocrm_conn_id: str = "zohocrm_default",
        api_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Airflow looks for template files at once, among all of these.
        self.creates = creates
        self.subject = subject
        self.description = description
        self.due_in_days = due_in_days
        self.priority = priority
        self.status = status
        self.owner_id = owner_id
        self.related_id = related_id
        self.related_module = related_module
        self.contact_id = contact_id
        self.fields = fields
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version
        super().__init__(**kwargs)

    def __call__(self, *args: Any) -> None:
        """Render the parameters and create the record; called by Airflow."""
        try:
            super().__call__(*args)
        except Exception as error:  # noqa: BLE001  # a template that cannot be rendered
            self._log_failure(error)

    def __await__(self) -> Generator[Any, None, None]:
        """Render the parameters and create the record; awaited by the triggerer of Airflow 3.1 and newer."""
        try:
            self._update_context(self.context)
            self.render_template_fields(self.context)
        except Exception as error:  # noqa: BLE001  # as above
            self._log_failure(error)
            return
        yield from self.async_notify(self.context).__await__()

    def notify(self, context: Context) -> None:  # noqa: ARG002  # Airflow's
        """Create the record; what goes wrong is logged."""
        try:
            found = self._create()
        except Exception as error:  # noqa: BLE001  # whatever it is: the DAG is not for its notifications
            self._log_failure(error)
        else:
            log.info("Created %s %s in Zoho CRM", self.creates, found)

    async def async_notify(self, context: Context) -> None:
        """Create the record without blocking the event loop; called by the triggerer, for deadlines."""
        await sync_to_async(self.notify, context)

    def _log_failure(self, error: Exception) -> None:
        log.error("No %s was created in Zoho CRM: %s: %s", self.creates, type(error).__name__, error)

    def _create(self) -> str:
        # Slow, and of no use to those who only parse DAG files.
        from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

        module, record = self.record()
        hook = ZohoCRMHook(
            self.zohocrm_conn_id,
            api_version=given(self.api_version),
            retries=_RETRIES,
            longest_wait=_LONGEST_WAIT,
            timeout=_TIMEOUT,
        )
        (result,) = hook.insert_records(module, [record])
        if result.get("status") != "success":
            details = result.get("details") or ""
            raise ZohoCRMError(f"Zoho rejected it: {result.get('code')}: {result.get('message')} {details}")
        return str((result.get("details") or {}).get("id"))

    def record(self) -> tuple[str, dict[str, Any]]:
        """Build what is created.

        :return: module and record.
        :raises ZohoValidationError: for a parameter that cannot be right.
        """
        if self.creates not in _CREATES:
            raise ZohoValidationError(f"creates is {self.creates!r}; it must be task or note")
        module, build = ("Tasks", self._task) if self.creates == "task" else ("Notes", self._note)
        further = from_json(self.fields, "fields") or {}
        owner = given(self.owner_id)
        record = {**build(), "Owner": None if owner is None else {"id": checked_id(owner)}}
        return module, {name: value for name, value in record.items() if value is not None} | dict(further)

    def _task(self) -> dict[str, Any]:
        related, contact = given(self.related_id), given(self.contact_id)
        about: dict[str, Any] = {}
        if related is not None:
            about = {"What_Id": {"id": checked_id(related)}, "$se_module": self._module()}
        return {
            "Subject": self._cut(self.subject, _LONGEST_SUBJECT),
            "Description": self._cut(self.description, _LONGEST_TEXT),
            "Due_Date": self._due(),
            "Priority": given(self.priority),
            "Status": given(self.status),
            "Who_Id": None if contact is None else {"id": checked_id(contact)},
            **about,
        }

    def _note(self) -> dict[str, Any]:
        related = given(self.related_id)
        if related is None:
            raise ZohoValidationError("a note is on a record: give related_id and related_module")
        return {
            "Note_Title": self._cut(self.subject, _LONGEST_TITLE),
            "Note_Content": self._cut(self.description, _LONGEST_TEXT),
            "Parent_Id": {"id": checked_id(related), "module": {"api_name": self._module()}},
        }

    def _module(self) -> str:
        module = given(self.related_module)
        if module is None:
            raise ZohoValidationError("related_id needs related_module, e.g. Accounts")
        return module_name(module, "related module")

    def _due(self) -> str | None:
        days = whole_number(self.due_in_days, "due_in_days")
        if days is None:
            return None
        today: date = datetime.now(timezone.utc).date()
        return (today + timedelta(days=days)).isoformat()

    @staticmethod
    def _cut(text: str, most: int) -> str:
        text = str(text)
        return text if len(text) <= most else text[: most - 1] + "…"
