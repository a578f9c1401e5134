"""Rows on their way through DuckDB: values that it would round travel as whole numbers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch


class Carried:
    """Columns of some fields, on their way as ``v0``, ``v1`` ….

    >>> carried = Carried([pa.field("day", pa.timestamp("ns"))])
    >>> carried.columns(pa.record_batch({"day": pa.array([1], pa.timestamp("ns"))}))["v0"].type
    DataType(int64)
    """

    def __init__(self, fields: list[Any]) -> None:
        self.fields = fields

    def columns(self, batch: RecordBatch) -> dict[str, Any]:
        """The columns of a batch as they travel."""
        return {f"v{i}": out(batch.column(field.name)) for i, field in enumerate(self.fields)}


def plain(column: Any) -> Any:
    """Without a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def out(column: Any) -> Any:
    """A column as DuckDB keeps it bit by bit."""
    column = plain(column)
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time64(kind):
        return column.cast(pa.int64())
    return column.cast(pa.int32()) if pa.types.is_time32(kind) else column


def back(column: Any, kind: Any) -> Any:
    """A column as it was."""
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    return column.cast(kind)
