"""What is installed is what was written, and Airflow can read it at the moment it does."""

from __future__ import annotations

import configparser
import importlib.util
import json
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import airflow_provider_zohocrm
from airflow_provider_zohocrm.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_zohocrm"
DISTRIBUTION = "airflow-provider-zohocrm"


def _paths(info: dict[str, Any]) -> set[str]:
    entries = [entry for kind in ("hooks", "operators", "sensors", "triggers") for entry in info[kind]]
    modules = {module for entry in entries for module in entry["python-modules"]}
    handlers = {
        uri[key]
        for kind in ("asset-uris", "dataset-uris")
        for uri in info[kind]
        for key in ("handler", "factory", "to_openlineage_converter")
    }
    hooks = {connection["hook-class-name"] for connection in info["connection-types"]}
    return modules | handlers | hooks | {*info["extra-links"], *info["notifications"], *info["cli"]}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata_folder(wheel: zipfile.ZipFile) -> str:
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    return folder


class TestWheel:
    def test_holds_the_package_and_nothing_else(self, wheel: zipfile.ZipFile, metadata_folder: str) -> None:
        source = {
            str(path.relative_to(ROOT))
            for path in (ROOT / PACKAGE).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        packed = {name for name in wheel.namelist() if not name.startswith(f"{metadata_folder}/")}
        assert packed == source

    def test_is_marked_as_typed(self, wheel: zipfile.ZipFile) -> None:
        assert f"{PACKAGE}/py.typed" in wheel.namelist()

    def test_carries_the_license(self, wheel: zipfile.ZipFile, metadata_folder: str) -> None:
        packed = wheel.read(f"{metadata_folder}/licenses/LICENSE")
        assert packed == (ROOT / "LICENSE").read_bytes()
        assert b"Apache License" in packed

    def test_has_the_entry_points_of_airflow_pytest_and_the_console(
        self, wheel: zipfile.ZipFile, metadata_folder: str
    ) -> None:
        found = configparser.ConfigParser()
        found.read_string(wheel.read(f"{metadata_folder}/entry_points.txt").decode())
        assert {name: dict(found[name]) for name in found.sections()} == {
            "apache_airflow_provider": {"provider_info": f"{PACKAGE}.get_provider_info:get_provider_info"},
            "console_scripts": {"zohocrm-simulator": f"{PACKAGE}.simulator.__main__:main"},
            "pytest11": {"zohocrm": f"{PACKAGE}.pytest_plugin"},
        }

    def test_names_what_it_needs(self, wheel: zipfile.ZipFile, metadata_folder: str) -> None:
        lines = wheel.read(f"{metadata_folder}/METADATA").decode().splitlines()
        assert f"Name: {DISTRIBUTION}" in lines
        assert f"Version: {airflow_provider_zohocrm.__version__}" in lines
        assert "Requires-Python: >=3.10" in lines
        assert "Requires-Dist: apache-airflow>=2.11.0" in lines


class TestInstalled:
    def test_version_is_that_of_the_source(self) -> None:
        assert distribution(DISTRIBUTION).version == airflow_provider_zohocrm.__version__

    def test_entry_point_gives_the_provider_info(self) -> None:
        found = [
            entry
            for entry in entry_points(group="apache_airflow_provider")
            if entry.dist is not None and entry.dist.name == DISTRIBUTION
        ]
        assert [entry.name for entry in found] == ["provider_info"]
        assert found[0].load()() == get_provider_info()

    def test_airflow_finds_the_provider_and_its_hook(self) -> None:
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        provider = manager.providers[DISTRIBUTION]
        assert provider.version == airflow_provider_zohocrm.__version__
        assert {key: provider.data[key] for key in get_provider_info()} == get_provider_info()
        hook = manager.hooks["zohocrm"]
        assert hook is not None
        assert hook.hook_class_name == f"{PACKAGE}.hooks.zohocrm.ZohoCRMHook"
        assert hook.connection_id_attribute_name == "zohocrm_conn_id"
        assert set(get_provider_info()["extra-links"]) <= set(manager.extra_links_class_names)

    def test_airflow_knows_the_scheme_of_its_assets(self) -> None:
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        for kind in ("uri_handlers", "factories", "to_openlineage_converters"):
            found = getattr(manager, f"asset_{kind}", None) or getattr(manager, f"dataset_{kind}")
            assert found["zohocrm"].__module__ == f"{PACKAGE}.assets.zohocrm"


class TestProviderInfo:
    def test_fits_the_schema_airflow_checks_at_every_start(self) -> None:
        jsonschema.validate(get_provider_info(), _schema("provider_info.schema.json"))

    def test_fits_the_stricter_schema_of_airflows_own_providers(self) -> None:
        schema = _schema("provider.yaml.schema.json")
        # For the release process of the Airflow project; no other provider has them.
        release = {"state": "ready", "source-date-epoch": 0, "dependencies": []}
        wanted = {key: value for key, value in release.items() if key in schema["required"]}
        # Of newer releases; older ones ignore them. Airflow 2 calls assets datasets.
        newer = {"asset-uris", "cli"} - set(schema["properties"])
        info = {key: value for key, value in get_provider_info().items() if key not in newer}
        jsonschema.validate({**info, **wanted}, schema)

    def test_is_plain_data(self) -> None:
        assert json.loads(json.dumps(get_provider_info())) == get_provider_info()

    @pytest.mark.parametrize("path", sorted(_paths(get_provider_info())))
    def test_every_path_can_be_imported(self, path: str) -> None:
        assert resolve_name(path) is not None

    @pytest.mark.parametrize(
        ("kind", "ending"),
        [("hooks", "Hook"), ("operators", "Operator"), ("sensors", "Sensor"), ("triggers", "Trigger")],
    )
    def test_every_public_class_is_in_a_listed_module(self, kind: str, ending: str) -> None:
        listed = {module for entry in get_provider_info()[kind] for module in entry["python-modules"]}
        names = [name for name in airflow_provider_zohocrm.__all__ if name.endswith(ending)]
        assert {getattr(airflow_provider_zohocrm, name).__module__ for name in names} == listed


class TestRoot:
    @pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.get_provider_info"])
    def test_import_loads_nothing_but_itself_and_the_standard_library(self, module: str) -> None:
        # Airflow imports these while it reads its configuration: any module of Airflow's would be half made,
        # and every other one delays every command.
        loaded = _modules_loaded_by(f"import {module}")
        foreign = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
        assert foreign == {PACKAGE}
        assert {name for name in loaded if name.startswith(PACKAGE)} <= {
            PACKAGE,
            f"{PACKAGE}.connection_form",
            f"{PACKAGE}.get_provider_info",
        }

    @pytest.mark.parametrize("name", airflow_provider_zohocrm.__all__)
    def test_gives_every_public_name(self, name: str) -> None:
        assert getattr(airflow_provider_zohocrm, name) is not None

    def test_knows_no_other_name(self) -> None:
        with pytest.raises(AttributeError, match="has no attribute 'ZohoNothing'"):
            airflow_provider_zohocrm.ZohoNothing  # noqa: B018


def _schema(name: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for folder in spec.submodule_search_locations:
        path = Path(folder) / name
        if path.exists():
            schema: dict[str, Any] = json.loads(path.read_text())
            return schema
    raise AssertionError(f"This Airflow ships no {name}")


def _modules_loaded_by(statement: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
    )
