"""Metadata: modules, fields, related lists, the organisation and its users (sheet §2.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.errors import ApiError, invalid_param, required_param
from airflow_provider_zohocrm.simulator.modules import (
    CURRENT_USER,
    ORG_PREFIX,
    USERS,
    Field,
    Module,
    RelatedList,
    User,
)
from airflow_provider_zohocrm.simulator.paging import whole_number
from airflow_provider_zohocrm.simulator.records import module_of

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.state import State

ZGID = "65398227"

_PROFILES = [
    {"name": "Administrator", "id": str(ORG_PREFIX * 10**12 + 26_011), "permission_type": "read_write"},
    {"name": "Standard", "id": str(ORG_PREFIX * 10**12 + 26_014), "permission_type": "read_write"},
]


def _module_json(module: Module, number: int) -> dict[str, Any]:
    return {
        "has_more_profiles": False,
        "common.search_supported": True,
        "deletable": True,
        "description": None,
        "creatable": True,
        "recycle_bin_on_delete": True,
        "inventory_template_supported": module.api_name in {"Quotes", "Invoices"},
        "modified_time": None,
        "plural_label": module.api_name,
        "presence_sub_menu": module.custom,
        "triggers_supported": True,
        "id": module.module_id,
        "chart_view": False,
        "isBlueprintSupported": True,
        "visibility": 1,
        "visible": True,
        "convertable": module.api_name == "Leads",
        "editable": True,
        "emailTemplate_support": True,
        "email_parser_supported": True,
        "filter_supported": True,
        "show_as_tab": module.api_name != "Notes" and module.parent is None,
        "web_link": None,
        "sequence_number": number,
        "singular_label": module.singular,
        "viewable": True,
        "api_supported": True,
        "api_name": module.api_name,
        "quick_create": not module.custom,
        "generated_type": "subform" if module.parent else "custom" if module.custom else "default",
        "feeds_required": False,
        "scoring_supported": True,
        "webform_supported": True,
        "arguments": [],
        "module_name": f"CustomModule{module.number}" if module.custom else module.api_name,
        "chart_view_supported": True,
        "profile_count": len(_PROFILES),
        "business_card_field_limit": 5,
        "track_current_data": False,
        "modified_by": None,
        "profiles": [{"name": one["name"], "id": one["id"]} for one in _PROFILES],
        "parent_module": {"api_name": module.parent.api_name, "id": module.parent.module_id}
        if module.parent
        else {},
        "activity_badge": "Disabled",
        "status": "visible",
        "global_search_supported": True,
        "territory": {"id": "0", "name": "All Territories", "subordinates": False},
    }


def _modules(state: State) -> list[Module]:
    subforms = state.store.subforms.values() if state.options.subform_modules else ()
    return [*state.store.modules.values(), *subforms]


def list_modules(state: State, _call: Call) -> Answer:
    """``GET /crm/{v}/settings/modules``."""
    modules = [_module_json(module, n) for n, module in enumerate(_modules(state), 1)]
    return Answer(200, {"modules": modules})


def one_module(state: State, call: Call, name: str) -> Answer:
    """``GET /crm/{v}/settings/modules/{module}``: by API name or id."""
    modules = _modules(state)
    module = next((m for m in modules if m.module_id == name), None)
    module = module or module_of(state, call, name, readable=True)
    content = _module_json(module, modules.index(module) + 1)
    display = module.fields[module.display]
    content |= {
        "display_field": {"api_name": display.api_name, "id": module.field_id(display)},
        "per_page": 10,
        "fields": [field_json(state, module, spec) for spec in module.fields.values()],
        "related_lists": [
            _related_json(state, module, related, n) for n, related in enumerate(module.related, 1)
        ],
        "$properties": [],
        "$on_demand_properties": [],
        "search_layout_fields": [module.display],
        "layouts": [],
    }
    return Answer(200, {"modules": [content]})


def _choices(spec: Field, field_id: str) -> list[dict[str, Any]]:
    return [
        {
            "display_value": choice,
            "sequence_number": n,
            "reference_value": choice,
            "colour_code": None,
            "actual_value": choice,
            "id": f"{field_id[:-6]}{int(field_id[-6:]) % 1000:03d}{n:03d}",
            "type": "used",
        }
        for n, choice in enumerate(spec.choices, 1)
    ]


_UI_TYPES = {
    "text": 1, "textarea": 3, "email": 25, "phone": 33, "website": 21, "picklist": 2, "multiselectpicklist": 100, "date": 24,
    "datetime": 333, "integer": 32, "double": 38, "currency": 36, "bigint": 34, "boolean": 301, "lookup": 4, "ownerlookup": 8,
    "subform": 555,
}  # fmt: skip


def field_json(state: State, module: Module, spec: Field) -> dict[str, Any]:
    """Describe a field as settings/fields does.

    :param state: the simulator.
    :param module: its module.
    :param spec: the field.
    """
    field_id = module.field_id(spec)
    writable = not spec.read_only
    label = spec.label or spec.api_name.replace("_", " ")
    lookup: dict[str, Any] = {}
    if spec.data_type == "lookup":
        target = state.store.modules[spec.lookup]
        lookup = {
            "display_label": f"{module.api_name}",
            "revalidate_filter_during_edit": False,
            "api_name": next(
                (
                    r.api_name
                    for r in target.related
                    if r.lookup == spec.api_name and r.module == module.api_name
                ),
                None,
            ),
            "module": {"api_name": target.api_name, "id": target.module_id},
            "id": field_id,
            "query_details": {},
        }
    return {
        "associated_module": {**lookup["module"], "module": spec.lookup} if lookup else None,
        "webhook": True,
        "operation_type": {
            "web_update": writable,
            "api_create": writable,
            "web_create": writable,
            "api_update": writable,
        },
        "colour_code_enabled_by_system": False,
        "field_label": label,
        "tooltip": None,
        "type": "used",
        "field_read_only": spec.read_only,
        "customizable_properties": ["display_label", "tooltip"],
        "display_label": label,
        "display_type": -1,
        "read_only": spec.read_only,
        "businesscard_supported": True,
        "multi_module_lookup": {},
        "id": field_id,
        "created_time": None,
        "modified_time": None,
        "filterable": spec.data_type != "subform",
        "visible": spec.api_name != "id",
        "available_in_user_layout": True,
        "refer_from_field": None,
        "profiles": [dict(one) for one in _PROFILES],
        "view_type": {"view": True, "edit": writable, "quick_create": False, "create": writable},
        "show_type": 7,
        "category": 1,
        "display_field": spec.api_name == module.display,
        "pick_list_values_sorted_lexically": False,
        "sortable": spec.data_type not in {"subform", "textarea", "multiselectpicklist"},
        "layout_associations": [
            {
                "name": "Standard",
                "api_name": "Standard",
                "id": str(ORG_PREFIX * 10**12 + 91_055 + module.number),
            }
        ],
        "separator": False,
        "searchable": spec.data_type in {"text", "email", "phone", "picklist"},
        "external": None,
        "sharing_properties": {
            "share_preference_enabled": False,
            "share_permission": "full-access",
        }
        if spec.data_type == "lookup"
        else None,
        "convert_mapping": None,
        "custom_field": spec.custom,
        "lookup": lookup,
        "hipaa_compliance": None,
        "hipaa_compliance_enabled": False,
        "column_name": spec.api_name.upper().replace("_", ""),
        "api_name": spec.api_name,
        "unique": {"casesensitive": "false"} if spec.unique else {},
        "data_type": spec.data_type,
        "json_type": spec.json_type,
        "length": spec.length,
        "decimal_place": spec.decimals,
        "mass_update": writable,
        "created_source": "custom" if spec.custom else "default",
        "virtual_field": False,
        "system_mandatory": spec.mandatory,
        "blueprint_supported": writable,
        "enable_colour_code": False,
        "ui_type": _UI_TYPES.get(spec.data_type, 1),
        "quick_sequence_number": "1",
        "email_parser": {"fields_update_supported": writable, "record_operations_supported": writable},
        "rollup_summary": {},
        "currency": {"rounding_option": "normal", "precision": 2} if spec.data_type == "currency" else {},
        "subform": {"module": spec.api_name, "id": module.subforms[spec.api_name].module_id}
        if spec.data_type == "subform"
        else None,
        "formula": {},
        "private": None,
        "multiselectlookup": {},
        "multiuserlookup": {},
        "auto_number": {},
        "autonumber": None,
        "sub_module": None,
        "file_upolad_optionlist": [],
        "common.picklist": {},
        "_update_existing_records": False,
        "pick_list_values": _choices(spec, field_id),
        "allowed_modules": [],
        "crypt": None,
        "history_tracking": None,
        "history_tracking_enabled": False,
        "association_details": None,
        "additional_column": None,
        "number_separator": spec.data_type in {"integer", "double", "currency"},
        "textarea": {"type": "small"} if spec.data_type == "textarea" else None,
        "static_field": False,
    }


def _module_param(state: State, call: Call) -> Module:
    name = call.query.get("module")
    if not name:
        raise required_param("module", state.options.required_param_style)
    module = state.readable(name)
    if module is None:
        # The OpenAPI file of the fields names the parameter so, unlike that of the records.
        raise ApiError(
            400, "INVALID_MODULE", "the module name given seems to be invalid", {"api_name": "module"}
        )
    return module


def list_fields(state: State, call: Call) -> Answer:
    """``GET /crm/{v}/settings/fields?module=``."""
    module = _module_param(state, call)
    kind = call.query.get("type", "used")
    if kind not in {"all", "used", "unused"}:
        raise invalid_param("type", supported_values=["all", "used", "unused"])
    if kind == "unused":
        return Answer(204)
    return Answer(200, {"fields": [field_json(state, module, spec) for spec in module.fields.values()]})


def one_field(state: State, call: Call, field_id: str) -> Answer:
    """``GET /crm/{v}/settings/fields/{id}?module=``."""
    module = _module_param(state, call)
    for spec in module.fields.values():
        if field_id in {module.field_id(spec), spec.api_name}:
            return Answer(200, {"fields": [field_json(state, module, spec)]})
    return Answer(204)


def _related_json(state: State, module: Module, related: RelatedList, number: int) -> dict[str, Any]:
    child = state.store.modules[related.module]
    return {
        "id": str(ORG_PREFIX * 10**12 + 60_000 + module.number * 100 + number),
        "sequence_number": str(number),
        "display_label": related.api_name,
        "api_name": related.api_name,
        "name": related.api_name,
        "action": "lookup" if related.lookup else "association",
        "href": f"{module.api_name}/{{ENTITYID}}/{related.api_name}",
        "module": {"api_name": child.api_name, "id": child.module_id},
        "type": "default",
        "connectedmodule": None,
        "linkingmodule": None if related.lookup else f"{module.api_name}_X_{child.api_name}",
        "visible": True,
    }


def related_lists(state: State, call: Call) -> Answer:
    """``GET /crm/{v}/settings/related_lists?module=``."""
    module = _module_param(state, call)
    if not module.related:
        return Answer(204)
    return Answer(
        200,
        {"related_lists": [_related_json(state, module, one, n) for n, one in enumerate(module.related, 1)]},
    )


def organization(_state: State, _call: Call) -> Answer:
    """``GET /crm/{v}/org``."""
    org = {
        "country": "US",
        "photo_id": None,
        "city": "Pleasanton",
        "description": None,
        "mc_status": False,
        "gapps_enabled": False,
        "translation_enabled": False,
        "street": "4141 Hacienda Drive",
        "alias": None,
        "currency": "US Dollar - USD",
        "id": str(ORG_PREFIX * 10**12 + 225_001),
        "state": "California",
        "fax": None,
        "employee_count": "50",
        "zip": "94588",
        "website": None,
        "currency_symbol": "$",
        "mobile": None,
        "currency_locale": "en_US",
        "primary_zuid": "65398222",
        "zia_portal_id": None,
        "time_zone": "Asia/Kolkata",
        "zgid": ZGID,
        "country_code": "US",
        "license_details": {
            "paid_expiry": None,
            "users_license_purchased": len(USERS),
            "trial_type": None,
            "trial_expiry": None,
            "paid": True,
            "paid_type": "enterprise",
        },
        "phone": None,
        "company_name": "Zylker (simulated)",
        "privacy_settings": False,
        "primary_email": CURRENT_USER.email,
        "hipaa_compliance_enabled": False,
        "iso_code": "USD",
        "type": "production",
    }
    return Answer(200, {"org": [org]})


def _user_json(user: User) -> dict[str, Any]:
    return {
        "country": None,
        "role": {"name": "CEO", "id": str(ORG_PREFIX * 10**12 + 26_005)},
        "language": "en_US",
        "locale": "en_US",
        "id": user.id,
        "full_name": user.name,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "zuid": user.id[-8:],
        "status": "active",
        "confirm": True,
        "time_zone": "Asia/Kolkata",
        "profile": {"name": "Administrator", "id": _PROFILES[0]["id"]},
        "personal_account": False,
        "Isonline": user is CURRENT_USER,
    }


def list_users(_state: State, call: Call) -> Answer:
    """``GET /crm/{v}/users``."""
    kind = call.query.get("type", "AllUsers")
    users = [CURRENT_USER] if kind == "CurrentUser" else list(USERS)
    count = whole_number(call, "per_page", 200, 200)
    number = whole_number(call, "page", 1)
    part = users[(number - 1) * count : number * count]
    if not part:
        return Answer(204)
    info = {
        "per_page": count,
        "count": len(part),
        "page": number,
        "more_records": number * count < len(users),
    }
    return Answer(200, {"users": [_user_json(user) for user in part], "info": info})


def one_user(_state: State, _call: Call, user_id: str) -> Answer:
    """``GET /crm/{v}/users/{id}``."""
    user = next((user for user in USERS if user.id == user_id), None)
    return Answer(204) if user is None else Answer(200, {"users": [_user_json(user)]})
