"""JSON lines, also compressed: one object per line; bad lines told by file, line, column and value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import cells, files, packed, values
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed
from orrery.data.source import Partition
from orrery.data.sources.file import FileSource, steady, version_of
from orrery.errors import SchemaError, UnknownColumnError
from orrery.schema import Kind, Schema, parse_type

_BATCH_ROWS = 8_192
_BATCH_BYTES = 16 << 20
_SAMPLE_ROWS = 50_000
_DECODE = json.JSONDecoder().decode

Line = tuple[int, bytes]
"""The number of a line, from 1, and its bytes."""


class JsonLines(FileSource):
    """One file of JSON lines, a glob or a folder of them; a part is a file.

    Columns and types are those of a sample of the first rows; strings that are all dates or times of ISO
    8601 are such. ``types`` pins some, and names all of a file without rows:
    ``{"at": "timestamp[us]", "code": "string"}``.
    """

    endings = packed.every(".jsonl", ".ndjson")

    def __init__(
        self,
        place: str,
        encoding: str = "utf-8",
        types: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        on_bad: OnBad = "stop",
    ) -> None:
        super().__init__(place)
        self.encoding = encoding
        self.types = dict(types or {})
        self.kinds = dict(kinds or {})
        self.bad = BadRows(on_bad)

    @cached_property
    def _arrow(self) -> Any:
        lines = chain.from_iterable(self._lines(path) for path in self.paths)
        rows = [row for line in islice(lines, _SAMPLE_ROWS) if isinstance(row := _parsed(line[1]), dict)]
        names = list(dict.fromkeys(name for row in rows for name in row)) or list(self.types)
        for name in self.types:
            if name not in names:
                raise UnknownColumnError(name, names)
        if not names:
            raise SchemaError(
                f"{files.shown(self.place)} holds no JSON object, so it has no columns.",
                hint="If it is of no rows, name its columns with types=.",
            )
        return pa.schema(
            [pa.field(name, self._type([row.get(name) for row in rows], name)) for name in names]
        )

    def _type(self, column: list[Any], name: str) -> Any:
        if name in self.types:
            return parse_type(self.types[name])
        if self.kinds.get(name) == Kind.DATETIME:
            return pa.timestamp("us")
        found = values.infer_type(column, name, files.shown(self.paths[0]))
        if pa.types.is_string(found) and name not in self.kinds:
            return cells.infer_dates([v for v in column if v is not None]) or found
        return found

    def schema(self) -> Schema:
        """The columns of the first rows."""
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
        groups = self._groups(path, version_of(partition.where))
        batches = steady(partition, (self._batch(path, lines) for lines in groups))
        return narrowed(batches, self._arrow.names, columns, where, start)

    def _lines(self, path: str, version: files.State | None = None) -> Iterator[Line]:
        """The lines that are not blank."""
        with files.unpacked(path, self.encoding, version) as file:
            for number, line in enumerate(file, 1):
                self.bytes_read += len(line)
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if stripped := line.strip():
                    yield number, stripped

    def _groups(self, path: str, version: files.State | None) -> Iterator[list[Line]]:
        group: list[Line] = []
        size = 0
        for line in self._lines(path, version):
            group.append(line)
            size += len(line[1])
            if len(group) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _batch(self, path: str, lines: list[Line]) -> RecordBatch:
        """Typed columns of some lines, without the bad ones, which are reported."""
        names = set(self._arrow.names)
        faults: dict[int, tuple[str | None, object, str]] = {}  # by place in lines
        rows: list[dict[str, Any]] = []
        for i, (_, line) in enumerate(lines):
            row = _parsed(line)
            fault = _fault(row, line, names)
            if fault is not None:
                faults[i] = fault
            rows.append(row if fault is None else {})
        arrays = []
        for f in self._arrow:
            column = [row.get(f.name) for row in rows]
            array, bad = values.to_array(column, f.type)
            for i in bad:
                faults.setdefault(i, (f.name, column[i], f"is not {f.type}"))
            arrays.append(array)
        for i in sorted(faults):
            self.bad.report(files.shown(path), lines[i][0], *faults[i])
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._arrow)
        return batch.filter(pa.array([i not in faults for i in range(len(rows))])) if faults else batch

    def _options(self) -> dict[str, Any]:
        return {
            "encoding": self.encoding if self.encoding != "utf-8" else None,
            "types": self.types or None,
            "kinds": self.kinds or None,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
        }


def _parsed(line: bytes) -> Any:
    """The value on a line; of a line that is no JSON, what is wrong with it."""
    try:
        return _DECODE(line.decode())
    except (ValueError, RecursionError) as error:
        return error


def _fault(row: Any, line: bytes, names: set[str]) -> tuple[str | None, object, str] | None:
    """What makes a line bad: the column, the value and the reason."""
    if isinstance(row, Exception):
        return None, line.decode("utf-8", "replace"), f"is not JSON: {str(row).splitlines()[0]}"
    if not isinstance(row, dict):
        return None, line.decode("utf-8", "replace"), "is not a JSON object"
    strange = next((name for name in row if name not in names), None)
    if strange is None:
        return None
    return strange, row[strange], "is in a column that the sample of rows did not have"
