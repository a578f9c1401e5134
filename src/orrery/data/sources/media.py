"""What folders of media share: a file is a row, the sub-folder is its label, a bad file is a bad row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files, remote
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.file import FileSource
from orrery.errors import BadRowError
from orrery.schema import Field, Kind, Schema

BATCH_ROWS = 1024
BATCH_BYTES = 32 << 20

_PART_FILES = 1024


class MediaFolder(FileSource):
    """Files in a folder and its sub-folders, sorted by path: the bytes, ``label``, ``path``, and ``more``.

    ``label`` is the first sub-folder's name, missing for files that lie in none. ``path`` is of kind KEY: it
    names the file, and would give its label away. Headers are always checked; with ``on_bad="quarantine"``
    the whole file is. A part is up to a thousand files.
    """

    column: ClassVar[str]
    kind: ClassVar[Kind]
    more: ClassVar[dict[str, str]] = {}
    """Name -> Arrow type of what else is told of each file."""

    def __init__(self, place: str, on_bad: OnBad = "stop") -> None:
        super().__init__(place)
        self.bad = BadRows(on_bad)

    @abstractmethod
    def examine(self, data: bytes, whole: bool) -> tuple[Any, ...]:
        """The values of ``more``, from the header; ``whole``: all must be readable. Raises BadRowError."""

    def schema(self) -> Schema:
        """Bytes of the file, label, path below the folder, and what else is told."""
        return Schema(
            fields=(
                Field(name=self.column, type="binary", kind=self.kind),
                Field(name="label", type="string"),
                Field(name="path", type="string", kind=Kind.KEY),
                *(Field(name=name, type=kind) for name, kind in self.more.items()),
            )
        )

    def partitions(self) -> Sequence[Partition]:
        """Parts of so many files; how many rows they have is known unless bad ones are set aside."""
        found = []
        for i, start in enumerate(range(0, len(self.paths), _PART_FILES)):
            stop = min(start + _PART_FILES, len(self.paths))
            rows = stop - start if self.bad.on_bad == "stop" else None
            found.append(Partition(i, {"start": start, "stop": stop}, rows=rows))
        return found

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Bytes as they lie in the files; every file is opened, so that a bad one is always bad."""
        names = self.schema().names
        keep = self.column in needed(names, columns, where)
        first, stop = int(partition.where["start"]), int(partition.where["stop"])
        if where is None and self.bad.on_bad == "stop":  # each file is a row: those before need no look
            first, start = first + start, 0
        return narrowed(self._batches(range(first, stop), keep), names, columns, where, start)

    def _batches(self, numbers: range, keep: bool) -> Iterator[RecordBatch]:
        rows: list[tuple[Any, ...]] = []
        size = 0
        for number in numbers:
            path = self.paths[number]
            with files.opened(path) as file:
                data = file.read()
            self.bytes_read += len(data)
            try:
                more = self.examine(data, self.bad.on_bad == "quarantine")
            except BadRowError as error:
                self.set_aside(path, number + 1, error)
                continue
            rows.append((data if keep else b"", *self.named(path), *more))
            size += len(rows[-1][0])
            if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield self._batch(rows)
                rows, size = [], 0
        if rows:
            yield self._batch(rows)

    def _batch(self, rows: list[tuple[Any, ...]]) -> RecordBatch:
        schema = self.schema().arrow()
        columns = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, names=schema.names)

    def set_aside(self, path: str, line: int, error: BadRowError) -> None:
        """Report a bad row. Raises BadRowError where such rows stop the run."""
        reason = f"cannot be read: {error.message.rstrip('.')}"
        self.bad.report(files.shown(path), line, self.column, PurePosixPath(path).name, reason)

    def named(self, path: str) -> tuple[str | None, str]:
        """Label and path of one file."""
        root = files.local(self.place).as_posix() if files.is_local(self.place) else remote.bare(self.place)
        below = PurePosixPath(remote.bare(path).replace("\\", "/"))
        if below.is_relative_to(root) and str(below) != root:
            below = below.relative_to(root)
            return (below.parts[0] if len(below.parts) > 1 else None), str(below)
        return (below.parent.name or None), str(below)

    def fingerprint(self) -> str:
        """A hash of the files' bytes and of their places."""
        return files.fingerprint(self.paths, [self.named(path)[1] for path in self.paths])

    def _options(self) -> dict[str, Any]:
        return {"on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None}
