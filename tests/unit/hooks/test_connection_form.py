from __future__ import annotations

from importlib.util import find_spec

import pytest
from support.fresh import fresh_process

from airflow_provider_zohocrm import connection_form
from airflow_provider_zohocrm.client.credentials import GRANT_TYPES, TOKEN_STORES
from airflow_provider_zohocrm.client.hosts import DATA_CENTERS, ENVIRONMENTS
from airflow_provider_zohocrm.client.versions import DEFAULT_VERSION, VERSIONS
from airflow_provider_zohocrm.get_provider_info import get_provider_info
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

needs_the_old_form = pytest.mark.skipif(
    find_spec("flask_appbuilder") is None,
    reason="flask_appbuilder draws the form up to Airflow 3.1 and is not installed",
)


@pytest.fixture
def connection_type():
    (one,) = get_provider_info()["connection-types"]
    return one


@pytest.fixture
def widgets():
    from wtforms import Form

    unbound = ZohoCRMHook.get_connection_form_widgets()
    form = type("ConnectionForm", (Form,), unbound)()
    return {name: form[name] for name in unbound}


def test_metadata_and_python_methods_describe_the_same_standard_fields(connection_type):
    behaviour = connection_type["ui-field-behaviour"]
    python = ZohoCRMHook.get_ui_field_behaviour()
    assert python == {key.replace("-", "_"): value for key, value in behaviour.items()}
    assert set(behaviour["hidden-fields"]) == {"host", "schema", "port"}
    assert behaviour["relabeling"] == {"login": "Client ID", "password": "Client secret"}
    assert set(behaviour["placeholders"]) >= {"login", "password"}


def test_metadata_and_hook_name_the_same_connection_type(connection_type):
    assert connection_type["connection-type"] == ZohoCRMHook.conn_type == "zohocrm"
    assert connection_type["hook-name"] == ZohoCRMHook.hook_name
    assert connection_type["hook-class-name"] == f"{ZohoCRMHook.__module__}.{ZohoCRMHook.__qualname__}"
    assert ZohoCRMHook.conn_name_attr == "zohocrm_conn_id"
    assert ZohoCRMHook.default_conn_name == "zohocrm_default"


def test_every_field_of_the_design_is_in_the_form(connection_type):
    assert set(connection_type["conn-fields"]) == {
        "refresh_token",
        "data_center",
        "environment",
        "api_version",
        "grant_type",
        "soid",
        "scope",
        "organization",
        "api_url",
        "accounts_url",
        "upload_url",
        "verify",
        "auth_store",
        "min_credits_remaining",
    }


def test_every_field_says_where_its_value_is_found(connection_type):
    short = [name for name, field in connection_type["conn-fields"].items() if len(field["description"]) < 20]
    assert short == []


def test_the_choices_of_the_form_are_those_the_client_knows(connection_type):
    schemas = {name: field["schema"] for name, field in connection_type["conn-fields"].items()}
    assert schemas["data_center"]["enum"] == list(DATA_CENTERS)
    assert schemas["environment"]["enum"] == list(ENVIRONMENTS)
    assert schemas["api_version"]["enum"] == list(VERSIONS)
    assert schemas["grant_type"]["enum"] == list(GRANT_TYPES)
    assert schemas["auth_store"]["examples"] == list(TOKEN_STORES)
    assert {name: schema["default"] for name, schema in schemas.items() if "default" in schema} == {
        "data_center": "us",
        "environment": "production",
        "api_version": DEFAULT_VERSION,
        "grant_type": "refresh_token",
    }


def test_the_form_leaves_the_token_store_to_the_configuration_and_takes_a_dotted_path(connection_type):
    schema = connection_type["conn-fields"]["auth_store"]["schema"]
    assert "default" not in schema
    assert "enum" not in schema


def test_the_refresh_token_is_the_only_secret_beside_the_password(connection_type):
    secret = [n for n, f in connection_type["conn-fields"].items() if f["schema"].get("format") == "password"]
    assert secret == ["refresh_token"]


@needs_the_old_form
def test_the_old_form_has_the_fields_of_the_metadata_in_their_order(widgets, connection_type):
    assert list(widgets) == list(connection_type["conn-fields"])
    for name, field in connection_type["conn-fields"].items():
        assert str(widgets[name].label.text) == field["label"]
        assert widgets[name].description == field["description"]
        assert widgets[name].default == field["schema"].get("default")


@needs_the_old_form
def test_the_old_form_hides_what_is_typed_into_a_secret_field(widgets):
    from wtforms import PasswordField

    assert [name for name, field in widgets.items() if isinstance(field, PasswordField)] == ["refresh_token"]
    assert 'type="password"' in widgets["refresh_token"]()
    assert 'type="text"' in widgets["soid"]()


@needs_the_old_form
@pytest.mark.parametrize(("value", "valid"), [("eu", True), ("", True), ("mars", False)])
def test_the_old_form_refuses_what_is_no_choice(value, valid):
    from werkzeug.datastructures import MultiDict
    from wtforms import Form

    form = type("ConnectionForm", (Form,), ZohoCRMHook.get_connection_form_widgets())
    assert form(MultiDict({"data_center": value})).validate() is valid


@needs_the_old_form
def test_airflow_itself_takes_the_old_form():
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    manager._add_widgets("airflow-provider-zohocrm", ZohoCRMHook, ZohoCRMHook.get_connection_form_widgets())
    manager._add_customized_fields(
        "airflow-provider-zohocrm", ZohoCRMHook, ZohoCRMHook.get_ui_field_behaviour()
    )
    mine = [key for key in manager._connection_form_widgets if key.startswith("extra__zohocrm__")]
    assert [key.removeprefix("extra__zohocrm__") for key in mine] == list(connection_form.CONN_FIELDS)
    assert manager._connection_form_widgets["extra__zohocrm__refresh_token"].is_sensitive
    assert manager._field_behaviours["zohocrm"]["relabeling"]["login"] == "Client ID"


def test_the_hook_works_where_the_libraries_of_the_old_form_are_missing():
    assert fresh_process()["relabeling"]["login"] == "Client ID"
