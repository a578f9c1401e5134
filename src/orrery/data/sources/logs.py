"""Log files: lines, or groups of them, as rows by a grok pattern; rotated ones in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import cells, files, packed, remote
from orrery.data.grok import Bad, Grok, compiled
from orrery.data.grok_patterns import BEGINS
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed
from orrery.data.source import Partition
from orrery.data.sources.file import FileSource, steady, version_of
from orrery.data.sources.log_lines import Record, records
from orrery.errors import SchemaError
from orrery.schema import Schema

_ROTATED = re.compile(r"(?P<name>.*?)(?:\.(?P<number>\d{1,3})|[-.](?P<date>\d{4}-?\d\d-?\d\d(?:[-T]?\d+)?))?")
_OURS: list[Any] = [pa.field("_line", pa.int64()), pa.field("_file", pa.string())]


class Logs(FileSource):
    r"""Lines of log files by a grok pattern: ``read("access.log", pattern="%{COMBINEDAPACHELOG}")``.

    The pattern's columns, then ``_line`` (from 1) and ``_file``. ``patterns`` are expressions of one's own,
    by name. Where a row has several lines, ``begins`` is the pattern of how the first begins; all others
    belong to the one before. Lines that do not fit are bad rows, and can be read (``on_bad="quarantine"``);
    blank ones are none. A glob such as ``syslog*`` reads the oldest first: ``syslog.2.gz``, ``syslog.1``,
    ``syslog``.

    >>> from pathlib import Path
    >>> _ = Path("app.log").write_text("2026-01-02T03:04:05Z up in 12 ms\nhello\n")
    >>> from orrery.data.table import read
    >>> table = read("app.log", pattern="%{NOTSPACE} up in %{INT:ms:int} ms", on_bad="quarantine")
    >>> table.to_rows(), table.quarantined().select("line", "value").to_rows()
    ([{'ms': 12, '_line': 1, '_file': 'app.log'}], [{'line': 2, 'value': 'hello'}])
    """

    endings = packed.every(".log", ".txt", *(f".log.{number}" for number in range(1, 100)))

    def __init__(
        self,
        place: str,
        pattern: str,
        patterns: Mapping[str, str] | None = None,
        begins: str | None = None,
        encoding: str = "utf-8",
        on_bad: OnBad = "stop",
    ) -> None:
        super().__init__(place)
        self.pattern = pattern
        self.patterns = dict(patterns or {})
        self.begins = begins
        self.encoding = encoding
        self.bad = BadRows(on_bad)

    @cached_property
    def _grok(self) -> Grok:
        return compiled(self.pattern, self.patterns)

    @cached_property
    def _begins(self) -> str | None:
        """The expression that the first line of a row begins with; None where each line is a row."""
        text = self.begins or BEGINS.get(self.pattern)
        if text is None:
            return None
        return compiled(f"(?P<begin>{text})", self.patterns).expression.removesuffix(r"\z")

    @cached_property
    def _arrow(self) -> Any:
        schema = self._grok.schema
        taken = sorted({*schema.names} & {f.name for f in _OURS})
        if taken:
            raise SchemaError(
                f"The pattern {self.pattern!r} names columns that Orrery gives itself: {taken}."
            )
        return pa.schema(list(schema) + _OURS)

    @cached_property
    def paths(self) -> list[str]:
        """The files, the oldest of each log first."""
        return sorted(files.find(self.place, self.endings), key=_age)

    def schema(self) -> Schema:
        """The pattern's columns, the number of the line, and the file."""
        return Schema.of(self._arrow)

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one file."""
        path = str(partition.where["path"])
        batches = steady(partition, self._batches(path, version_of(partition.where)))
        return narrowed(batches, self._arrow.names, columns, where, start)

    def _batches(self, path: str, version: files.State | None) -> Iterator[RecordBatch]:
        with files.unpacked(path, self.encoding, version) as file:
            for found in records(self._counted(file), self._begins):
                yield self._batch(files.shown(path), found)

    def _counted(self, file: Any) -> Iterator[bytes]:
        while block := file.read(1 << 20):
            self.bytes_read += len(block)
            yield block

    def _batch(self, path: str, found: Sequence[Record]) -> RecordBatch:
        """The rows of some records; what is none is reported, with its line."""
        texts = pa.array([None if record.fault else record.text for record in found], pa.binary())
        text, undecoded = cells.convert(texts, pa.string())
        arrays, bad = self._grok.parse(text)
        wrong = {*undecoded}
        for i, record in enumerate(found) if bad else ():
            if record.fault or i in wrong:
                bad[i] = Bad(None, _shown(record.text), record.fault or f"is not {self.encoding}")
        for i in sorted(bad):
            self.bad.report(path, found[i].line, *bad[i])
        lines = pa.array([record.line for record in found], pa.int64())
        arrays += [lines, pa.repeat(pa.scalar(path), len(found))]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._arrow)
        return batch.filter(pa.array([i not in bad for i in range(len(found))])) if bad else batch

    def _options(self) -> dict[str, Any]:
        return {
            "pattern": self.pattern,
            "patterns": self.patterns or None,
            "begins": self.begins,
            "encoding": self.encoding if self.encoding != "utf-8" else None,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
        }


def _age(path: str) -> tuple[str, str, bool, str, int]:
    """Sorts the files of one log by age: by date, then the higher number first; the log itself last."""
    name = PurePath(remote.bare(path)).name
    parts = _ROTATED.fullmatch(name.removesuffix(packed.packing_of(name)))
    assert parts is not None
    date = re.sub(r"\D", "", parts["date"] or "")
    return path[: len(path) - len(name)], parts["name"], not date, date, -int(parts["number"] or 0)


def _shown(text: bytes) -> str:
    return text[:400].decode("utf-8", "backslashreplace")
