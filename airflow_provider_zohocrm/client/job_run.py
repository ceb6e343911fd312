"""Several jobs that Zoho works on one after another, seen from the one who waits for them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.client.polling import seconds_to_look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm.client.polling import JobLooks, Timing
    from airflow_provider_zohocrm.exceptions import ZohoCRMError


class JobRun(ABC):
    """What an export by bulk read and a load by bulk write have in common.

    :param poll_interval: seconds before the first look at the first job.
    :param max_poll_interval: the longest seconds between two looks.
    :param often: a look costs little beside the job.
    """

    def __init__(self, poll_interval: float, max_poll_interval: float, *, often: bool = False) -> None:
        self._poll_interval = poll_interval
        self._max_poll_interval = max_poll_interval
        self._often = often

    @property
    @abstractmethod
    def jobs(self) -> Sequence[JobLooks]:
        """The jobs that Zoho has and that are not done with, the oldest first."""

    @property
    @abstractmethod
    def timing(self) -> Timing:
        """What is known of how long jobs take."""

    @abstractmethod
    def work(self, *, eager: bool = False) -> bool:
        """Do all that can be done now.

        :param eager: look at the oldest job even if it is not expected to have ended.
        :return: whether all is done.
        """

    @abstractmethod
    def timed_out(self, timeout: float) -> ZohoCRMError:
        """Make the error for a job that did not end in time."""

    @property
    def waiting_for(self) -> list[str]:
        """The ids of the jobs that have not ended as far as is known, in the order in which Zoho works on them."""
        return [job["job_id"] for job in self.jobs if job["state"] == "running"]

    def run(self, timeout: float) -> None:
        """Do everything, waiting in this thread.

        :param timeout: seconds that one job may take.
        :raises ZohoCRMError: if one takes longer, see :meth:`timed_out`.
        """
        late = False
        while not self.work(eager=late):
            left = self.deadline(timeout) - time.time()
            if left <= 0 and late:
                raise self.timed_out(timeout)
            late = left <= 0
            time.sleep(max(0.0, min(self.pause(), left)))

    def pause(self) -> float:
        """Tell the seconds until the next look at a job is worth it; 0 or less for "now"."""
        first, longest = self._poll_interval, self._max_poll_interval
        return seconds_to_look(self.timing, self.jobs[0], time.time(), first, longest, often=self._often)

    def deadline(self, timeout: float) -> float:
        """Tell the Unix time by which the oldest job must have ended.

        :param timeout: seconds it may take from its submission, from the end of the job before it, or from the moment
            at which this process took over.
        """
        begun = (self.jobs[0]["submitted_at"], self.timing["ended_at"], self.timing["resumed_at"])
        return max(begun) + timeout
