"""Parquet files: only the columns and row groups that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orrery.data import conditions, files
from orrery.data.rows import BATCH_ROWS, needed
from orrery.data.source import Partition
from orrery.data.sources import footer
from orrery.data.sources.columnar import ColumnarSource
from orrery.data.sources.file import version_of

_BATCH_BYTES = 32 << 20


class Parquet(ColumnarSource):
    """One Parquet file, a glob, or a folder of them, of one schema; a part is a row group."""

    endings = (".parquet", ".pq")
    form = "Parquet"

    def __init__(self, place: str, missing: str = "error") -> None:
        super().__init__(place, missing)
        self._footers = footer.Footers()

    def _schema_of(self, path: str) -> Any:
        with self._telling(path):
            return self._footer(path).schema.to_arrow_schema()

    def _footer(self, path: str, version: files.State | None = None) -> Any:
        """The end of a file, of the version asked for; of a file of this machine as it is now."""
        if version is None and files.is_local(path):
            version = files.state(path)
        known = self._footers.get(path, version)
        if known is not None:
            return known
        with self._telling(path), files.opened(path, ranges=True, version=version) as file:
            found = footer.checked(pq.read_metadata(file), file.seek(0, 2))
        self._footers.keep(path, version, found)
        return found

    def partitions(self) -> Sequence[Partition]:
        """One part per row group."""
        parts: list[Partition] = []
        for path, version in self.versions().items():
            end = self._footer(path, version)
            for group in range(end.num_row_groups):
                found = end.row_group(group)
                place = {"path": path, "group": group, "version": list(version)}
                parts.append(Partition(len(parts), place, found.num_rows, found.total_byte_size))
        return parts

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        path, group = str(partition.where["path"]), int(partition.where["group"])
        version = version_of(partition.where)
        end = self._footer(path, version)
        leaves = footer.leaves(end.schema)
        if where is not None and self._excluded(where, end, group, leaves):
            return
        chunks = [end.row_group(group).column(i) for name in wanted for i in leaves.get(name, ())]
        stored = sum(chunk.total_uncompressed_size for chunk in chunks)
        rows = BATCH_ROWS * _BATCH_BYTES // max(stored * BATCH_ROWS // max(partition.rows or 1, 1), 1)
        with files.opened(path, ranges=True, version=version) as file:
            far = not files.is_local(path)  # there, a few long reads beat many short ones
            reader = pq.ParquetFile(file, metadata=end, pre_buffer=far, page_checksum_verification=True)
            self.bytes_read += sum(chunk.total_compressed_size for chunk in chunks)
            yield from reader.iter_batches(max(1, min(BATCH_ROWS, rows)), [group], list(wanted))

    def _excluded(self, where: str, end: Any, group: int, leaves: dict[str, list[int]]) -> bool:
        """Whether a row group's statistics rule every row of it out."""
        condition = conditions.parse(where, tuple(self._arrow.names))
        return footer.excludes(condition, _bounds(end, leaves, group), self._arrow)

    def bytes_to_read(self, columns: Sequence[str] | None, where: str | None) -> int:
        """What reading some columns of the rows that pass takes, as the footers tell."""
        wanted, bound = needed(self._arrow.names, columns, where), self._bound(where)
        total = 0
        for path in self.paths:
            end = self._footer(path)
            leaves = footer.leaves(end.schema)
            places = [i for name in wanted for i in leaves.get(name, ())]
            for group in range(end.num_row_groups):
                if bound is None or not self._excluded(bound, end, group, leaves):
                    chunks = end.row_group(group)
                    total += sum(chunks.column(i).total_compressed_size for i in places)
        return total

    def count(self, where: str | None) -> int | None:
        """Rows, as the footers tell."""
        return sum(self._footer(path).num_rows for path in self.paths) if where is None else None

    def pushed(self, where: str) -> str:
        """What row groups are skipped by."""
        parts = conditions.parse(where, tuple(self._arrow.names)).parts()
        plain = [p for p in parts if not set(p.columns) & set(self._meanings)]
        return " and ".join(p.text for p in plain if footer.can_exclude(p.tree, self._arrow))


def _bounds(end: Any, leaves: dict[str, list[int]], group: int) -> footer.Bounds:
    """What a row group's statistics say of a column."""
    columns = end.row_group(group)

    def bounds(name: str) -> footer.Range | None:
        found = leaves.get(name, [])
        if len(found) != 1 or (chunk := columns.column(found[0])).path_in_schema != name:
            return None
        told = chunk.statistics
        if told is None:
            return None
        nulls = told.null_count if told.has_null_count else None
        try:
            least, most = (told.min, told.max) if told.has_min_max else (None, None)
        except (pa.ArrowException, ValueError, OverflowError):
            least, most = None, None
        return footer.Range(least, most, nulls, columns.num_rows)

    return bounds
