"""Lines of log files, by a pattern."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from tests.contracts.rows import NAMES

from orrery.data.table import Table, read

ID, SIZE, CITY = NAMES
PATTERN = f"id=%{{INT:{ID}:int}} size=%{{NUMBER:{SIZE}:float}}? city=%{{GREEDYDATA:{CITY}}}"


def place_logs(rows: list[dict[str, Any]]) -> Table:
    """The older half is rotated and compressed."""
    lines = [" ".join(f"{key}={'' if row[n] is None else row[n]}" for key, n in _KEYS) for row in rows]
    older, newer = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    Path("app.log.1.gz").write_bytes(gzip.compress("\n".join(older).encode()))
    Path("app.log").write_text("".join(f"{line}\n" for line in newer), "utf-8")
    return read("app.log*", pattern=PATTERN).select(*NAMES)


_KEYS = tuple(zip(("id", "size", "city"), NAMES, strict=True))

PLACES = {"logs": lambda rows, ask: place_logs(rows)}
