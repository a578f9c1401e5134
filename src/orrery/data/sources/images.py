"""A folder of pictures: the sub-folder is the label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files, remote
from orrery.data.codecs import image
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.file import FileSource
from orrery.errors import BadRowError
from orrery.schema import Field, Kind, Schema

_BATCH_ROWS = 1024
_BATCH_BYTES = 32 << 20


class Images(FileSource):
    """Pictures in a folder and its sub-folders, sorted by path: columns ``image``, ``label``, ``path``.

    ``label`` is the first sub-folder's name, missing for pictures that lie in none. ``path`` is of kind KEY:
    it names the picture, and would give its label away. Headers are always
    checked; with ``on_bad="quarantine"`` the whole picture is.
    """

    endings = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")

    def __init__(self, place: str, on_bad: OnBad = "stop") -> None:
        super().__init__(place)
        self.bad = BadRows(on_bad)

    def schema(self) -> Schema:
        """Bytes of the picture, label, path below the folder."""
        return Schema(
            fields=(
                Field(name="image", type="binary", kind=Kind.IMAGE),
                Field(name="label", type="string"),
                Field(name="path", type="string", kind=Kind.KEY),
            )
        )

    def partitions(self) -> Sequence[Partition]:
        """One part: all pictures."""
        return [Partition(0, rows=len(self.paths))]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Pictures as they lie in the files; every one is opened, so that a bad one is always bad."""
        names = self.schema().names
        keep = "image" in needed(names, columns, where)
        return narrowed(self._batches(keep), names, columns, where, start)

    def _batches(self, keep: bool) -> Iterator[RecordBatch]:
        rows: list[tuple[bytes, str | None, str]] = []
        size = 0
        for number, path in enumerate(self.paths, 1):
            with files.opened(path) as file:
                data = file.read()
            self.bytes_read += len(data)
            if not self._good(data, number, path):
                continue
            rows.append((data if keep else b"", *self._named(path)))
            size += len(rows[-1][0])
            if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield _batch(rows)
                rows, size = [], 0
        if rows:
            yield _batch(rows)

    def _good(self, data: bytes, number: int, path: str) -> bool:
        try:
            height, width, _ = image.size(data)
            if self.bad.on_bad == "quarantine":
                image.decode(data, height=height, width=width)
        except BadRowError as error:
            reason = f"cannot be read: {error.message.rstrip('.')}"
            self.bad.report(files.shown(path), number, "image", PurePosixPath(path).name, reason)
            return False
        return True

    def _named(self, path: str) -> tuple[str | None, str]:
        """Label and path of one picture."""
        root = files.local(self.place).as_posix() if files.is_local(self.place) else remote.bare(self.place)
        below = PurePosixPath(remote.bare(path).replace("\\", "/"))
        if below.is_relative_to(root) and str(below) != root:
            below = below.relative_to(root)
            return (below.parts[0] if len(below.parts) > 1 else None), str(below)
        return (below.parent.name or None), str(below)

    def fingerprint(self) -> str:
        """A hash of the files' bytes and of their places."""
        return files.fingerprint(self.paths, [self._named(path)[1] for path in self.paths])

    def _options(self) -> dict[str, Any]:
        return {"on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None}


def _batch(rows: list[tuple[bytes, str | None, str]]) -> RecordBatch:
    pictures, labels, paths = zip(*rows, strict=True)
    arrays: list[Any] = [
        pa.array(pictures, pa.binary()),
        pa.array(labels, pa.string()),
        pa.array(paths, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(arrays, names=["image", "label", "path"])
