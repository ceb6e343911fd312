"""Where Zoho's OpenAPI files are known to be wrong, with the reason; sections are those of the reference sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.oas import content, error, key, member, nullable, optional, replace, schema, status

if TYPE_CHECKING:
    from conformance.oas import Correction

ANY_ERROR = "common.json#/components/schemas/API_Exception"
MODULE = "/crm/v8/{module_api_name}"

_NO_RECORDS = (
    "§2.1: no records is 204 with an empty body; the file lists only 200 for every call on records (§3.4)"
)
_UNCHANGED = "§2.1: nothing changed since If-Modified-Since is 304 with an empty body"
_REFUSED = "§2.1, §7: refusals are 400, flat; the file lists only 200, and mixes the error into its schema"
_PARTLY = (
    "§3.4, §11: some bad is 207, all bad 400 with data[], changed meanwhile 412; the file lists only 200"
)
_INSERTED = "§3.4: an insert answers 201; the file lists only 200"
_GATE = "§1.6, §6.3, §7: 401, 429 and 500 are not listed for this call; common.json describes their body"


def _statuses() -> list[Correction]:
    found = []
    for path in (MODULE, f"{MODULE}/{{id}}", f"{MODULE}/deleted", f"{MODULE}/search"):
        found.append(status(f"record.json GET {path}", 204, "", _NO_RECORDS))
        found.append(status(f"record.json GET {path}", 400, "200", _REFUSED))
        if not path.endswith("search"):
            found.append(status(f"record.json GET {path}", 304, "", _UNCHANGED))
    for verb, path, codes in (
        ("POST", MODULE, (207, 400)),
        ("PUT", MODULE, (207, 400)),
        ("PUT", f"{MODULE}/{{id}}", (400, 412)),
        ("POST", f"{MODULE}/upsert", (207, 400)),
        ("DELETE", MODULE, (207, 400)),
        ("DELETE", f"{MODULE}/{{id}}", (400,)),
    ):
        found += [status(f"record.json {verb} {path}", code, "200", _PARTLY) for code in codes]
    found.append(status(f"record.json POST {MODULE}", 201, "200", _INSERTED))
    related = f"related_records.json GET {MODULE}/{{record_id}}/{{related_list_api_name}}"
    found.append(status(related, 204, "", _NO_RECORDS))
    found.append(status(related, 400, "200", _REFUSED))
    found.append(
        status(
            f"related_records.json GET {MODULE}/deleted/{{record_id}}/{{related_list_api_name}}",
            400,
            "200",
            _REFUSED,
        )
    )
    found.append(status("coql.json POST /crm/v8/coql", 204, "", "§2.7: no rows is 204"))
    found.append(
        status(
            "bulk_read.json POST /crm/bulk/v8/read", 415, ANY_ERROR, "§4.7: 415 without a JSON content type"
        )
    )
    found.append(
        status(
            "bulk_read.json GET /crm/bulk/v8/read/{job_id}/result",
            404,
            "400",
            "§11: unknown result is 404 (OAS-2026)",
        )
    )
    for place in (
        f"record.json GET {MODULE}",
        "coql.json POST /crm/v8/coql",
        "bulk_read.json POST /crm/bulk/v8/read",
        "fields.json GET /crm/v8/settings/fields",
    ):
        found.append(status(place, 401, ANY_ERROR, _GATE))
    found += [status(f"record.json GET {MODULE}", code, ANY_ERROR, _GATE) for code in (429, 500)]
    return found


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_NAMES = {"type": "array", "items": _TEXT}

_RECORD_ERROR = "record.json#/components/schemas/API_Exception/properties"
_RELATED_ERROR = "related_records.json#/components/schemas/API_Exception/properties"
_GET_COUNT = f"record_count.json GET {MODULE}/actions/count"
_COQL = "coql.json POST /crm/v8/coql"
_JOB = "bulk_read.json#/components/schemas"

_RECORDS: tuple[Correction, ...] = (
    nullable(
        "record.json#/components/schemas/Info", "next_page_token", "previous_page_token", "page_token_expiry",
        reason="§2.1, §2.4, §10.2: null on the first and on the last page, and with a deleted parent",
    ),
    nullable(
        "record.json#/components/schemas/Deleted_Record", "deleted_by", "display_name", "created_by",
        reason="§2.3, §10.2: a record deleted for good has null there",
    ),
    nullable(
        "record.json#/components/schemas/Success_Response", "duplicate_field", reason="§3.4, §10.2: null on an insert"
    ),
    member(
        f"{_RECORD_ERROR}/code", "DISCRETE_PAGINATION_LIMIT_EXCEEDED", reason="§2.1, §10.2: `page` past 2,000 records"
    ),
    member(f"{_RECORD_ERROR}/code", "PAGINATION_LIMIT_EXCEEDED", reason="§2.1, §10.2: page_token past 100,000 records"),
    member(f"{_RECORD_ERROR}/code", "TOKEN_BOUND_DATA_MISMATCH", reason="§2.1, §10.2: other parameters than the token's"),
    member(f"{_RECORD_ERROR}/code", "EXPIRED_VALUE", reason="§2.1, §10.2: a page_token older than a day"),
    member(f"{_RECORD_ERROR}/code", "AMBIGUITY_DURING_PROCESSING", reason="§10.2: parameters that exclude each other"),
    member(f"{_RECORD_ERROR}/code", "EXPECTED_PARAM_MISSING", reason="§2.6: a search without a term"),
    member(f"{_RECORD_ERROR}/code", "MULTIPLE_OR_MULTI_ERRORS", reason="§7, §10.2: several errors of one record"),
    member(f"{_RECORD_ERROR}/code", "ALREADY_MODIFIED", reason="§3.2, §10.2: If-Unmodified-Since"),
    member(
        f"{_RECORD_ERROR}/message",
        "required param is missing",
        "limit exceeded",
        "You can only get the first 2000 records without using page_token param",
        "You can only get upto 200 records using page_token param",
        "The page_token given seems to be invalid or input param is added or altered or deleted",
        "Page token expired",
        "the module name given seems to be invalid",
        "Multiple errors in the request",
        "record updated time has already passed if-unmodified-since time",
        reason="§10.2 (OAS-2026): texts that the file of 2025 lacks, or begins with a capital",
    ),
    member(
        f"{_RECORD_ERROR}/message",
        "Please use either page or page_token. Combination of the params is not allowed",
        "Please use either cvid or sort_by. Combination of the params is not allowed",
        "Search results limit reached",
        "the module is not supported in this API",
        "the maximum number of records allowed is exceeded",
        reason="§3.4, §10.2 <ambiguity text>, §12: no source gives the wording, so clients must not match it",
    ),
    key(
        f"{_RECORD_ERROR}/details",
        "§10.2: what is wrong with a parameter",
        ambiguity_due_to={"type": "array", "items": {"type": "object", "properties": {"param_name": _TEXT}}},
        supported_values=_NAMES,
    ),
    key(
        f"{_RECORD_ERROR}/details",
        "§2.1, §2.6: the details of these refusals are in no source (guess)",
        header_name=_TEXT,
        param_names=_NAMES,
        near=_TEXT,
    ),
    key(
        f"{_RECORD_ERROR}/details",
        "§10.2: details of MULTIPLE_OR_MULTI_ERRORS and DUPLICATE_DATA",
        errors={"type": "array", "items": {"$ref": "#/components/schemas/API_Exception"}},
        more_records={"type": "boolean"},
    ),
    key(
        f"{_RECORD_ERROR}/details",
        "§10.2: details of ALREADY_MODIFIED are those of the record as it is",
        Modified_Time={"type": "string", "format": "date-time"},
        Created_Time={"type": "string", "format": "date-time"},
        Modified_By={"type": "object"},
        Created_By={"type": "object"},
    ),
    replace(f"{_RECORD_ERROR}/details/properties/maximum_length", _NUMBER, "§10.2: a number, here typed as text"),
    replace(
        f"{_RECORD_ERROR}/details/properties/duplicate_record/properties/Owner",
        {"type": "object", "properties": {"name": _TEXT, "id": _TEXT, "zuid": _TEXT}},
        "§10.2: the owner of the duplicate has a zuid too",
    ),
    member(f"{_RELATED_ERROR}/code", "REQUIRED_PARAM_MISSING", reason="§2.4: `fields` is mandatory from v3 on"),
    member(
        f"{_RELATED_ERROR}/message",
        "required param is missing",
        "The related id given seems to be invalid",
        "Given ID of the record seems to be invalid",
        reason="§10.2, SEED-4: texts that the file lacks, or begins with a small letter",
    ),
    schema(
        _GET_COUNT, 200,
        {"type": "object", "properties": {"count": {"type": ["integer", "string"]}}, "required": ["count"]},
        "§2.5, §11: the file gives no schema; record.json says text, OAS-2026 says number",
    ),
    error(_GET_COUNT, 400, "INVALID_DATA", "§7: a cvid that does not exist", param_name=_TEXT),
    error(_COQL, 400, "MANDATORY_NOT_FOUND", "§10.2: no select_query in the body", api_name=_TEXT),
    error(_COQL, 400, "INVALID_MODULE", "§10.2: a module COQL does not know"),
    error(_COQL, 400, "SYNTAX_ERROR", "§10.2: a text that cannot be parsed tells `near` alone", near=_TEXT),
)  # fmt: skip

_BULK: tuple[Correction, ...] = (
    member(f"{_JOB}/Job_Detail/properties/state", "QUEUED", reason="§4.3, §11: in DOCS and OAS-2026"),
    member(f"{_JOB}/Job_Detail/properties/file_type", "ics", reason="§4.2: Events come as ics"),
    optional(f"{_JOB}/Job_Detail", "result", reason="§4.3: there is a result only in the end"),
    optional(f"{_JOB}/Query", "cvid", "fields", "criteria", "file_type", reason="§4.3, §10.2: `query` echoes what was sent"),
    optional(f"{_JOB}/Criteria", "type", reason="§4.2: no criterion has a type"),
    replace(
        f"{_JOB}/Criteria/properties/value",
        {"type": ["string", "number", "boolean", "array"]},
        "§4.2: a text, a number, a truth value or a list of them; here typed as an object",
    ),
    optional(f"{_JOB}/Result", "next_page_token", reason="§10.2: only with more rows"),
    optional(
        f"{_JOB}/Result", "page", "per_page", "count", "download_url", "more_records",
        reason="§4.3: of a job that failed, the result holds error_message alone",
    ),
    key(f"{_JOB}/Result", "§4.3 (SEED-1): what went wrong in a job that failed", error_message={"type": "object"}),
    nullable(f"{_JOB}/Result", "download_url", reason="§11: DOCS v7 show a result before the job is done"),
    content(
        "bulk_read.json GET /crm/bulk/v8/read/{job_id}/result", 200, "application/zip", "application/x-download",
        "§4.4, §11: application/zip in OAS-2026 and live",
    ),
    member(
        f"{_JOB}/Bulk_Read_API_Exception/properties/code", "INVALID_DATA",
        reason="§4.7 (OAS-2026): a wrong file_type, page or page_token",
    ),
    replace(
        "common.json#/components/schemas/API_Exception/properties/details",
        {"type": ["object", "array"]},
        "§4.7, §7 (SEED-3, captured): an array with 415",
    ),
)  # fmt: skip

_WRITE = "bulk_write.json#/components/schemas"
_MAPPING = f"{_WRITE}/Resource/properties/field_mappings/items"
_RUNNING = "§5, §11: INPROGRESS without a space in OAS-2026 and DOCS; a client strips spaces"
_WATCH = "notifications.json#/components/schemas"

_BULK_WRITE: tuple[Correction, ...] = (
    replace(f"{_WRITE}/Success_Response/properties/details/properties/file_id", _TEXT, "§10.2: a text, as all ids"),
    optional(
        f"{_WRITE}/Success_Response/properties/details", "id", "created_by",
        reason="§10.2: the upload shares the schema of the job, and has file_id and created_time instead",
    ),
    nullable(_MAPPING, "format", "find_by", "default_value", reason="§10.2: null where nothing was given"),
    member(f"{_WRITE}/Resource/properties/status", "INPROGRESS", reason=_RUNNING),
    member(f"{_WRITE}/Resource/properties/file/properties/status", "INPROGRESS", reason=_RUNNING),
    status("bulk_write.json POST /crm/v8/upload", 400, "200", "§5: refused uploads are 400; the file lists only 200"),
    error("bulk_write.json POST /crm/bulk/v8/write", 400, "FILE_NOT_FOUND", "§5 (OAS-2026)", json_path=_TEXT),
    replace(
        f"{_WRITE}/API_Exception/properties/message", _TEXT,
        "texts made from one example each: `Requested module 'asdf' is not available.`",
    ),
)  # fmt: skip

_NOTIFICATIONS: tuple[Correction, ...] = (
    optional(f"{_WATCH}/event", "notification_condition", reason="§9: a channel need not have a condition"),
    nullable(f"{_WATCH}/Notification", "notification_condition", reason="§9: a channel need not have a condition"),
    replace(
        f"{_WATCH}/Notification/properties/channel_id", _TEXT, "a number or its digits, here typed as an object"
    ),
    replace(f"{_WATCH}/Notification/properties/notify_url", _TEXT, "a pattern made from one example"),
    status(
        "notifications.json DELETE /crm/v8/actions/watch", 400, "202",
        "§7, §9: NOT_SUBSCRIBED is 400 (OAS-2026); the file has it with 202",
    ),
)  # fmt: skip

_OTHER_KIND = (
    "associated_module", "association_details", "autonumber", "convert_mapping", "crypt", "external", "hipaa_compliance",
    "history_tracking", "private", "refer_from_field", "sharing_properties", "sub_module", "textarea", "tooltip",
)  # fmt: skip
_NULL = "a field of another kind has null there; Zoho's SDK reads null (not in the sheet; §2.8 only names the call)"
_NO_LINK = "{} for a field of another kind, like `multiselectlookup`, which the file leaves open; Zoho's SDK reads it"

_METADATA: tuple[Correction, ...] = (
    nullable("fields.json#/components/schemas/fields", *_OTHER_KIND, reason=_NULL),
    nullable("modules.json#/components/schemas/fields", *_OTHER_KIND, reason=_NULL),
    optional(
        "fields.json#/components/schemas/multiselectlookup",
        "display_label", "linking_module", "connected_module", "lookup_apiname", "api_name", "connectedfield_apiname",
        "connectedlookup_apiname", "id", "record_access", reason=_NO_LINK,
    ),
    key(
        "fields.json#/components/schemas/fields", "Zoho's SDK has this key, the file does not",
        history_tracking_enabled={"type": "boolean"},
    ),
    key(
        "modules.json#/components/schemas/fields", "Zoho's SDK has this key, the file does not",
        history_tracking_enabled={"type": "boolean"},
    ),
    key(
        "modules.json#/components/schemas/modules", "Zoho's SDK has this key, the file does not",
        global_search_supported={"type": "boolean"},
    ),
    member(
        "modules.json#/components/schemas/modules/properties/generated_type", "subform",
        reason="the modules of subforms; Zoho's posts on subforms look for it, and copies of answers have it",
    ),
    nullable("modules.json#/components/schemas/modules", "modified_by", reason="nobody has changed a standard module"),
    optional(
        "modules.json#/components/schemas/modules",
        "$on_demand_properties", "$properties", "display_field", "fields", "layouts", "per_page", "related_lists",
        "search_layout_fields", reason="§2.8: one schema for the list and for one module; the list has no such details",
    ),
    optional(
        "modules.json#/components/schemas/modules",
        "$field_states", "business_card_fields", "custom_view", "default_mapping_fields", "filter_status", "kanban_view",
        "kanban_view_supported", "layout_associations", "lookup_field_properties", "related_list_properties", "zia_view",
        reason="the file makes every key it knows mandatory; keys of parts the simulator does not have are left out",
    ),
    error(
        "fields.json GET /crm/v8/settings/fields", 400, "INVALID_DATA",
        "§10.2: a wrong query parameter is told as param_name with supported_values; the file knows errors of bodies only",
        param_name=_TEXT, supported_values=_NAMES,
    ),
    replace(
        "users.json#/components/schemas/users/properties/time_zone", _TEXT,
        "a name like Asia/Kolkata, which Zoho's SDK reads as text; here typed as an object",
    ),
    replace(
        "users.json#/components/schemas/users/properties/email", _TEXT,
        "a pattern made from one example: nine characters, @, five characters, .com",
    ),
    optional("users.json#/components/schemas/Response_Wrapper", "info", reason="§2.2: a single thing has no info"),
)  # fmt: skip

CORRECTIONS: tuple[Correction, ...] = (
    *_statuses(),
    *_RECORDS,
    *_BULK,
    *_BULK_WRITE,
    *_NOTIFICATIONS,
    *_METADATA,
)
