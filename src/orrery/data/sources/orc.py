"""ORC files: only the columns that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.orc as pyorc

from orrery.data import files
from orrery.data.source import Partition
from orrery.data.sources.columnar import ColumnarSource
from orrery.data.sources.file import version_of


class Orc(ColumnarSource):
    """One ORC file, a glob, or a folder of them, of one schema; a part is a stripe."""

    endings = (".orc",)
    form = "ORC"

    def _schema_of(self, path: str) -> Any:
        with self._telling(path), files.opened(path, ranges=True) as file:
            return pyorc.ORCFile(file).schema

    def partitions(self) -> Sequence[Partition]:
        """One part per stripe."""
        parts: list[Partition] = []
        for path, version in self.versions().items():
            with self._telling(path), files.opened(path, ranges=True, version=version) as file:
                stripes = pyorc.ORCFile(file).nstripes
            for i in range(stripes):
                place = {"path": path, "stripe": i, "version": list(version)}
                parts.append(Partition(len(parts), place, size_bytes=version.size_bytes // stripes))
        return parts

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        path, stripe = str(partition.where["path"]), int(partition.where["stripe"])
        with files.opened(path, ranges=True, version=version_of(partition.where)) as file:
            # Without a column, a batch would not know how many rows it has.
            batch = pyorc.ORCFile(file).read_stripe(stripe, list(wanted or self._arrow.names[:1]))
            self.bytes_read += batch.nbytes
            yield batch

    def count(self, where: str | None) -> int | None:
        """Rows, as the files' ends tell."""
        if where is not None:
            return None
        rows = 0
        for path in self.paths:
            with self._telling(path), files.opened(path, ranges=True) as file:
                rows += pyorc.ORCFile(file).nrows
        return rows
