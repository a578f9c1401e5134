"""ORC files: only the columns that are needed are read, in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orrery.data import files
from orrery.data.source import Partition
from orrery.data.sources.columnar import ColumnarSource
from orrery.data.sources.file import version_of
from orrery.data.sources.orc_reader import Readers


class Orc(ColumnarSource):
    """One ORC file, a glob, or a folder of them, of one schema; a part is a stripe."""

    endings = (".orc",)
    form = "ORC"

    def __init__(self, place: str, missing: str = "error") -> None:
        super().__init__(place, missing)
        self._readers = Readers()

    def _end(self, path: str, version: files.State | None = None) -> tuple[Any, dict[str, int]]:
        """The Arrow schema of a file; how many ``stripes`` and ``rows`` it has."""
        with (
            self._telling(path),
            files.opened(path, ranges=True, version=version) as file,
            self._readers.one() as reader,
        ):
            schema, numbers = reader.ask(file)
        return schema, numbers

    def _schema_of(self, path: str) -> Any:
        return self._end(path)[0]

    def partitions(self) -> Sequence[Partition]:
        """One part per stripe."""
        parts: list[Partition] = []
        for path, version in self.versions().items():
            stripes = self._end(path, version)[1]["stripes"]
            for i in range(stripes):
                place = {"path": path, "stripe": i, "version": list(version)}
                parts.append(Partition(len(parts), place, size_bytes=version.size_bytes // stripes))
        return parts

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        path, stripe = str(partition.where["path"]), int(partition.where["stripe"])
        with (
            files.opened(path, ranges=True, version=version_of(partition.where)) as file,
            self._readers.one() as reader,
        ):
            before = reader.bytes_read
            # Without a column, a batch would not know how many rows it has.
            for batch in reader.ask(file, stripe, list(wanted or self._arrow.names[:1])):
                self.bytes_read += reader.bytes_read - before
                before = reader.bytes_read
                yield batch

    def count(self, where: str | None) -> int | None:
        """Rows, as the files' ends tell."""
        return sum(self._end(path)[1]["rows"] for path in self.paths) if where is None else None
