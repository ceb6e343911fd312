"""What a task has used of Zoho's quotas: over all hooks, deferrals and tries; in the log, in XCom and in Airflow's metrics."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import count_metric
from airflow_provider_zohocrm.client.usage import Usage, added, no_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.client.usage import Counts

log = logging.getLogger(__name__)

XCOM_KEY = "api_usage"
_METRICS: dict[str, str] = {
    "calls": "zohocrm.calls",
    "credits": "zohocrm.credits",
    "rate_limited": "zohocrm.rate_limited",
    "tokens_minted": "zohocrm.token_minted",
}


def send_metrics(counts: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Add to Airflow's metrics what was used."""
    for name, metric in _METRICS.items():
        if counts[name]:
            count_metric(metric, counts[name], tags)


class UsageAccount:
    """Adds up what one run of a task uses, from its start or resumption to its end or deferral."""

    def __init__(self) -> None:
        self.deferred = False
        """Whether the task has given its worker slot back, and will go on."""
        self._usages: list[Usage] = []
        self._before = no_counts()
        self._elsewhere = no_counts()

    def usage(self) -> Usage:
        """Make what a hook counts by."""
        self._usages.append(Usage())
        return self._usages[-1]

    def resume(self, kept: Any) -> None:
        """Go on from what was counted before this run; of several words on it, the one that knows of most calls holds.

        :param kept: what :attr:`total` was then.
        """
        if isinstance(kept, dict) and kept.keys() == self._before.keys():
            known: Any = kept
            if known["calls"] > self._before["calls"]:
                self._before = known

    def add(self, counts: Any) -> None:
        """Add what was counted for this task elsewhere and told nobody yet: by the trigger.

        :param counts: its counts; anything else is nothing.
        """
        if isinstance(counts, dict) and counts.keys() == self._elsewhere.keys():
            told: Any = counts
            self._elsewhere = added(self._elsewhere, told)

    @property
    def run(self) -> Counts:
        """What this run of the task has used, with the trigger before it."""
        counts = self._elsewhere
        for usage in self._usages:
            counts = added(counts, usage.counts)
        return counts

    @property
    def total(self) -> Counts:
        """What the task has used over all runs and tries that are known."""
        return added(self._before, self.run)

    def send_metrics(self, tags: Mapping[str, str]) -> None:
        """Add to Airflow's metrics what this run of the task has used."""
        send_metrics(self.run, tags)

    def tell(self, context: Context) -> None:
        """Log what the task has used, and push it to XCom."""
        used = self.total
        log.info("Zoho CRM: %s", ", ".join(f"{name} {value}" for name, value in used.items()))
        ti = context.get("ti")
        if ti is None:
            return
        try:
            ti.xcom_push(key=XCOM_KEY, value=dict(used))
        except Exception as error:  # noqa: BLE001  # it must not hide what the task ended with
            log.warning("XCom %s was not pushed: %s", XCOM_KEY, error)


current_account: ContextVar[UsageAccount | None] = ContextVar("zohocrm_usage_account", default=None)
"""The account of the task that runs in this thread."""
