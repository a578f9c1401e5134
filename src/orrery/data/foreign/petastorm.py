"""Stub."""

from __future__ import annotations

from typing import Any

from orrery.data.foreign.meaning import Meaning, Values


def meanings(schema: Any, place: str, first: str, values: Values) -> dict[str, Meaning]:
    """Stub."""
    return {}
