"""Raw BSON: where documents begin, and what their ``_id`` is, without decoding the rest."""

from __future__ import annotations

import struct
from typing import Any

from orrery.errors import SourceError
from orrery.extras import require

_LEAST = 5  # bytes of the empty document
_LENGTH = struct.Struct("<i").unpack_from


def offsets(raw: bytes) -> list[int]:
    """Where each document of a raw batch begins, and where the last one ends. Raises SourceError."""
    found, at, end = [], 0, len(raw)
    while at < end:
        length = _LENGTH(raw, at)[0] if at + _LEAST <= end else 0
        if not _LEAST <= length <= end - at:
            raise SourceError(f"MongoDB sent what is no BSON: a document of {length:,} bytes.")
        found.append(at)
        at += length
    return [*found, at]


_SIZES = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
_PREFIXED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5}
"""Type of an element -> bytes of its value; and for values with a length, bytes not counted in it.

bsonspec.org, version 1.1.
"""


def id_of(raw: bytes, at: int) -> Any:
    """The ``_id`` of a document, which comes first; the rest may be broken. Raises SourceError."""
    kind, start = raw[at + 4], at + 9
    if raw[at + 5 : start] == b"_id\0" and (kind in _SIZES or kind in _PREFIXED):
        size = _SIZES[kind] if kind in _SIZES else _PREFIXED[kind] + _LENGTH(raw, start)[0]
        alone = raw[at + 4 : start + size]
        return _decode((len(alone) + 5).to_bytes(4, "little") + alone + b"\0").get("_id")
    size = _LENGTH(raw, at)[0]
    return _decode(raw[at : at + size]).get("_id")


def last_id(raw: bytes) -> Any:
    """The ``_id`` of the last document of a raw batch."""
    return id_of(raw, offsets(raw)[-2])


def _decode(raw: bytes) -> dict[str, Any]:
    bson = require("bson", "Reading MongoDB")
    try:
        found: dict[str, Any] = bson.decode(raw, codec())
    except bson.errors.InvalidBSON as error:
        raise SourceError(f"MongoDB sent a document whose _id is no BSON: {error}") from None
    return found


def codec() -> Any:
    """How BSON becomes Python values."""
    bson = require("bson", "Reading MongoDB")
    options = bson.codec_options
    return options.CodecOptions(tz_aware=True, datetime_conversion=options.DatetimeConversion.DATETIME_AUTO)
