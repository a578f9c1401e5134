"""Protocol buffers read field by field, with no schema but what the caller allows.

Source: the encoding that protobuf.dev describes (varints, tags, lengths). Groups, which nobody writes any
more, are refused; an overlong varint is read as what it means, so that it hides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Message:
    """What a message may hold: numbers of fields that come once, and of fields that may come again."""

    name: str
    once: Collection[int]
    again: Collection[int] = ()


def fields(data: memoryview, allowed: Message) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an unsigned int, or bytes that are not copied.

    Raises ValueError for a field that is not allowed, one that comes twice, and what is cut short.
    """
    at, seen = 0, set()
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number not in allowed.once and number not in allowed.again:
            raise ValueError(f"{allowed.name} holds field {number}")
        if number in seen and number not in allowed.again:
            raise ValueError(f"{allowed.name} holds field {number} twice")
        seen.add(number)
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in {FIXED64, FIXED32}:
            size = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"{allowed.name} holds a group")
        if size > len(data) - at:
            raise ValueError(f"{allowed.name} is cut short")
        yield number, data[at : at + size]
        at += size


def integers(value: int | memoryview) -> list[int]:
    """Signed 64-bit values of a repeated field: one, or many packed as varints."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(_signed(one))
    return found


def text(value: int | memoryview) -> str:
    """A string field."""
    return bytes(part(value)).decode()


def part(value: int | memoryview) -> memoryview:
    """A field that must hold bytes."""
    if isinstance(value, int):
        raise ValueError("a number stands where bytes should")
    return value


def number(value: int | memoryview) -> int:
    """A field that must hold a number; signed."""
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number should")
    return _signed(value)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for count in range(10):
        if at + count >= len(data):
            raise ValueError("a number is cut short")
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + count + 1
    raise ValueError("a number is longer than ten bytes")
