"""Bad rows: they stop the run, or are set aside with their place; they never vanish."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from orrery.errors import BadRowError, SettingsError, listing

OnBad = Literal["stop", "quarantine"]

_TYPES: Any = {
    "place": pa.string(),
    "line": pa.int64(),
    "column": pa.string(),
    "value": pa.string(),
    "reason": pa.string(),
}
SCHEMA: Any = pa.schema(_TYPES)
"""Of the table of bad rows. ``line`` counts from 1: lines of a text file, rows of anything else; 0 where the
place names the row."""

_SHOWN = 200  # characters of a bad value that are kept
_MOST = 1_000_000  # bad rows set aside; more are not bad rows but a wrong reading


class BadRow(NamedTuple):
    """One row that cannot be read."""

    place: str
    line: int
    column: str | None
    value: str
    reason: str

    def error(self) -> BadRowError:
        """The row as an error."""
        column = f"column {self.column!r}: " if self.column is not None else ""
        return BadRowError(
            f"{column}{self.value!r} {self.reason}.",
            hint="Correct the row, or set such rows aside with on_bad='quarantine'.",
            pointer=f"{self.place}:{self.line}" if self.line else self.place,
        )


@dataclass
class BadRows:
    """Where a source reports its bad rows. Reading the same row again reports it once.

    >>> bad = BadRows("quarantine")
    >>> bad.report("people.csv", 7, "age", "old", "is not a number")
    >>> bad.table().to_pylist()[0]["line"]
    7
    """

    on_bad: OnBad = "stop"
    rows: dict[tuple[str, int], BadRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.on_bad not in ("stop", "quarantine"):
            raise SettingsError(f"on_bad is {self.on_bad!r}; allowed are {listing(['stop', 'quarantine'])}.")

    def report(self, place: str, line: int, column: str | None, value: object, reason: str) -> None:
        """Set one row aside, or raise BadRowError."""
        text = value if isinstance(value, str) else repr(value)
        text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        bad = BadRow(place, line, column, text, reason)
        if self.on_bad == "stop":
            raise bad.error()
        if len(self.rows) >= _MOST:
            raise BadRowError(f"More than {_MOST:,} rows of {place} cannot be read; the first: {bad.error()}")
        self.rows.setdefault((place, line), bad)

    def table(self) -> Any:
        """The rows set aside so far, in the order of place and line."""
        rows = [self.rows[key]._asdict() for key in sorted(self.rows)]
        return pa.Table.from_pylist(rows, schema=SCHEMA)
