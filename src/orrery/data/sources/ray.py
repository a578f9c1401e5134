"""Data sets of Ray Data: they run on Ray, and their blocks come over as Arrow, in their order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.data.source import Partition
from orrery.data.sources.memory import plain_strings, unaddressed
from orrery.data.sources.plain import PlainSource, bare
from orrery.errors import SourceError
from orrery.extras import require
from orrery.schema import Field, Kind, Schema


class RayData(PlainSource):
    """A data set of Ray: only the columns that are needed are asked of it; it runs anew with every pass."""

    @cached_property
    def _arrow(self) -> Any:
        with quiet(self.place):
            found = self.place.schema()
        known = found.base_schema if found is not None else pa.schema([])
        if not isinstance(known, pa.Schema):  # blocks of pandas
            known = _plain(next(iter(self._blocks(self.place.limit(1_000))))).schema
        return pa.schema([_field(field) for field in known])

    def schema(self) -> Schema:
        """The columns; tensors of one shape as lists of fixed size."""
        return Schema.of(self._arrow)

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """The blocks, as Ray makes them."""
        if not columns:
            yield bare(self.count(None) or 0)
            return
        wanted = pa.schema([self._arrow.field(n) for n in columns])
        for block in self._blocks(self.place.select_columns(list(columns))):
            yield stored(block, wanted)

    def _blocks(self, dataset: Any) -> Iterator[Any]:
        """Arrow tables of Ray's, in the data set's order, which Ray keeps only when it is told to."""
        with quiet(dataset, ordered=True):
            yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)

    def count(self, where: str | None) -> int | None:
        """Rows, counted by Ray."""
        if where is not None:
            return None
        with quiet(self.place):
            return int(self.place.count())

    def to_dict(self) -> dict[str, Any]:
        """An object has no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return "Dataset of Ray, in memory"


def stored(block: Any, columns: Any) -> Any:
    """A block of Ray, an Arrow table, as rows of the columns that Orrery knows it to have."""
    return _plain(block).select(columns.names).cast(columns)


def _check_inside() -> None:
    """Ray runs data sets for programs on machines of its cluster only."""
    if require("ray", "Reading a data set of Ray").util.client.ray.is_connected():
        raise SourceError(
            "A data set of Ray cannot be read through ray://.",
            hint="Run this program on a machine of the cluster (ray job submit), or read the files or tables "
            "that the data set is made of.",
        )


def _plain(block: Any) -> Any:
    return plain_strings(pa.table([_stored(c) for c in block.columns], names=block.column_names))


@contextmanager
def quiet(dataset: Any, *, ordered: bool = False) -> Iterator[None]:
    """No bars and no reports of Ray's; blocks in their order, where it counts. Raises SourceError."""
    _check_inside()
    context, logger = dataset.context, logging.getLogger("ray.data")
    options, level = context.execution_options, logger.level
    before = context.enable_progress_bars, context.print_on_execution_start, options.preserve_order
    context.enable_progress_bars = context.print_on_execution_start = False
    options.preserve_order = ordered or options.preserve_order
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start, options.preserve_order = before
        logger.setLevel(level)


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
