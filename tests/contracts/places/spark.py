"""Spark: a data frame of a session."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contracts.rows import NAMES, SIZE

from orrery.data.table import read

_TYPES = f"id long, `{SIZE}` double, `{NAMES[2]}` string"


def frame_of(rows: list[dict[str, Any]], session: Any) -> Any:
    return session.createDataFrame([tuple(row[n] for n in NAMES) for row in rows], _TYPES).coalesce(1)


PLACES = {
    "spark frame": lambda rows, ask: read(frame_of(rows, ask("spark"))),
}
MARKS = (pytest.mark.slow,)
"""A session takes many seconds to start."""
