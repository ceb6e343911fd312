"""Insert, update, upsert and delete (sheet §3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator import external
from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.errors import ApiError, limit_exceeded
from airflow_provider_zohocrm.simulator.modules import CURRENT_USER, Module, Row
from airflow_provider_zohocrm.simulator.records import module_of
from airflow_provider_zohocrm.simulator.store import CONVERTED_VIEW, UNAPPROVED_VIEW
from airflow_provider_zohocrm.simulator.validation import RecordError, Validator, record_locked

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.state import State

# Not in the list of modules of the upsert page (SEED-2).
NO_UPSERT = {"Tasks", "Events", "Calls", "Notes"}
TRIGGERS = {"workflow", "approval", "blueprint", "pathfinder", "orchestration"}

Writer = Callable[[int, dict[str, Any]], dict[str, Any]]


class Write:
    """One write call: its records are treated one after another, each with a result of its own."""

    def __init__(self, state: State, call: Call, module: Module) -> None:
        self.state = state
        self.call = call
        self.module = module
        self.body = call.json()
        self.written: list[str] = []
        self.added: list[str] = []
        self.external = external.field_of(call, module)

    def records(self) -> list[dict[str, Any]]:
        """Read and check ``data``.

        :raises ApiError: where the request as a whole is bad.
        """
        data = self.body.get("data")
        if data is None:
            raise ApiError(400, "MANDATORY_NOT_FOUND", "required field not found", {"api_name": "data"})
        if not isinstance(data, list) or not all(isinstance(one, dict) for one in data) or not data:
            details = {"expected_data_type": "jsonarray", "api_name": "data"}
            raise ApiError(400, "INVALID_DATA", "invalid data", details)
        limit = self.state.options.write_limit
        if len(data) > limit:
            code = self.state.options.too_many_records_code
            raise ApiError(
                400,
                code,
                "the maximum number of records allowed is exceeded",
                {"maximum_length": limit, "api_name": "data"},
            )
        trigger = self.body.get("trigger")
        if trigger is not None and (not isinstance(trigger, list) or not set(map(str, trigger)) <= TRIGGERS):
            raise ApiError(
                400,
                "INVALID_DATA",
                "invalid data",
                {"api_name": "trigger", "supported_values": sorted(TRIGGERS)},
            )
        return data

    def run(self, operation: str, writer: Writer, good_status: int) -> Answer:
        """Treat every record and find the status (sheet §3.4).

        :param operation: insert, update or upsert.
        :param writer: treats one record; raises ``RecordError`` for a bad one.
        :param good_status: where no record is bad.
        """
        results = []
        records = self.records()
        with self.state.store.transaction():
            for index, record in enumerate(records):
                results.append(self._one(writer, index, record))
        self.state.store.writes.append(
            {
                "time": self.state.clock.now(),
                "module": self.module.api_name,
                "operation": operation,
                "ids": self.written,
                # Key absent: all run; an empty list: none (sheet §3.2).
                "trigger": self.body.get("trigger", "all"),
                "apply_feature_execution": self.body.get("apply_feature_execution"),
                "skip_feature_execution": self.body.get("skip_feature_execution"),
            }
        )
        fields = sorted({name for record in records for name in record if name in self.module.fields})
        changed = [one for one in dict.fromkeys(self.written) if one not in set(self.added)]
        self.state.watch.changed(self.module, "insert", self.added, fields)
        self.state.watch.changed(self.module, "update", changed, fields)
        self.state.note(self.call, records=len(results))
        return Answer(self._status(results, good_status), {"data": results})

    def _one(self, writer: Writer, index: int, record: dict[str, Any]) -> dict[str, Any]:
        try:
            return writer(index, record)
        except RecordError as error:
            return error.element(json_path=self.call.rank > 2)

    def _status(self, results: list[dict[str, Any]], good: int) -> int:
        bad = [result for result in results if result["status"] == "error"]
        if not bad:
            return good
        if all(result["code"] == "ALREADY_MODIFIED" for result in results):
            return 412
        if self.call.rank == 2:
            return 202 if len(bad) == len(results) else self.state.options.v2_mixed_status
        return 400 if len(bad) == len(results) else 207

    def details(self, row: Row, creator: dict[str, Any]) -> dict[str, Any]:
        """Build ``details`` of a stored record.

        :param row: the record as it is now.
        :param creator: the user who has created it.
        """
        return {
            "Modified_Time": self.state.clock.iso(row.modified),
            "Modified_By": CURRENT_USER.shortest(),
            "Created_Time": self.state.clock.iso(row.created),
            "id": str(row.id),
            "Created_By": {"name": creator["name"], "id": creator["id"]},
        }

    def _creator(self, row: Row) -> dict[str, Any]:
        created: dict[str, Any] = self.state.store.value(row, self.module.fields["Created_By"])
        return created

    def insert(self, index: int, record: dict[str, Any]) -> dict[str, Any]:
        """Add one record.

        :param index: its place in ``data``.
        :param record: the record.
        """
        validator = Validator(self.state, self.module, index)
        values = validator.values(record, None)
        row = self.state.store.save(self.module, None, values)
        self.written.append(str(row.id))
        self.added.append(str(row.id))
        details = {**self.details(row, CURRENT_USER.shortest()), "$approval_state": "approved"}
        return {"code": "SUCCESS", "details": details, "message": "record added", "status": "success"}

    def update(self, index: int, record: dict[str, Any], record_id: Any) -> dict[str, Any]:
        """Change one record.

        :param index: its place in ``data``.
        :param record: the new values.
        :param record_id: which record.
        """
        if self.external is not None and record.get(self.external.api_name) and record_id in (None, ""):
            record_id = external.id_of(self.state, self.module, self.external, record[self.external.api_name])
        if record_id in (None, ""):
            raise RecordError(
                "MANDATORY_NOT_FOUND", "required field not found", {"api_name": "id"}, f"$.data[{index}].id"
            )
        text = str(record_id)
        row = self.state.store.row(self.module, int(text)) if text.isdigit() and len(text) <= 19 else None
        if row is None:
            message = "the id given seems to be invalid"
            raise RecordError("INVALID_DATA", message, {"id": text, "api_name": "id"}, f"$.data[{index}].id")
        self._check_state(row)
        self._check_unmodified(row)
        values = Validator(self.state, self.module, index).values(record, row)
        saved = self.state.store.save(self.module, row, values)
        self.written.append(str(saved.id))
        return {
            "code": "SUCCESS",
            # Of a seeded record it is computed; of the saved one it would be looked for in the JSON.
            "details": self.details(saved, self._creator(row)),
            "message": "record updated",
            "status": "success",
        }

    def _check_state(self, row: Row) -> None:
        record_id = str(row.id)
        if record_id in self.state.locked:
            raise record_locked(record_id)
        if row.view == CONVERTED_VIEW:
            raise RecordError("CONVERTED_RECORD", "the record is already converted", {"id": record_id}, None)
        if row.view == UNAPPROVED_VIEW:
            raise RecordError("NOT_APPROVED", "the record is not approved", {"id": record_id}, None)

    def _check_unmodified(self, row: Row) -> None:
        text = self.call.headers.get("if-unmodified-since")
        moment = parse_iso(text) if text else None
        if text and moment is None:
            raise ApiError(400, "INVALID_DATA", "invalid data", {"header_name": "If-Unmodified-Since"})
        if moment is not None and row.modified > moment:
            message = "record updated time has already passed if-unmodified-since time"
            raise RecordError("ALREADY_MODIFIED", message, self.details(row, self._creator(row)), None)

    def duplicate_order(self) -> list[str]:
        """Return the fields of the duplicate check in their order (sheet §3.3)."""
        system = [self.module.duplicate_field] if self.module.duplicate_field else []
        unique = [name for name in self.module.unique if name not in system]
        given = self.body.get("duplicate_check_fields") or []
        if not isinstance(given, list):
            details = {"expected_data_type": "jsonarray", "api_name": "duplicate_check_fields"}
            raise ApiError(400, "INVALID_DATA", "invalid data", details)
        for name in given:
            if name not in [*system, *unique]:
                supported = {"api_name": "duplicate_check_fields", "supported_values": [*system, *unique]}
                raise ApiError(400, "INVALID_DATA", "invalid data", supported)
        # A system field that is not named in a list is ignored; user-unique fields are always checked.
        first = list(given) if given else system
        return [*first, *(name for name in unique if name not in first)]

    def upsert(self, index: int, record: dict[str, Any], order: list[str]) -> dict[str, Any]:
        """Change the record the duplicate check finds, else add one.

        :param index: its place in ``data``.
        :param record: the record.
        :param order: fields of the duplicate check.
        """
        if record.get("id"):
            done = self.update(index, record, record["id"])
            return self._upserted(done, None, "update")
        for name in order:
            value = record.get(name)
            if value in (None, "") or isinstance(value, (dict, list)):
                continue
            found = self.state.store.find(self.module, self.module.fields[name], value)
            if found is not None:
                return self._upserted(self.update(index, record, found), name, "update")
        done = self.insert(index, record)
        done["details"].pop("$approval_state")
        return self._upserted(done, None, "insert")

    @staticmethod
    def _upserted(done: dict[str, Any], duplicate: str | None, action: str) -> dict[str, Any]:
        return {
            "code": done["code"],
            "duplicate_field": duplicate,
            "action": action,
            "details": done["details"],
            "message": done["message"],
            "status": done["status"],
        }


def insert_records(state: State, call: Call, name: str) -> Answer:
    """``POST /crm/{v}/{module}``."""
    write = Write(state, call, module_of(state, call, name))
    return write.run("insert", write.insert, 201)


def update_records(state: State, call: Call, name: str) -> Answer:
    """``PUT /crm/{v}/{module}``: every record names its id."""
    write = Write(state, call, module_of(state, call, name))
    return write.run("update", lambda index, record: write.update(index, record, record.get("id")), 200)


def update_record(state: State, call: Call, name: str, record_id: str) -> Answer:
    """``PUT /crm/{v}/{module}/{id}``."""
    write = Write(state, call, module_of(state, call, name))
    if len(write.records()) != 1:
        raise ApiError(400, "INVALID_DATA", "invalid data", {"maximum_length": 1, "api_name": "data"})
    return write.run("update", lambda index, record: write.update(index, record, record_id), 200)


def upsert_records(state: State, call: Call, name: str) -> Answer:
    """``POST /crm/{v}/{module}/upsert``."""
    module = module_of(state, call, name)
    if module.api_name in NO_UPSERT:
        message = "the module is not supported in this API"
        raise ApiError(400, "NOT_SUPPORTED", message, {"resource_path_index": 0})
    write = Write(state, call, module)
    order = write.duplicate_order()
    answer = write.run("upsert", lambda index, record: write.upsert(index, record, order), 200)
    if answer.status == 200 and all(element.get("action") == "insert" for element in answer.body["data"]):
        answer.status = state.options.upsert_insert_status
    return answer


def _delete(state: State, call: Call, module: Module, ids: list[str]) -> Answer:
    results = []
    gone = []
    for text in ids:
        if text in state.locked:
            element = record_locked(text).element(json_path=False)
        elif text.isdigit() and len(text) <= 19 and state.store.delete(module, int(text)):
            gone.append(text)
            element = {
                "code": "SUCCESS",
                "details": {"id": text},
                "message": "record deleted",
                "status": "success",
            }
        else:
            element = {
                "status": "error",
                "code": "INVALID_DATA",
                "message": "record not deleted",
                "details": {"id": text},
            }
        results.append(element)
    trigger: str | list[str] = "all" if call.query.get("wf_trigger", "true") == "true" else []
    entry: dict[str, Any] = {
        "time": state.clock.now(),
        "module": module.api_name,
        "operation": "delete",
        "ids": gone,
    }
    state.store.writes.append({**entry, "trigger": trigger})
    state.watch.changed(module, "delete", gone)
    status = 200
    if len(gone) < len(ids):
        status = (
            (202 if call.rank == 2 else 400)
            if not gone
            else (state.options.v2_mixed_status if call.rank == 2 else 207)
        )
    state.note(call, records=len(ids))
    return Answer(status, {"data": results})


def delete_records(state: State, call: Call, name: str) -> Answer:
    """``DELETE /crm/{v}/{module}?ids=``."""
    module = module_of(state, call, name)
    ids = [part.strip() for part in call.query.get("ids", "").split(",") if part.strip()]
    spec = external.field_of(call, module)
    if spec is not None:
        ids = [external.id_of(state, module, spec, one) for one in ids]
    if not ids:
        message = "One of the expected parameter is missing"
        key = "param" if state.options.required_param_style == "old" else "param_name"
        raise ApiError(400, "REQUIRED_PARAM_MISSING", message, {key: "ids"})
    if len(ids) > state.options.write_limit:
        raise limit_exceeded("ids", state.options.write_limit)
    return _delete(state, call, module, ids)


def delete_record(state: State, call: Call, name: str, record_id: str) -> Answer:
    """``DELETE /crm/{v}/{module}/{id}``."""
    if record_id in state.locked:
        # Flat here (OAS-2026).
        error = record_locked(record_id)
        raise ApiError(400, error.code, error.message, error.details)
    return _delete(state, call, module_of(state, call, name), [record_id])
