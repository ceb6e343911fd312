"""What every Airflow that is started here has in its environment."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path


def airflow_environment(home: Path, dags_folder: Path) -> dict[str, str]:
    """Make the variables of an Airflow with LocalExecutor, a new Fernet key and none of the caller's own configuration.

    :param home: its folder.
    :param dags_folder: the folder whose DAGs it runs.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    # Airflow starts its parts by the name "airflow".
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")])
    # No proxy between this machine and itself.
    direct = "127.0.0.1,localhost"
    return {
        **inherited,
        "PATH": path,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
