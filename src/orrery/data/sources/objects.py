"""Objects of other libraries that hold rows, or can make them: which source reads which; none is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data.rows import BATCH_ROWS
from orrery.data.source import Partition
from orrery.data.sources.memory import is_rows, plain_strings, unaddressed
from orrery.data.sources.plain import PlainSource, bare
from orrery.extras import require
from orrery.schema import Schema

OBJECTS = {
    "polars:LazyFrame": "orrery.data.sources.objects:LazyFrame",
    "pyarrow:Dataset": "orrery.data.sources.objects:ArrowDataset",
    "pyarrow:RecordBatchReader": "orrery.data.sources.generator:Spilled",
    "torch:IterableDataset": "orrery.data.sources.torch:TorchStream",
    "torch:Dataset": "orrery.data.sources.torch:TorchDataset",
    "datasets:DatasetDict": "orrery.data.sources.huggingface:Splits",
    "datasets:IterableDatasetDict": "orrery.data.sources.huggingface:Splits",
    "datasets:IterableDataset": "orrery.data.sources.huggingface:HuggingFaceStream",
    "datasets:Dataset": "orrery.data.sources.huggingface:HuggingFace",
    "pyspark.sql:DataFrame": "orrery.data.sources.spark:Spark",
    "ray:Dataset": "orrery.data.sources.ray:RayData",
}
"""``package:class`` of an object, or of what its class is made from -> the source that reads it."""


def class_of(value: object) -> str | None:
    """The source that reads an object, ``module:name``; None for addresses and for rows in memory.

    >>> class_of(lambda: []), class_of(iter([])), class_of("rows.csv")
    ('orrery.data.sources.generator:Generated', 'orrery.data.sources.generator:Spilled', None)
    """
    for kind in type(value).__mro__:
        for known, source in OBJECTS.items():
            package, _, name = known.partition(":")
            if kind.__name__ == name and f"{kind.__module__}.".startswith((f"{package}.", f"{package}._")):
                return source
    if isinstance(value, (str, bytes)) or hasattr(value, "__fspath__") or is_rows(value):
        return None
    if isinstance(value, Iterator):
        return "orrery.data.sources.generator:Spilled"
    rows = callable(value) or (isinstance(value, Iterable) and not hasattr(value, "__array__"))
    return "orrery.data.sources.generator:Generated" if rows and not isinstance(value, type) else None


class LazyFrame(PlainSource):
    """A query of Polars: only the columns that are needed are asked for; rows come as they are made."""

    def schema(self) -> Schema:
        """The columns, found without running the query."""
        empty = self.place.collect_schema().to_frame().to_arrow()
        return Schema.of(plain_strings(empty).schema)

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """The frames that Polars gives."""
        if not columns:
            yield bare(self.count(None) or 0)
            return
        for frame in self.place.select(list(columns)).collect_batches(
            chunk_size=BATCH_ROWS, maintain_order=True
        ):
            yield frame.to_arrow()

    def count(self, where: str | None) -> int | None:
        """Rows, counted by Polars."""
        if where is not None:
            return None
        polars = require("polars", "Reading a Polars frame")
        return int(self.place.select(polars.len()).collect().item())

    def to_dict(self) -> dict[str, Any]:
        """An object has no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return "LazyFrame in memory"


class ArrowDataset(PlainSource):
    """A data set of Arrow: a part is a fragment, most often a file; only the columns needed are read."""

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(self.place.schema)

    def _fragments(self) -> list[Any]:
        return list(self.place.get_fragments())

    def partitions(self) -> Sequence[Partition]:
        """One part per fragment."""
        return [Partition(i) for i in range(len(self._fragments()))]

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[RecordBatch]:
        """The batches of one fragment."""
        fragment = self._fragments()[partition.index]
        if not columns:
            yield bare(fragment.count_rows())
            return
        yield from fragment.to_batches(
            schema=self.place.schema, columns=list(columns), batch_size=BATCH_ROWS, use_threads=False
        )

    def count(self, where: str | None) -> int | None:
        """Rows, counted by Arrow."""
        return int(self.place.count_rows()) if where is None else None

    def to_dict(self) -> dict[str, Any]:
        """An object has no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return f"{type(self.place).__name__} in memory"
