"""Rows that somebody else reads and hands over as record batches, such as an engine to its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data.source import Partition
from orrery.data.sources.plain import PlainSource
from orrery.schema import Schema


class Handed(PlainSource):
    """Batches by position: their columns are ``names``, some of those of the source that they come from.

    >>> import pyarrow as pa
    >>> rows = pa.record_batch({"c0": [1, 2]})
    >>> handed = Handed("a frame", pa.schema({"x": pa.int64()}), ["x"], "x > 1", lambda: [rows])
    >>> [batch.to_pydict() for batch in handed.read(Partition(0))]
    [{'x': [2]}]
    """

    def __init__(
        self,
        place: str,
        columns: Any,
        names: Sequence[str],
        where: str | None,
        batches: Callable[[], Iterable[RecordBatch]],
    ) -> None:
        super().__init__(place)
        self.columns = columns
        self.names = list(names)
        self.where = where
        self.batches = batches

    def schema(self) -> Schema:
        """The columns of the whole."""
        return Schema.of(self.columns)

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterable[Any]:
        """The batches, with the columns' own names."""
        for batch in self.batches():
            yield batch.rename_columns(self.names) if self.names else batch.select([])

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """The rows for which the condition holds that they were handed over with."""
        return PlainSource.read(self, partition, columns, self.where, start)
