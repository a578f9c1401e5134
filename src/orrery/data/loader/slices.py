"""A file of slices of bytes, each with its checksum: what caches and spills are made of."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa

from orrery.data.loader.columns import Scratch
from orrery.errors import SourceError


class Slices:
    """Append, then read in any order, by any number of threads.

    >>> slices = Slices(None, most_bytes=100)
    >>> slices.append(b"one", rows=1), slices.append(b"three", rows=3)
    (0, 1)
    >>> bytes(slices.read(1)), slices.rows
    (b'three', [1, 3])
    >>> slices.close()
    """

    def __init__(self, path: Path | None, most_bytes: int) -> None:
        self.path = path
        self.most_bytes = most_bytes
        self.rows: list[int] = []
        self._ends = [0]
        self._sums: list[int] = []
        self._file: int | None = None
        self._lock = Lock()

    def append(self, data: bytes | memoryview, rows: int) -> int:
        """Add a slice; its number. Raises SourceError where there is no room."""
        size, total = memoryview(data).nbytes, zlib.crc32(data)
        with self._lock:
            if self._file is None:
                self._file = _created(self.path)
            start = self._ends[-1]
            if start + size > self.most_bytes:
                raise SourceError(
                    f"The rows take more than the {self.most_bytes:,} bytes that the loader may write.",
                    hint="Raise cache_bytes=, read fewer columns, or leave cache= out.",
                )
            self.rows.append(rows)
            self._ends.append(start + size)
            self._sums.append(total)
            number = len(self.rows) - 1
        try:
            view = memoryview(data).cast("B")
            while len(view):
                written = os.pwrite(self._file, view, start)
                view, start = view[written:], start + written
        except OSError as error:
            where = self.path or tempfile.gettempdir()
            raise SourceError(
                f"The loader cannot write its rows to {where}: {error.strerror}.",
                hint="Make room, or name another folder: cache=, or TMPDIR.",
            ) from None
        return number

    def read(self, number: int, memory: Scratch | None = None) -> memoryview:
        """A slice, checked, in memory that may be used again. Raises SourceError where it is another."""
        file = self._file
        if file is None:
            if self.path is None:
                raise SourceError("The loader's rows are closed.")
            file = self._file = os.open(self.path, os.O_RDONLY)
        start, end = self._ends[number], self._ends[number + 1]
        data = (memory or Scratch()).of(end - start).data
        if os.preadv(file, [data], start) < end - start or zlib.crc32(data) != self._sums[number]:
            where = self.path or "the loader's scratch file"
            raise SourceError(
                f"{where}, bytes {start} to {end}: these are not the rows that were written there.",
                hint="Remove it; it is written again.",
            )
        return data

    @property
    def size_bytes(self) -> int:
        """Of all slices."""
        return self._ends[-1]

    def index(self) -> Any:
        """What tells the slices apart, as an Arrow table."""
        return pa.table({"rows": self.rows, "end": self._ends[1:], "crc32": pa.array(self._sums, pa.int64())})

    @classmethod
    def opened(cls, path: Path, index: Any) -> Slices:
        """Slices that were written before."""
        made = cls(path, 0)
        made.rows = index.column("rows").to_pylist()
        made._ends = [0, *index.column("end").to_pylist()]
        made._sums = index.column("crc32").to_pylist()
        return made

    def sync(self) -> None:
        """Bring everything to the disk."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file; one without a name is gone."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.close()


def _created(path: Path | None) -> int:
    """A new file; without a path one that has no name, so that it is gone however the process ends."""
    if path is not None:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with tempfile.TemporaryFile(prefix="orrery-loader-") as file:
        return os.dup(file.fileno())
