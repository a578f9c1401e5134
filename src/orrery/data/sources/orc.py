"""ORC files: only the columns that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.orc as pyorc

from orrery.data import files
from orrery.data.source import Partition
from orrery.data.sources.file import ColumnarSource


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
        for path in self.paths:
            with self._telling(path), files.opened(path, ranges=True) as file:
                stripes = pyorc.ORCFile(file).nstripes
            parts += [Partition(len(parts) + i, {"path": path, "stripe": i}) for i in range(stripes)]
        return parts

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        with files.opened(str(partition.where["path"]), ranges=True) as file:
            stripes = pyorc.ORCFile(file)
            # Without a column, a batch would not know how many rows it has.
            batch = stripes.read_stripe(int(partition.where["stripe"]), list(wanted or self._arrow.names[:1]))
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
