"""Plain text, also compressed: one row per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files, packed
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed
from orrery.data.source import Partition
from orrery.data.sources.file import FileSource, steady, version_of
from orrery.schema import Field, Schema

_SCHEMA = Schema(fields=(Field(name="text", type="string"), Field(name="line", type="int64")))
_BATCH_ROWS = 65_536
_BATCH_BYTES = 16 << 20


class Text(FileSource):
    """Lines of a file, a glob or a folder: columns ``text``, less its line end, and ``line``, from 1."""

    endings = packed.every(".txt", ".log")

    def __init__(self, place: str, encoding: str = "utf-8", on_bad: OnBad = "stop") -> None:
        super().__init__(place)
        self.encoding = encoding
        self.bad = BadRows(on_bad)

    def schema(self) -> Schema:
        """Text and number of the line."""
        return _SCHEMA

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Lines of one file, empty ones too."""
        batches = steady(partition, self._batches(str(partition.where["path"]), version_of(partition.where)))
        return narrowed(batches, _SCHEMA.names, columns, where, start)

    def _batches(self, path: str, version: files.State | None) -> Iterator[RecordBatch]:
        texts: list[str] = []
        lines: list[int] = []
        size = 0
        with files.unpacked(path, self.encoding, version) as file:
            for number, line in enumerate(file, 1):
                self.bytes_read += len(line)
                size += len(line)
                try:
                    texts.append(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"))
                    lines.append(number)
                except UnicodeDecodeError:
                    shown = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
                    self.bad.report(files.shown(path), number, "text", shown, f"is not {self.encoding}")
                if len(texts) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                    yield _batch(texts, lines)
                    texts, lines, size = [], [], 0
        if texts:
            yield _batch(texts, lines)

    def _options(self) -> dict[str, str | None]:
        return {
            "encoding": self.encoding if self.encoding != "utf-8" else None,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
        }


def _batch(texts: list[str], lines: list[int]) -> RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(texts, pa.string()), pa.array(lines)], schema=_SCHEMA.arrow())
