"""Rows that are already in memory: Arrow, pandas, Polars, a list of dicts, a dict of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import values
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rowhash import RowsHash
from orrery.data.rows import BATCH_ROWS, narrowed, needed
from orrery.data.source import Partition
from orrery.errors import SchemaError, SettingsError, listing
from orrery.schema import Schema, parse_type


class Memory:
    """Rows in memory, turned into Arrow when first asked for; Arrow itself is not copied.

    >>> Memory([{"a": 1}, {"a": 2}]).schema().names
    ('a',)
    """

    def __init__(self, rows: Any, types: Mapping[str, str] | None = None, on_bad: OnBad = "stop") -> None:
        self.rows = rows
        self.types = dict(types or {})
        self.bad = BadRows(on_bad)
        self.bytes_read = 0

    @cached_property
    def table(self) -> Any:
        """The rows as one Arrow table."""
        table = _to_arrow(self.rows, self.types, self.bad)
        schema = Schema.of(table.schema).arrow()
        return table.cast(schema) if table.schema != schema else table

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(self.table.schema)

    def partitions(self) -> Sequence[Partition]:
        """One part: all rows."""
        return [Partition(0, rows=self.table.num_rows, size_bytes=self.table.nbytes)]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Slices of the table; nothing is copied."""
        names = self.table.schema.names
        table = self.table if columns is None else self.table.select(needed(names, columns, where))
        if where is None:
            table, start = table.slice(start), 0
        # Arrow's table without columns has no batches, yet it has rows.
        batches = iter(table.to_batches(BATCH_ROWS)) if table.num_columns else _bare(table.num_rows)
        return narrowed(batches, names, columns, where, start)

    def bytes_to_read(self, columns: Sequence[str] | None, where: str | None) -> int:
        """Bytes of the columns in memory."""
        names = needed(self.table.schema.names, columns, where)
        return int(self.table.select(names).nbytes)

    def count(self, where: str | None) -> int | None:
        """Rows, without looking at them."""
        return self.table.num_rows if where is None else None

    def fingerprint(self) -> str:
        """A hash of the schema and of every row, in order."""
        seen = RowsHash(self.schema())
        for batch in self.table.to_batches():
            seen.add(batch)
        return seen.key()

    def to_dict(self) -> dict[str, Any]:
        """Rows in memory have no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return f"{type(self.rows).__name__} in memory"


def unaddressed() -> SettingsError:
    """The error of writing down rows that only this process has."""
    return SettingsError(
        "A table of rows in memory has no address, so it cannot be written down.",
        hint="Write the rows to a file first: table.write('rows.parquet').",
    )


def _bare(rows: int) -> Iterator[RecordBatch]:
    """Batches of no columns, that still count their rows."""
    for start in range(0, rows, BATCH_ROWS):
        yield pa.record_batch({"": pa.nulls(min(BATCH_ROWS, rows - start))}).select([])


def is_rows(value: object) -> bool:
    """Whether a value is rows, rather than the address of some."""
    known = isinstance(value, (pa.Table, pa.RecordBatch, Mapping, list, tuple))
    return known or _package(value) in {"pandas", "polars"} or hasattr(value, "__arrow_c_stream__")


def _package(value: object) -> str:
    return type(value).__module__.partition(".")[0]


def _to_arrow(rows: Any, types: Mapping[str, str], bad: BadRows) -> Any:
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if isinstance(rows, Mapping):
        return _from_columns(rows, types)
    if isinstance(rows, (list, tuple)):
        return _from_dicts(rows, types, bad)
    if _package(rows) == "pandas":
        return _from_pandas(rows)
    if _package(rows) == "polars":
        return plain_strings(rows.to_arrow())
    return plain_strings(pa.table(rows))


def _from_pandas(frame: Any) -> Any:
    if not hasattr(frame, "columns"):
        frame = frame.to_frame()
    if any(not isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if not frame.columns.is_unique:
        twice = sorted(frame.columns[frame.columns.duplicated()].unique())
        raise SchemaError(f"The frame has two columns named {listing(twice)}.", hint="Rename one of them.")
    try:
        return plain_strings(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))
    except (pa.ArrowException, TypeError) as error:
        text = str(error)
        raise SchemaError(
            f"The frame cannot be read: {text}", hint="Give such a column one type: frame['x'].astype(str)."
        ) from None


def plain_strings(table: Any) -> Any:
    """Strings and bytes with 32-bit offsets wherever they fit, as every other source gives them."""
    fields = []
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type
        small = max((chunk.nbytes for chunk in column.chunks), default=0) < 2**31
        if pa.types.is_large_string(kind) or str(kind) == "string_view":
            field = field.with_type(pa.string()) if small else field
        elif pa.types.is_large_binary(kind) or str(kind) == "binary_view":
            field = field.with_type(pa.binary()) if small else field
        elif pa.types.is_large_list(kind) and small:
            inner = pa.string() if pa.types.is_large_string(kind.value_type) else kind.value_type
            field = field.with_type(pa.list_(inner))
        fields.append(field)
    return table.cast(pa.schema(fields))


def _from_columns(columns: Mapping[Any, Any], types: Mapping[str, str]) -> Any:
    arrays = {str(name): _column(str(name), column, types) for name, column in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise SchemaError(f"The columns have different lengths: {lengths}.")
    return pa.table(arrays) if arrays else pa.table({})


def _column(name: str, column: Any, types: Mapping[str, str]) -> Any:
    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        return column
    try:
        if isinstance(column, np.ndarray) and column.ndim > 1:
            flat = pa.array(np.ascontiguousarray(column).reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(column.shape[1:])))
        if isinstance(column, (list, tuple)):
            kind = parse_type(types[name]) if name in types else values.infer_type(column, name, "rows")
            array, bad = values.to_array(column, kind)
            if bad:
                raise ValueError(f"{column[bad[0]]!r} in row {bad[0] + 1} is not {kind}.")
            return array
        return pa.array(column, parse_type(types[name]) if name in types else None)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(f"The column {name!r} cannot be read: {str(error).splitlines()[0]}") from None


def _from_dicts(rows: Sequence[Any], types: Mapping[str, str], bad: BadRows) -> Any:
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SchemaError(
                f"Row {i + 1} is a {type(row).__name__}; every row must be a dict of column to value."
            )
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    arrays, wrong = [], set()
    for name in names:
        column = [row.get(name) for row in rows]
        kind = parse_type(types[name]) if name in types else values.infer_type(column, name, "rows")
        array, positions = values.to_array(column, kind)
        for i in positions:
            bad.report("rows", i + 1, name, column[i], f"is not {kind}")
        wrong.update(positions)
        arrays.append(array)
    table = pa.table(dict(zip(names, arrays, strict=True))) if names else pa.table({})
    if wrong:
        table = table.filter(pa.array([i not in wrong for i in range(len(rows))]))
    return table
