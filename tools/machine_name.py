"""The name under which a machine of a cluster is known to Airflow (``[core] hostname_callable``)."""

from __future__ import annotations

import os


def machine_name() -> str:
    """Return the name that the cluster gave to this machine."""
    return os.environ["MACHINE_NAME"]
