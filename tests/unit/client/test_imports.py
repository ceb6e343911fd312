"""What is imported beside an event loop does not stop it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import pytest

from airflow_provider_zohocrm.client.imports import imported

NOTED = """
import gc, threading
collecting, thread = gc.isenabled(), threading.current_thread()
"""


@pytest.fixture
def noted(tmp_path, monkeypatch):
    (tmp_path / "zohocrm_noted.py").write_text(NOTED)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("zohocrm_noted", None)


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def collecting(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


@pytest.mark.usefixtures("noted")
def test_no_garbage_is_collected_while_modules_load_in_a_thread(collecting):
    json, module = asyncio.run(imported("json", "zohocrm_noted"))
    assert json.__name__ == "json"
    assert module.collecting is False
    assert module.thread is not threading.main_thread()
    assert gc.isenabled() is collecting


def test_it_is_collected_again_where_a_module_fails():
    with pytest.raises(ModuleNotFoundError):
        asyncio.run(imported("zohocrm_is_not_there"))
    assert gc.isenabled()
