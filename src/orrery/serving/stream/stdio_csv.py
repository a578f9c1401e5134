"""CSV in a pipe: records are JSON objects of texts on the way in, and written as CSV on the way out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from orrery.serving.stream.stdio_lines import Lines


class CsvRecords:
    r"""Records below a header (RFC 4180). An empty cell is null. One of another length stays as it is.

    >>> records = CsvRecords()
    >>> records.cut(b'a,b\n1,"x\ny"\n')
    [b'{"a": "1", "b": "x\\ny"}']
    """

    def __init__(self) -> None:
        self._lines = Lines(keep_empty=True)
        self._header: list[str] | None = None
        self._open: list[bytes] = []
        """Lines of a record whose quotes are not closed."""

    def cut(self, chunk: bytes) -> list[bytes]:
        """Whole records."""
        found = []
        for line in self._lines.cut(chunk):
            if not self._open and not line.strip():
                continue
            self._open.append(line)
            if sum(part.count(b'"') for part in self._open) % 2 == 0:
                found += self._record()
        if not chunk and self._open:
            found += self._record()
        return found

    def _record(self) -> list[bytes]:
        text = b"\n".join(self._open).removesuffix(b"\r")
        self._open.clear()
        try:
            (cells,) = csv.reader(
                [text.decode("utf-8-sig" if self._header is None else "utf-8")], strict=True
            )
        except (UnicodeDecodeError, csv.Error, ValueError):
            return [text]
        if self._header is None:
            self._header = cells
            return []
        if len(cells) != len(self._header):
            return [text]
        row = {name: cell or None for name, cell in zip(self._header, cells, strict=True)}
        return [json.dumps(row, ensure_ascii=False).encode()]


class CsvWriter:
    """JSON objects as CSV, below a header of the first one's members; those within have names with dots."""

    def __init__(self) -> None:
        self._header: list[str] = []

    def write(self, value: bytes) -> bytes:
        """A record, and the header before the first."""
        row = dict(_flat(json.loads(value)))
        text = StringIO()
        to = csv.writer(text, lineterminator="\n")
        if not self._header:
            self._header = list(row)
            to.writerow(self._header)
        to.writerow([_cell(row.get(name)) for name in self._header])
        return text.getvalue().encode()

    def end(self) -> bytes:
        """Nothing."""
        return b""


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else value
