"""Pages of Parquet whose values lie in the file as they lie in memory: where, and with which checksum.

Page headers are Thrift's compact protocol (https://parquet.apache.org/docs/file-format/data-pages/). Before
the values may come levels, which tell what is missing and where lists begin; pages are taken only if nothing
is missing and all lists are of one length.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WINDOWS = (512, 16 << 10)  # bytes in which a page's header is looked for; statistics may make it long
_DEEPEST = 3  # structs within structs, in a page's header
_DATA_PAGE, _PLAIN = 0, 0

Pages = NDArray[np.int64]
"""[pages, 5]: where values begin in the file, their bytes; where the page begins, its bytes; CRC or -1."""


@dataclass(frozen=True)
class Values:
    """What a column's pages hold: ``count`` values of ``width`` bytes, in lists of ``listed`` each or none.

    ``optional``: whether a value might be missing, so that levels come before values.
    """

    count: int
    width: int
    optional: bool = False
    listed: int = 0


def pages_of(file: int, span: tuple[int, int], values: Values) -> Pages | None:
    """The pages of a column; None where they are not plain, some values are missing or lists are uneven."""
    at, done, found = span[0], 0, []
    while done < values.count:
        told = _header(file, at)
        if told is None:
            return None
        header, begin = told
        size, data = header.get(3, -1), header.get(5)
        if header.get(1) != _DATA_PAGE or size != header.get(2) or not isinstance(data, dict):
            return None
        count = data.get(1)
        if data.get(2) != _PLAIN or not isinstance(count, int) or count < 1:
            return None
        levels = _levels(file, (begin, size), (done, count), values)
        if levels is None or size != levels + count * values.width:
            return None
        check = header.get(4)
        check = check & 0xFFFF_FFFF if isinstance(check, int) else -1
        found.append((begin + levels, count * values.width, begin, size, check))
        at, done = begin + size, done + count
    return np.array(found, np.int64).reshape(-1, 5) if done == values.count and at <= span[1] else None


def check(file: int, page: Sequence[int], values: Any = None) -> None:
    """Hold a page against its checksum; ``values``, where they were read already. Raises ValueError."""
    offset, _, begin, whole, told = page
    if values is None:
        found = zlib.crc32(os.pread(file, whole, begin))
    else:
        levels = os.pread(file, offset - begin, begin) if offset > begin else b""
        found = zlib.crc32(values, zlib.crc32(levels))
    if found != told:
        raise ValueError(
            f"the page at byte {begin:,} is damaged: its checksum (CRC-32) is {found:08x}, not {told:08x}"
        )


def _levels(file: int, page: tuple[int, int], span: tuple[int, int], values: Values) -> int | None:
    """Bytes of the levels that come before the values of a page; None where lists are uneven."""
    at, size = 0, page[1]
    if values.listed:
        told = _sized(file, page[0], size)
        if told is None or not _even(told, span, values.listed):
            return None
        at = 4 + len(told)
    if values.optional:
        head = os.pread(file, 4, page[0] + at)
        at += 4 + int.from_bytes(head, "little")
    return at if at <= size else None


def _sized(file: int, at: int, most: int) -> bytes | None:
    """Levels, of which four bytes tell the size."""
    size = int.from_bytes(os.pread(file, 4, at), "little")
    return os.pread(file, size, at + 4) if size <= most else None


def _even(levels: bytes, span: tuple[int, int], listed: int) -> bool:
    """Whether a list begins at each multiple of ``listed`` and nowhere else; span: values before, values.

    Levels of one bit: runs of one value, and groups of eight values.
    """
    begins: list[int] = []
    at = done = 0
    try:
        while done < span[1]:
            head, at = _varint(levels, at)
            count = (head >> 1) * (8 if head & 1 else 1)
            if head & 1:
                bits = np.frombuffer(levels, np.uint8, head >> 1, at)
                begins += (np.flatnonzero(np.unpackbits(bits, bitorder="little") == 0) + done).tolist()
                at += head >> 1
            else:
                begins += range(done, done + count) if not levels[at] else ()
                at += 1
            done += count
            if not count or len(begins) > span[1] + 8:
                return False
    except (IndexError, ValueError):  # they end too soon
        return False
    first = -span[0] % listed
    return [n for n in begins if n < span[1]] == list(range(first, span[1], listed))


def _header(file: int, at: int) -> tuple[dict[int, Any], int] | None:
    """A page's header by field number, and where it ends in the file."""
    for window in _WINDOWS:
        try:
            found, size = _struct(os.pread(file, window, at), 0)
        except IndexError:  # it is longer, or none
            continue
        except ValueError:
            return None
        return found, at + size
    return None


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol, by field: whole numbers, truth, structs; bytes are left out."""
    found: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        at += 1
        kind, jump = head & 15, head >> 4
        field += jump
        if not jump:
            field, at = _whole(data, at)
        if kind in (1, 2):
            found[field] = kind == 1
        elif kind in (4, 5, 6):
            found[field], at = _whole(data, at)
        elif kind == 8:
            size, at = _varint(data, at)
            at += size
        elif kind == 12 and depth < _DEEPEST:
            found[field], at = _struct(data, at, depth + 1)
        else:
            raise ValueError(f"a page's header holds no value of kind {kind}")
    return found, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _whole(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, which may be below 0."""
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
