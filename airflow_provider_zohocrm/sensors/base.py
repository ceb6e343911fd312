"""What all sensors have: they look in the worker or have the triggerer look, and outlast what may pass."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import (
    BaseSensorOperator,
    PokeReturnValue,
    default_deferrable,
    sensor_timeout,
    skip_exception,
)
from airflow_provider_zohocrm.exceptions import ZohoCRMError
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.triggers.events import failed
from airflow_provider_zohocrm.triggers.outages import PASSING, pause_after

if TYPE_CHECKING:
    from airflow_provider_zohocrm._compat import BaseTrigger, Context
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

_SLACK = 60.0


class ZohoSensor(ZohoOperator, BaseSensorOperator):  # type: ignore[misc]  # Airflow declares it in two ways itself
    """Waits for something of Zoho CRM.

    Each look costs an API credit. A look that fails for a reason that may pass (no connection, 429, 5xx) is a look that
    saw nothing: the sensor goes on until its ``timeout``.

    :param deferrable: wait in the triggerer, whatever ``mode`` says; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poke_interval: seconds between two looks; Airflow's default is 60.
    :param timeout: seconds after which the sensor fails, or is skipped with ``soft_fail``.
    :param mode: ``poke`` holds a worker slot while it waits, ``reschedule`` gives it back between two looks.
    """

    def __init__(self, *, deferrable: bool = default_deferrable(), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self._look_again_at = 0.0
        self._looking: ZohoCRMHook | None = None

    def execute(self, context: Context) -> Any:
        """Wait.

        :return: what was seen.
        """
        if not self.deferrable:
            return super().execute(context)
        try:
            seen = self._look_once()
        except Exception as error:
            raise self._ending(error) from error
        if seen is not None:
            return self._told(seen)
        longest = self.poke_interval
        if self.exponential_backoff:
            longest = self.max_wait.total_seconds() if self.max_wait else self.timeout
        self.defer(
            trigger=self._trigger(
                zohocrm_conn_id=self.zohocrm_conn_id,
                poll_interval=self.poke_interval,
                max_poll_interval=longest,
                end_time=time.time() + self.timeout,
                api_version=self._hook().api_version,
                min_credits_remaining=self._min_credits(),
            ),
            method_name="execute_complete",
            # A back-stop for a trigger that never fires; the trigger's own deadline comes first.
            timeout=timedelta(seconds=self.timeout + 2 * self.poke_interval + _SLACK),
        )
        raise AssertionError("defer returned")

    def poke(self, context: Context) -> bool | PokeReturnValue:  # noqa: ARG002  # Airflow's
        """Look once."""
        seen = self._look_once()
        return False if seen is None else PokeReturnValue(True, self._told(seen))

    def execute_complete(self, context: Context, event: Any) -> Any:  # noqa: ARG002  # Airflow's
        """Go on when the trigger has fired.

        :param event: what the trigger sent.
        :return: what was seen.
        """
        told = event if isinstance(event, dict) else {}
        if told.get("status") == "success":
            return self._told(told)
        if told.get("status") == "timeout":
            raise self._ending(sensor_timeout(f"{told['message']}: {self.timeout:g} s"), soft=True)
        raise self._ending(failed(event, ZohoCRMError), soft=self._is_outcome(told))

    @abstractmethod
    def _look(self) -> dict[str, Any] | None:
        """Look once.

        :return: what a trigger's event would tell, or None if there is nothing yet.
        """

    @abstractmethod
    def _trigger(self, **options: Any) -> BaseTrigger:
        """Make the trigger that looks from now on."""

    @abstractmethod
    def _told(self, seen: dict[str, Any]) -> Any:
        """Make what the task returns out of what was seen."""

    def _looking_hook(self) -> ZohoCRMHook:
        """Return the hook of all looks, which knows what they were told of the API credits."""
        if self._looking is None:
            self._looking = self._hook()
        return self._looking

    def _is_outcome(self, event: dict[str, Any]) -> bool:  # noqa: ARG002  # most sensors know no other end
        """Tell whether what the trigger calls an error is the end of what was waited for."""
        return False

    def _look_once(self) -> dict[str, Any] | None:
        if time.time() < self._look_again_at:
            return None
        try:
            return self._look()
        except PASSING as error:
            self._look_again_at = time.time() + pause_after(error)
            self.log.warning("Looking failed, going on: %s", error)
            return None

    def _ending(self, error: Exception, *, soft: bool = False) -> Exception:
        """Choose what ends the task, as ``soft_fail`` and ``never_fail`` say.

        :param error: why it ends.
        :param soft: whether ``soft_fail`` is meant for it, as for a time-out, and not for a wrong parameter.
        """
        if self.never_fail or (self.soft_fail and soft):
            return skip_exception(f"Skipping: {error}")
        return error
