"""Which Arrow type each column of an SQLite query has: by what is stored in all of its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from orrery.data import values
from orrery.errors import SourceError
from orrery.schema import parse_type

_STORED = {"integer": "int", "real": "float", "text": "text", "blob": "bytes"}
_TYPES: dict[str, Any] = {"int": pa.int64(), "text": pa.string(), "bytes": pa.binary()}
_AT_ONCE = 200  # columns whose types are asked for in one query: SQLite gives at most 2,000

_DATE = "{c} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' and date({c}) is not null"
_TIME = (
    "{c} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'"
    " and {c} not glob '*[Z+]*' and length({c}) between 19 and 26 and length({c}) <> 20"
    " and datetime({c}) is not null"
)


class Column(NamedTuple):
    """What a column becomes."""

    type: Any
    read_as: Any
    """The type in which the stored values are read, before they are cast to ``type``."""
    suspect: bool = False
    """Whether a few values do not fit: their rows are bad."""

    @property
    def sort(self) -> str:
        """What SQLite can compare it with: a number, a text, or nothing."""
        if self.type != self.read_as:
            return ""
        number = pa.types.is_int64(self.type) or pa.types.is_float64(self.type)
        return "number" if number else "text" if pa.types.is_string(self.type) else ""


def decide(link: sqlite3.Connection, rows: str, place: str, types: Mapping[str, str]) -> dict[str, Column]:
    """Each column of the query, in order. Raises SchemaError where values are of several sorts."""
    try:
        link.execute(f"create temp view orrery_rows as {rows}")
        found = link.execute("pragma temp.table_xinfo(orrery_rows)").fetchall()
        declared = {row[1]: str(row[2]).upper() for row in found}
        counts = _counts(link, list(declared))
        return {
            name: Column(parse_type(types[name]), parse_type(types[name]), suspect=True)
            if name in types
            else _decide(link, name, told, counts[name], place)
            for name, told in declared.items()
        }
    except sqlite3.Error as error:
        raise SourceError(f"{place}: the query {rows!r} failed: {error}.") from None


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _counts(link: sqlite3.Connection, names: list[str]) -> dict[str, dict[str, int]]:
    """How many values of each sort a column holds; one scan for every 200 columns."""
    counts: dict[str, dict[str, int]] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        sums = ", ".join(f"sum(typeof({quoted(n)}) = '{t}')" for n in some for t in _STORED)
        found = link.execute(f"select {sums} from orrery_rows").fetchone()
        for i, name in enumerate(some):
            numbers = found[i * len(_STORED) : (i + 1) * len(_STORED)]
            counts[name] = {s: n for s, n in zip(_STORED.values(), numbers, strict=True) if n}
    return counts


def _decide(link: sqlite3.Connection, name: str, told: str, counts: dict[str, int], place: str) -> Column:
    if not counts:
        return _of_declared(told)
    sort = values.dominant(counts)
    if sort is None:
        raise values.mixed(name, place, counts)
    suspect = bool(set(counts) - ({"int", "float"} if sort == "number" else {sort}))
    kind = _TYPES[sort] if sort in _TYPES else pa.float64() if "float" in counts else pa.int64()
    if suspect:
        return Column(kind, kind, suspect=True)
    if pa.types.is_int64(kind) and told.startswith("BOOL") and _all(link, name, "{c} in (0, 1)"):
        return Column(pa.bool_(), kind)
    if pa.types.is_string(kind) and told == "DATE" and _all(link, name, _DATE):
        return Column(pa.date32(), kind)
    if pa.types.is_string(kind) and told.startswith(("DATETIME", "TIMESTAMP")) and _all(link, name, _TIME):
        return Column(pa.timestamp("us"), kind)
    return Column(kind, kind)


def _all(link: sqlite3.Connection, name: str, test: str) -> bool:
    """Whether a test holds for every value that is not missing."""
    column = quoted(name)
    query = f"select 1 from orrery_rows where {column} is not null and not ({test.format(c=column)}) limit 1"
    return link.execute(query).fetchone() is None


def _of_declared(told: str) -> Column:
    """A column without values has the type it was declared with (SQLite's rules of affinity, 3.1)."""
    if "INT" in told:
        return Column(pa.int64(), pa.int64())
    if "BLOB" in told:
        return Column(pa.binary(), pa.binary())
    if any(part in told for part in ("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL")):
        return Column(pa.float64(), pa.float64())
    return Column(pa.string(), pa.string())
