"""Create a task in the CRM when a run of the DAG fails."""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_zohocrm import ZohoCRMTaskNotifier


@dag(
    schedule=None,
    on_failure_callback=ZohoCRMTaskNotifier(
        subject="Airflow: {{ dag.dag_id }} failed",
        priority="High",
        due_in_days=1,
        # owner_id="…": whose task it is; else that of the connection's user
    ),
    tags=["zohocrm", "example"],
)
def example_zohocrm_notifier() -> None:
    """Fail, for the sake of the notification."""

    @task
    def fail() -> None:
        raise ValueError("This task always fails")

    fail()


example_zohocrm_notifier()
