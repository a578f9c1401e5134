"""Write rows to a place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orrery.data.table import Table
from orrery.flow.operator import operator


def _is_there(settings: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    place = settings["place"]
    return "://" in place or Path(place).exists()


@operator(holds=_is_there)
def write(table: Table, *, place: str) -> Table:
    """Write rows to a file, whole or not at all, and give what was written.

    Args:
        table: The rows.
        place: A path or URL; its ending says the format: .parquet, .csv, .jsonl.
    """
    return table.write(place)
