"""Data sets of Ray Data: they run on Ray, and their blocks come over as Arrow, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.data.source import Partition
from orrery.data.sources.memory import plain_strings, unaddressed
from orrery.data.sources.plain import PlainSource, bare
from orrery.schema import Field, Kind, Schema


class RayData(PlainSource):
    """A data set of Ray: only the columns that are needed are asked of it; it runs anew with every pass."""

    @cached_property
    def _arrow(self) -> Any:
        found = self.place.schema()
        known = found.base_schema if found is not None else pa.schema([])
        if not isinstance(known, pa.Schema):  # blocks of pandas
            known = next(iter(self._tables(self.place.limit(1_000)))).schema
        return pa.schema([_field(field) for field in known])

    def schema(self) -> Schema:
        """The columns; tensors of one shape as lists of fixed size."""
        return Schema.of(self._arrow)

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """The blocks, as Ray makes them."""
        if not columns:
            yield bare(self.place.count())
            return
        for table in self._tables(self.place.select_columns(list(columns))):
            yield table.select(list(columns)).cast(pa.schema([self._arrow.field(n) for n in columns]))

    def _tables(self, dataset: Any) -> Iterator[Any]:
        """Arrow tables, in the data set's order, which Ray keeps only when it is told to."""
        options = dataset.context.execution_options
        before, options.preserve_order = options.preserve_order, True
        try:
            for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                yield plain_strings(pa.table([_stored(c) for c in table.columns], names=table.column_names))
        finally:
            options.preserve_order = before

    def count(self, where: str | None) -> int | None:
        """Rows, counted by Ray."""
        return int(self.place.count()) if where is None else None

    def to_dict(self) -> dict[str, Any]:
        """An object has no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return "Dataset of Ray, in memory"


def _field(field: Any) -> Any:
    """A column as it is kept: Ray's tensors by their numbers."""
    kind = field.type
    if not isinstance(kind, pa.BaseExtensionType):
        return field.with_type(plain_strings(pa.table({"": pa.array([], kind)})).schema[0].type)
    shape = getattr(kind, "shape", None)
    if not shape or None in shape:
        return field.with_type(kind.storage_type)
    size = 1
    for n in shape:
        size *= n
    meant = Kind.VECTOR if len(shape) == 1 else Kind.TENSOR
    stored: Any = kind.storage_type
    told = str(pa.list_(stored.value_type, size))
    return Field(name=field.name, type=told, kind=meant, shape=tuple(shape)).arrow()


def _stored(column: Any) -> Any:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)
    return whole.storage if isinstance(whole.type, pa.BaseExtensionType) else whole
