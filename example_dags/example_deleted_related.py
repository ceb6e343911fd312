"""Find accounts that were deleted, and the contacts that belonged to them, with the hook inside a task."""

from __future__ import annotations

import json
import os
import tempfile

from airflow.sdk import ObjectStoragePath, dag, task

from airflow_provider_zohocrm import ZohoCRMHook

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    schedule=None,
    params={"deleted_since": "2000-01-01T00:00:00+00:00"},
    tags=["zohocrm", "example"],
)
def example_zohocrm_deleted_related() -> None:
    """Write down the contacts of deleted accounts."""

    @task
    def contacts_of_deleted_accounts(deleted_since: str) -> dict[str, object]:
        hook = ZohoCRMHook()
        path = ObjectStoragePath(f"{OUTPUT}/contacts_of_deleted_accounts.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        accounts = contacts = 0
        with path.open("w") as file:
            # Only what lies in the recycle bin still has related records; a permanent deletion ends them too.
            for account in hook.get_deleted_records("Accounts", type="recycle", modified_since=deleted_since):
                accounts += 1
                for contact in hook.get_deleted_record_related_records(
                    "Accounts", account["id"], "Contacts", fields=["Last_Name", "Email"]
                ):
                    contacts += 1
                    line = {
                        "account": account["id"],
                        "account_name": account["display_name"],
                        "contact": contact,
                    }
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return {"path": str(path), "accounts": accounts, "contacts": contacts}

    contacts_of_deleted_accounts("{{ params.deleted_since }}")


example_zohocrm_deleted_related()
