"""Ray Data: a data set of two blocks."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contracts.rows import arrow_of

from orrery.data.table import Table, read


def place_ray(rows: list[dict[str, Any]], ray: Any) -> Table:
    table = arrow_of(rows)
    return read(ray.data.from_arrow([table.slice(0, 60), table.slice(60)]))


PLACES = {"ray data": lambda rows, ask: place_ray(rows, ask("ray_node"))}
_NOISE = (
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
MARKS = (pytest.mark.slow, *map(pytest.mark.filterwarnings, _NOISE))
"""A node takes many seconds to start; Ray warns of its own settings, and leaves its own logs open."""
