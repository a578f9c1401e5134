"""Nested columns as flat ones, for CSV: one column per field of a struct, a list as JSON text."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.errors import SchemaError


def flat_schema(schema: Any) -> Any:
    """The flat columns of a schema. Raises SchemaError for bytes, which text cannot hold.

    A struct ``p`` becomes ``p.<field>`` for each of its fields, at any depth; a list becomes JSON text.
    Where a column has that name already, the field's is followed by ``_2``, ``_3`` …

    >>> p = pa.struct([("cat", pa.float64()), ("dog", pa.float64())])
    >>> flat_schema(pa.schema([("p", p), ("p.dog", pa.int64()), ("tags", pa.list_(pa.string()))])).names
    ['p.cat', 'p.dog_2', 'p.dog', 'tags']
    """
    used = {field.name for field in schema if not pa.types.is_struct(field.type)}
    fields = []
    for field, column in zip(schema, pa.RecordBatch.from_pylist([], schema).columns, strict=True):
        for name, part in _parts(field.name, column):
            if pa.types.is_binary(part.type) or pa.types.is_large_binary(part.type):
                raise SchemaError(
                    f"The column {name!r} is {part.type}, which CSV cannot hold.",
                    hint="Write to *.parquet, or leave the column out first.",
                )
            if pa.types.is_struct(field.type):
                name = _unused(name, used)
                used.add(name)
            fields.append(pa.field(name, part.type))
    return pa.schema(fields)


def _unused(name: str, used: set[str]) -> str:
    return name if name not in used else next(n for i in count(2) if (n := f"{name}_{i}") not in used)


def flat_batch(batch: RecordBatch, schema: Any) -> RecordBatch:
    """The rows of a batch, in the columns of :func:`flat_schema`."""
    columns = zip(batch.schema.names, batch.columns, strict=True)
    parts = [part for name, column in columns for _, part in _parts(name, column)]
    return pa.RecordBatch.from_arrays(parts, schema=schema)


def _parts(name: str, column: Any) -> Iterator[tuple[str, Any]]:
    """One column as flat ones; a field of a missing struct is missing."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_struct(column.type):
        for field, part in zip(column.type, column.flatten(), strict=True):
            yield from _parts(f"{name}.{field.name}", part)
    elif pa.types.is_nested(column.type):
        yield name, pa.array([None if v is None else as_json(v) for v in column.to_pylist()], pa.string())
    elif pa.types.is_timestamp(column.type) and column.type.tz is not None:
        # In UTC: before there were standard zones, an offset is no whole number of minutes.
        yield name, column.cast(pa.timestamp(column.type.unit, "UTC"))
    else:
        yield name, column


def as_json(value: Any) -> str:
    """A value of a row as JSON text. Raises SchemaError for what JSON has no word for."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Bytes as base64, times as ISO 8601, decimals as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise SchemaError(
        f"A value of {type(value).__name__} cannot be written as JSON.", hint="Write to *.parquet."
    )
