"""Zoho's Python SDK in a process of its own: one JSON command a line on stdin, one JSON answer a line on stdout.

The SDK is used as its documentation shows, and unchanged. Its Initializer belongs to a process, and it writes files into
its folder, so it gets both for itself. What it parsed is handed back as plain JSON under Zoho's own names.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zohocrmsdk.src.com.zoho.api.authenticator import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zohocrmsdk.src.com.zoho.api.logger import Logger
from zohocrmsdk.src.com.zoho.crm.api import (
    HeaderMap,
    Initializer,
    ParameterMap,
    SDKConfig,
    bulk_read,
    bulk_write,
)
from zohocrmsdk.src.com.zoho.crm.api.bulk_read import BulkReadOperations
from zohocrmsdk.src.com.zoho.crm.api.bulk_write import BulkWriteOperations, UploadFileHeader
from zohocrmsdk.src.com.zoho.crm.api.coql import BodyWrapper as CoqlBody, CoqlOperations
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.fields import FieldsOperations, GetFieldsParam, MinifiedField
from zohocrmsdk.src.com.zoho.crm.api.modules import MinifiedModule, ModulesOperations
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.record import (
    BodyWrapper,
    DeleteRecordsParam,
    GetDeletedRecordsParam,
    GetRecordParam,
    GetRecordsHeader,
    GetRecordsParam,
    Record,
    RecordCountParam,
    RecordOperations,
    SearchRecordsParam,
)
from zohocrmsdk.src.com.zoho.crm.api.related_records import (
    GetDeletedParentRecordsRelatedRecordParam,
    GetRelatedRecordsParam,
    RelatedRecordsOperations,
)
from zohocrmsdk.src.com.zoho.crm.api.users import UsersOperations
from zohocrmsdk.src.com.zoho.crm.api.util import Choice, StreamWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

# --- what the SDK made of an answer, as plain JSON -------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Turn the SDK's objects into JSON: its models under the names they have on the wire."""
    if isinstance(value, Choice):
        return plain(value.get_value())
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Record) or hasattr(value, "get_key_values"):
        return {key: plain(one) for key, one in value.get_key_values().items()}
    details = model_details(value)
    if details is None:
        return value
    found = {}
    for member, detail in details.items():
        getter = getattr(value, f"get_{member}", None)
        if getter is not None and "name" in detail and not inspect.signature(getter).parameters:
            found[detail["name"]] = plain(getter())
    return found


def model_details(value: Any) -> dict[str, Any] | None:
    """Find what the SDK's own description says about a model: member, name on the wire, type."""
    kind = type(value)
    if not kind.__module__.startswith("zohocrmsdk"):
        return None
    package = kind.__module__.rpartition(".")[0]
    details: dict[str, Any] | None = Initializer.json_details.get(f"{package}.{kind.__name__}")
    return details


def answer(response: Any) -> dict[str, Any]:
    """Describe an APIResponse."""
    if response is None:
        # The SDK logs some failures of its own and gives nothing back.
        return {"status": None, "kind": "nothing", "content": None}
    found = response.get_object()
    return {
        "status": response.get_status_code(),
        "kind": "empty" if found is None else type(found).__name__,
        "kinds": [type(one).__name__ for one in found.get_data()] if hasattr(found, "get_data") else [],
        "content": plain(found),
    }


def parameters(kind: Any, values: dict[str, Any]) -> ParameterMap:
    """Fill the SDK's parameter object."""
    filled = ParameterMap()
    for name, value in values.items():
        filled.add(getattr(kind, name), _typed(value))
    return filled


# --- what it is asked to do ------------------------------------------------------------------------------------------


def initialize(
    url: str, client_id: str, client_secret: str, refresh_token: str, folder: str, find_user: bool
) -> Any:
    # A data centre of one's own is the SDK's public way to another host; "accounts_url" is the whole token address.
    environment = DataCenter.Environment(url, f"{url}/oauth/v2/token", url)
    token = OAuthToken(
        client_id=client_id, client_secret=client_secret, refresh_token=refresh_token, find_user=find_user
    )
    Initializer.initialize(
        environment,
        token,
        store=FileStore(str(Path(folder) / "tokens.csv")),
        # No pick list check on the client's side: bad values are the simulator's to refuse.
        sdk_config=SDKConfig(
            auto_refresh_fields=False, pick_list_validation=False, read_timeout=30.0, connect_timeout=5.0
        ),
        resource_path=folder,
        logger=Logger.get_instance(level=Logger.Levels.INFO, file_path=str(Path(folder) / "sdk.log")),
    )
    signature = token.get_user_signature()
    return {
        "has_token": bool(token.get_access_token()),
        "api_domain": token.get_api_domain(),
        "expires_in": int(token.get_expires_in()),
        "user": None if signature is None else signature.get_name(),
    }


def modules() -> Any:
    return answer(ModulesOperations().get_modules())


def module(name: str) -> Any:
    return answer(ModulesOperations().get_module_by_api_name(name))


def fields(name: str) -> Any:
    return answer(
        FieldsOperations().get_fields(
            parameters(GetFieldsParam, {"module": name, "type": {"$choice": "all"}})
        )
    )


def users() -> Any:
    return answer(UsersOperations().get_users())


def organization() -> Any:
    return answer(OrgOperations().get_organization())


def list_records(name: str, params: dict[str, Any], since: str | None = None) -> Any:
    headers = HeaderMap()
    if since is not None:
        headers.add(GetRecordsHeader.if_modified_since, datetime.fromisoformat(since))
    return answer(RecordOperations(name).get_records(parameters(GetRecordsParam, params), headers))


def one_record(name: str, record_id: str, params: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).get_record(int(record_id), parameters(GetRecordParam, params)))


def search(name: str, params: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).search_records(parameters(SearchRecordsParam, params)))


def count(name: str, params: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).record_count(parameters(RecordCountParam, params)))


def coql(query: str) -> Any:
    body = CoqlBody()
    body.set_select_query(query)
    return answer(CoqlOperations().get_records(body))


def deleted(name: str, params: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).get_deleted_records(parameters(GetDeletedRecordsParam, params)))


def _typed(value: Any) -> Any:
    """Give the SDK the types it insists on; ``{"$choice": …}``, ``{"$date": …}`` and ``{"$id": …}`` say which."""
    if isinstance(value, list):
        return [_typed(one) for one in value]
    if isinstance(value, dict):
        if "$choice" in value:
            return Choice(value["$choice"])
        if "$date" in value:
            return date.fromisoformat(value["$date"])
        if "$datetime" in value:
            return datetime.fromisoformat(value["$datetime"])
        if "$id" in value:
            target = Record()
            target.set_id(int(value["$id"]))
            return target
    return value


def _body(records: list[dict[str, Any]], more: dict[str, Any]) -> BodyWrapper:
    built = []
    for record in records:
        one = Record()
        for key, value in record.items():
            if key == "id":
                one.set_id(int(value))
            else:
                one.add_key_value(key, _typed(value))
        built.append(one)
    body = BodyWrapper()
    body.set_data(built)
    for key, value in more.items():
        getattr(body, f"set_{key}")(value)
    return body


def insert(name: str, records: list[dict[str, Any]], more: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).create_records(_body(records, more), HeaderMap()))


def update(name: str, records: list[dict[str, Any]], more: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).update_records(_body(records, more), HeaderMap()))


def upsert(name: str, records: list[dict[str, Any]], more: dict[str, Any]) -> Any:
    return answer(RecordOperations(name).upsert_records(_body(records, more), HeaderMap()))


def delete(name: str, ids: list[str]) -> Any:
    return answer(
        RecordOperations(name).delete_records(parameters(DeleteRecordsParam, {"ids": ",".join(ids)}))
    )


def related(name: str, record_id: str, relation: str, params: dict[str, Any]) -> Any:
    operations = RelatedRecordsOperations(relation, name)
    return answer(operations.get_related_records(int(record_id), parameters(GetRelatedRecordsParam, params)))


def deleted_related(name: str, record_id: str, relation: str, params: dict[str, Any]) -> Any:
    operations = RelatedRecordsOperations(relation, name)
    filled = parameters(GetDeletedParentRecordsRelatedRecordParam, params)
    return answer(operations.get_deleted_parent_records_related_record(int(record_id), filled))


def _criteria(given: dict[str, Any]) -> Any:
    criteria = bulk_read.Criteria()
    if "group" in given:
        criteria.set_group_operator(Choice(given["group_operator"]))
        criteria.set_group([_criteria(one) for one in given["group"]])
        return criteria
    field = MinifiedField()
    field.set_api_name(given["field"]["api_name"])
    criteria.set_field(field)
    criteria.set_comparator(Choice(given["comparator"]))
    criteria.set_value(given["value"])
    return criteria


def bulk_create(name: str, names: list[str], criteria: dict[str, Any] | None, page: int = 1) -> Any:
    module_given = MinifiedModule()
    module_given.set_api_name(name)
    query = bulk_read.Query()
    query.set_module(module_given)
    query.set_fields(names)
    query.set_page(page)
    if criteria is not None:
        query.set_criteria(_criteria(criteria))
    body = bulk_read.BodyWrapper()
    body.set_query(query)
    return answer(BulkReadOperations().create_bulk_read_job(body))


def bulk_continue(page_token: str) -> Any:
    query = bulk_read.Query()
    query.set_page_token(page_token)
    body = bulk_read.BodyWrapper()
    body.set_query(query)
    return answer(BulkReadOperations().create_bulk_read_job(body))


def bulk_details(job_id: str) -> Any:
    return answer(BulkReadOperations().get_bulk_read_job_details(int(job_id)))


def bulk_download(job_id: str, target: str) -> Any:
    response = BulkReadOperations().download_result(int(job_id))
    return _save(response, target)


def _save(response: Any, target: str) -> Any:
    stream = response.get_object().get_file()
    with Path(target).open("wb") as file:
        file.writelines(stream.get_stream())
    return {"status": response.get_status_code(), "name": stream.get_name()}


def bulk_write_upload(path: str, zgid: str) -> Any:
    headers = HeaderMap()
    headers.add(UploadFileHeader.feature, "bulk-write")
    headers.add(UploadFileHeader.x_crm_org, zgid)
    body = bulk_write.FileBodyWrapper()
    body.set_file(StreamWrapper(file_path=path))
    return answer(BulkWriteOperations().upload_file(body, headers))


def bulk_write_create(
    name: str, operation: str, file_id: str, columns: list[str], find_by: str | None
) -> Any:
    module_given = MinifiedModule()
    module_given.set_api_name(name)
    resource = bulk_write.Resource()
    resource.set_type(Choice("data"))
    resource.set_module(module_given)
    resource.set_file_id(file_id)
    if find_by is not None:
        resource.set_find_by(find_by)
    mappings = []
    for index, column in enumerate(columns):
        mapping = bulk_write.FieldMapping()
        mapping.set_api_name(column)
        mapping.set_index(index)
        mappings.append(mapping)
    resource.set_field_mappings(mappings)
    body = bulk_write.RequestWrapper()
    body.set_operation(Choice(operation))
    body.set_resource([resource])
    return answer(BulkWriteOperations().create_bulk_write_job(body))


def bulk_write_details(job_id: str) -> Any:
    return answer(BulkWriteOperations().get_bulk_write_job_details(job_id))


def bulk_write_download(url: str, target: str) -> Any:
    return _save(BulkWriteOperations().download_bulk_write_result(url), target)


COMMANDS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        initialize, modules, module, fields, users, organization, list_records, one_record, search, count, coql, deleted, insert,
        update, upsert, delete, related, deleted_related, bulk_create, bulk_continue, bulk_details, bulk_download,
        bulk_write_upload, bulk_write_create, bulk_write_details, bulk_write_download,
    )
}  # fmt: skip


def main() -> None:
    # The SDK may print; answers go to the descriptor that was stdout.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            result = {"result": COMMANDS[command["name"]](**command["arguments"])}
        except Exception as error:  # noqa: BLE001 - reported to the test, which decides
            result = {"error": f"{error!s} {error!r}", "trace": traceback.format_exc()}
        answers.write(json.dumps(result) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
