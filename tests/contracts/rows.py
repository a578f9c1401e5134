"""The rows of the contract of sources: odd names, nulls, text beyond ASCII.

No name has a character beyond U+FFFF: MySQL knows none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from orrery.data.table import Table

SIZE = 'the "size"'
NAMES = ("id", SIZE, "城市 é")
ROWS: list[dict[str, Any]] = [
    {
        "id": i,
        SIZE: None if i % 7 == 3 else i * 0.25 - 3.5,
        "城市 é": None if i % 5 == 4 else f"name '{i % 3}' é",
    }
    for i in range(137)
]
COLUMNS = {name: [row[name] for row in ROWS] for name in NAMES}
ARROW = pa.table(
    {"id": pa.array(COLUMNS["id"], pa.int64()), SIZE: COLUMNS[SIZE], "城市 é": COLUMNS["城市 é"]}
)

Place = Callable[[list[dict[str, Any]], Callable[[str], Any]], Table]
"""Puts rows in a place and reads them from there; the second argument gives a fixture by its name."""


def arrow_of(rows: list[dict[str, Any]]) -> Any:
    return pa.Table.from_pylist(rows, ARROW.schema)
