"""Modules that are imported beside an event loop."""

from __future__ import annotations

import asyncio
import gc
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


async def imported(*names: str) -> list[ModuleType]:
    """Import modules in a thread.

    Meanwhile no garbage is collected: an import allocates enough to set a collection off, and that goes through all that
    Airflow has imported, for which it holds every thread of the process, 0.1 to 0.3 s (seen on Airflow 3.3.2).

    :param names: full names.
    :return: the modules.
    """
    return await asyncio.to_thread(_import, names)


def _import(names: tuple[str, ...]) -> list[ModuleType]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [import_module(name) for name in names]
    finally:
        if collecting:
            gc.enable()
