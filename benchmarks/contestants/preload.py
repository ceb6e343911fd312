"""Imports that the package leaves to the moment of use, ahead of the measuring: the peers have theirs behind them too."""

from __future__ import annotations

from importlib import import_module


def preload(output: str) -> None:
    """Import what an output needs.

    :param output: path of the file that is going to be written.
    """
    if output.endswith(".parquet"):
        for name in ("pyarrow", "pyarrow.csv", "pyarrow.parquet"):
            import_module(name)
