"""A quote that is opened and never closed: it would swallow every row behind it without a word."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

_TAIL = 64 << 10
_CELL_BYTES = 8 << 20  # more than Arrow takes in one row
csv.field_size_limit(
    max(csv.field_size_limit(), _CELL_BYTES)
)  # the standard one, 128 KiB, is of all programs
_MARK = "\x1e the end \x1e"


class Open(NamedTuple):
    """The quote that is open where a file ends."""

    record: int
    """Of the records in the file, from 0; empty lines are none where ``blank`` is False."""
    line: int
    """Where the quote was opened, from 1."""
    lines: int
    """How many more lines it took in."""
    text: str
    """How the cell begins."""

    @property
    def reason(self) -> str:
        """What is wrong, as of a bad row."""
        return f"has a quote that is never closed, which takes in the {self.lines} lines behind it"


def open_quote(lines: Iterable[str], delimiter: str, blank: bool) -> Open | None:
    """The quote that is still open at the end of a CSV file; None where all are closed, or none is told."""
    begins, record, last = 1, 0, [""]
    reader = csv.reader(chain(lines, [_MARK]), delimiter=delimiter)
    try:
        for last in reader:
            if last == [_MARK]:
                return None
            ended, begins = begins, reader.line_num + 1
            record += 1 if last or blank else 0
    except csv.Error:  # the cell is larger than any that can be read
        if reader.line_num <= begins:
            return None  # a long cell, on a line of its own: no quote that takes in others
        return Open(record, begins, reader.line_num - begins, "")
    line = ended + sum(cell.count("\n") for cell in last[:-1])
    return Open(record - 1, line, reader.line_num - 1 - line, last[-1][:200].removesuffix(_MARK))


class Tail:
    """A file to read bytes from, which remembers the last of them."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file
        self.bytes = b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block: bytes = self._file.read(size)
        self.bytes = (self.bytes + block[-_TAIL:])[-_TAIL:] if block else self.bytes
        return block

    def may_be_open(self, cell: bytes) -> bool:
        """Whether the last cell, as it was understood, may be of a quote that is still open."""
        return 2 * len(cell) >= _TAIL or self.bytes.endswith(b'"' + cell.replace(b'"', b'""'))


def behind(items: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each item, and whether it is the last."""
    held: list[Any] = []
    for item in items:
        if held:
            yield held.pop(), False
        held.append(item)
    if held:
        yield held.pop(), True
