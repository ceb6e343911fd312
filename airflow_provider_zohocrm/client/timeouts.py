"""How long an answer may take."""

from __future__ import annotations

Timeout = float | tuple[float, float]
"""Seconds to connect and between two bytes, or a pair of both."""

DEFAULT_TIMEOUT: Timeout = (10.0, 60.0)
