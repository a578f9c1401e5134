"""Lines and groups of lines from blocks of bytes, each of bounded length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

MOST_BYTES = 1 << 20
"""Of one record; a longer one is bad. A file without line ends must not fill the memory."""

_TOO_LONG = f"is longer than {MOST_BYTES:,} bytes"
_BATCH_ROWS = 16_384


class Record(NamedTuple):
    """What shall become a row: the number of its first line, its bytes, and what is wrong already."""

    line: int
    text: bytes
    fault: str = ""


def records(blocks: Iterable[bytes], begins: str | None) -> Iterator[list[Record]]:
    """The records of a file, some at a time: lines that are not blank, or groups that ``begins`` starts."""
    waiting: list[Record] = []
    for found in _lines(blocks):
        if begins is None:
            ready = [record for record in found if record.fault or record.text.strip()]
        else:
            joined = _joined([*waiting, *found], begins)
            ready, waiting = [_closed(record) for record in joined[:-1]], joined[-1:]  # the last may go on
        for at in range(0, len(ready), _BATCH_ROWS):
            yield ready[at : at + _BATCH_ROWS]
    if waiting:
        yield [_closed(record) for record in waiting]


def _lines(blocks: Iterable[bytes]) -> Iterator[list[Record]]:
    """All lines, those of a block at a time; of one that is too long, the beginning."""
    number, rest, skipping = 1, b"", False
    first = True
    for block in blocks:
        block = block.removeprefix(b"\xef\xbb\xbf") if first else block
        first = False
        if skipping and b"\n" not in block:
            continue
        if skipping:
            block, skipping = block[block.index(b"\n") + 1 :], False
            number += 1
        *whole, rest = (rest + block).split(b"\n")
        yield [_line(number + i, line) for i, line in enumerate(whole)]
        number += len(whole)
        if len(rest) > MOST_BYTES:
            yield [_line(number, rest)]
            rest, skipping = b"", True
    if rest:
        yield [_line(number, rest)]


def _line(number: int, text: bytes) -> Record:
    if len(text) > MOST_BYTES:
        return Record(number, text[:1000], _TOO_LONG)
    return Record(number, text.removesuffix(b"\r"))


def _joined(lines: list[Record], begins: str) -> list[Record]:
    """Lines put together; those before the first beginning are a record of their own."""
    texts = pa.array([line.text for line in lines], pa.binary())
    groups: list[list[Record]] = []
    for line, starts in zip(lines, pc.match_substring_regex(texts, begins).to_pylist(), strict=True):
        if starts or line.fault or (not groups and line.text.strip()):
            groups.append([line])
        elif groups:
            groups[-1].append(line)
    return [_record(group) for group in groups]


def _record(group: list[Record]) -> Record:
    head = group[0]
    if head.fault or len(group) == 1:
        return head
    text = b"\n".join(line.text for line in group)
    return Record(head.line, text[:1000], _TOO_LONG) if len(text) > MOST_BYTES else Record(head.line, text)


def _closed(record: Record) -> Record:
    """A record without the blank lines behind it."""
    return record._replace(text=record.text.rstrip())
