"""Zoho's own SDK, as its documentation shows: initialize, then get_records page after page."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zohocrmsdk.src.com.zoho.api.logger import Logger
from zohocrmsdk.src.com.zoho.crm.api import HeaderMap, Initializer, ParameterMap, SDKConfig
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.record import GetRecordsParam, RecordOperations
from zohocrmsdk.src.com.zoho.crm.api.util import Choice

from benchmarks.contestants.measure import check_file, orders, work


def initialize(url: str, folder: Path) -> None:
    """Point the SDK at the simulator, by a data centre of one's own."""
    connection = json.loads(os.environ["AIRFLOW_CONN_ZOHOCRM_DEFAULT"])
    Initializer.initialize(
        DataCenter.Environment(url, f"{url}/oauth/v2/token", url),
        OAuthToken(
            client_id=connection["login"],
            client_secret=connection["password"],
            refresh_token=connection["extra"]["refresh_token"],
            find_user=False,
        ),
        store=FileStore(str(folder / "tokens.csv")),
        sdk_config=SDKConfig(auto_refresh_fields=False, pick_list_validation=False),
        resource_path=str(folder),
        logger=Logger.get_instance(level=Logger.Levels.ERROR, file_path=str(folder / "sdk.log")),
    )


def page_of(fields: str, token: str | None) -> Any:
    """Read one page."""
    params = ParameterMap()
    params.add(GetRecordsParam.fields, fields)
    params.add(GetRecordsParam.per_page, 200)
    if token is not None:
        params.add(GetRecordsParam.page_token, token)
    return RecordOperations("Leads").get_records(params, HeaderMap()).get_object()


def plain(value: Any) -> Any:
    """Turn one of the SDK's values into JSON."""
    if isinstance(value, Choice):
        return plain(value.get_value())
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, list):
        return [plain(one) for one in value]
    if hasattr(value, "get_key_values"):
        return {key: plain(one) for key, one in value.get_key_values().items()}
    if hasattr(value, "get_id"):
        return {"id": str(value.get_id()), "name": value.get_name()}
    return value


if __name__ == "__main__":
    given = orders()
    folder = Path(given["folder"])
    names, rows, limit = ",".join(given["fields"]), 0, given["limit"]
    with work(given) as result, check_file(given) as file:
        initialize(given["url"], folder)
        token = None
        while True:
            page = page_of(names, token)
            rows += len(page.get_data())
            if file:
                file.writelines(json.dumps(plain(record)) + "\n" for record in page.get_data())
            if not page.get_info().get_more_records() or (limit and rows >= limit):
                break
            token = page.get_info().get_next_page_token()
        result["rows"] = rows
