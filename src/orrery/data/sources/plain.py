"""The shortest way to a source: say the columns, give the rows; the rest follows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import values
from orrery.data.masking import masked
from orrery.data.quarantine import BadRows
from orrery.data.rowhash import RowsHash
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.errors import OrreryError, SchemaError, SourceError, listing
from orrery.schema import Schema

_FIRST = 64  # rows, until it is known how large they are
_MOST = 8_192
_MOST_BYTES = 64 << 20


class PlainSource:
    """A source of which only ``schema`` and ``rows`` are written; see ``docs/concepts/sources.md``.

    Where the rows lie in parts, ``partitions`` says so; where the place can tell quickly what it holds,
    ``fingerprint`` does; without them there is one part, whose rows are hashed.

    >>> class Squares(PlainSource):
    ...     def schema(self):
    ...         return Schema.of(pa.schema({"n": pa.int64(), "square": pa.int64()}))
    ...
    ...     def rows(self, partition, columns):
    ...         return ({"n": n, "square": n * n} for n in range(5))
    >>> from orrery.data.table import Table
    >>> Table(Squares("squares://")).where("square > 5").select("n").to_rows()
    [{'n': 3}, {'n': 4}]
    """

    def __init__(self, place: Any) -> None:
        self.place = place
        self.bad = BadRows()
        self.bytes_read = 0

    def schema(self) -> Schema:
        """The columns."""
        raise NotImplementedError

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterable[Any]:
        """All rows of a part, always in the same order: dicts, or record batches.

        ``columns`` are those that will be used; more do no harm.
        """
        raise NotImplementedError

    def partitions(self) -> Sequence[Partition]:
        """One part."""
        return [Partition(0)]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part."""
        schema = self.schema().arrow()
        wanted = needed(schema.names, columns, where)
        return narrowed(self._batches(partition, schema, wanted), schema.names, columns, where, start)

    def _batches(self, partition: Partition, schema: Any, wanted: list[str]) -> Iterator[RecordBatch]:
        fields = pa.schema([schema.field(name) for name in wanted])
        for batch in as_batches(
            self.rows(partition, wanted), fields, set(schema.names), repr(self), self.bad
        ):
            self.bytes_read += batch.nbytes
            yield batch

    def fingerprint(self) -> str:
        """A hash of every row, in order."""
        seen = RowsHash(self.schema())
        for part in self.partitions():
            for batch in self.read(part):
                seen.add(batch)
        return seen.key()

    def to_dict(self) -> dict[str, Any]:
        """The address, and that bad rows are set aside where they are."""
        setting = {"on_bad": self.bad.on_bad} if self.bad.on_bad != "stop" else {}
        return {"place": masked(str(self.place)), **setting}

    def __repr__(self) -> str:
        return masked(str(self.place))


def as_batches(
    rows: Iterable[Any], schema: Any, known: set[str], place: str, bad: BadRows
) -> Iterator[RecordBatch]:
    """Rows of any form as record batches of the schema; ``known`` are all columns that a row may have.

    Raises SchemaError for a batch of other columns; a dict with a wrong value is a bad row.
    """
    waiting: list[Mapping[str, Any]] = []
    line, most = 1, _FIRST
    for row in _told(rows, place):
        if isinstance(row, (pa.RecordBatch, pa.Table)):
            yield from _conformed(row, schema, place)
            continue
        waiting.append(as_row(row, line + len(waiting)))
        if len(waiting) >= most:
            batch = _batch(waiting, schema, known, place, line, bad)
            line += len(waiting)
            most = max(1, min(_MOST, _MOST_BYTES * len(waiting) // max(batch.nbytes, 1)))
            waiting = []
            yield batch
    if waiting:
        yield _batch(waiting, schema, known, place, line, bad)


def _told(rows: Iterable[Any], place: str) -> Iterator[Any]:
    """The rows; what goes wrong while they are made becomes SourceError, with the number of the row."""
    found = 0
    try:
        for row in rows:
            yield row
            found += row.num_rows if isinstance(row, (pa.RecordBatch, pa.Table)) else 1
    except OrreryError:
        raise
    except Exception as error:  # the rows' own program may raise anything
        text = (str(error).splitlines() or [""])[0]
        raise SourceError(f"{place} failed after {found:,} rows: {type(error).__name__}: {text}") from error


def as_row(row: Any, line: int) -> Mapping[str, Any]:
    """One row as a mapping: of a tuple the columns are ``x0``, ``x1`` …. Raises SchemaError."""
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):  # a named tuple
        named: Mapping[str, Any] = row._asdict()
        return named
    if isinstance(row, (tuple, list)):
        return {f"x{i}": value for i, value in enumerate(row)}
    raise SchemaError(
        f"Row {line} is a {type(row).__name__}.",
        hint="A row is a dict of column to value, a tuple, or a pyarrow RecordBatch of many rows.",
    )


def _conformed(rows: Any, schema: Any, place: str) -> Iterator[RecordBatch]:
    missing = [name for name in schema.names if name not in rows.schema.names]
    if missing:
        raise SchemaError(f"{place} gave rows without the columns {listing(missing)}, which it says it has.")
    if not schema.names:
        yield bare(rows.num_rows)
        return
    try:
        made = rows.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        text = str(error).splitlines()[0]
        raise SchemaError(f"{place} gave rows of other types than it says it has: {text}") from None
    yield from made.to_batches() if isinstance(made, pa.Table) else [made]


def bare(rows: int) -> RecordBatch:
    """A batch without columns that still counts its rows."""
    return pa.record_batch({"": pa.nulls(rows)}).select([])


def _batch(
    rows: Sequence[Mapping[str, Any]], schema: Any, known: set[str], place: str, line: int, bad: BadRows
) -> RecordBatch:
    wrong = set()
    arrays = []
    for field in schema:
        array, positions = column([row.get(field.name) for row in rows], field.type)
        for i in positions:
            bad.report(place, line + i, field.name, rows[i].get(field.name), f"is not {field.type}")
        wrong.update(positions)
        arrays.append(array)
    for i, row in enumerate(rows):
        for name in row.keys() - known:
            bad.report(place, line + i, str(name), row[name], "stands in a column that there is not")
            wrong.add(i)
    made = pa.RecordBatch.from_arrays(arrays, schema=schema) if arrays else bare(len(rows))
    return made.filter(pa.array([i not in wrong for i in range(len(rows))])) if wrong else made


def column(given: Sequence[Any], kind: Any) -> tuple[Any, list[int]]:
    """Values as an Arrow array, and the positions of those that do not fit."""
    if pa.types.is_fixed_size_list(kind) and given and all(hasattr(value, "shape") for value in given):
        arrays = [unwrapped(value) for value in given]
        if all(array.size == kind.list_size for array in arrays):
            flat = np.concatenate([array.reshape(-1) for array in arrays])
            return pa.FixedSizeListArray.from_arrays(pa.array(flat).cast(kind.value_type), kind.list_size), []
    return values.to_array([plain(value) for value in given], kind)


def unwrapped(value: Any) -> Any:
    """A tensor of torch as a NumPy array; anything else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def plain(value: Any) -> Any:
    """A value without NumPy, torch or Pillow around it; arrays as lists, row after row."""
    value = unwrapped(value)
    if type(value).__module__ == "numpy":
        return value.reshape(-1).tolist() if getattr(value, "ndim", 0) else value.item()
    if is_picture(value):
        out = io.BytesIO()
        value.save(out, "PNG")
        return out.getvalue()
    return value


def is_picture(value: Any) -> bool:
    """Whether a value is a picture of Pillow."""
    return type(value).__module__.startswith("PIL.") and hasattr(value, "save")
