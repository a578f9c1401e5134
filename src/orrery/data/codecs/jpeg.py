"""JPEG unpacked by ``simplejpeg``, where it is installed: a little faster than Pillow, and the same bits.

Both stand on libjpeg-turbo. That they agree on every subsampling, baseline and progressive, is tested; on
each machine they are compared once before the faster one is trusted, and whatever it refuses goes to Pillow.
"""

from __future__ import annotations

import functools
import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orrery.extras import available, require

_SPACES = {"YCbCr": "RGB", "Gray": "GRAY"}
"""Colour spaces of a file that both read alike -> in what they are asked for."""

_SCAN, _EXIF_SEGMENT = 0xDA, 0xE1
_SCAN_MARK, _MOST_SCANS = b"\xff\xda", 500
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_ORIENTATION = 0x0112


def unpacked(data: bytes, height: int, width: int) -> NDArray[np.uint8] | None:
    """The pixels as stored, uint8 [h, w, 3 or 1]; None where Pillow is to be asked. Without the GIL."""
    decoder = _decoder()
    if decoder is None:
        return None
    try:
        h, w, space, _ = decoder.decode_jpeg_header(data, strict=True)
        if (h, w) != (height, width) or space not in _SPACES:
            return None
        found: NDArray[np.uint8] = decoder.decode_jpeg(
            data, colorspace=_SPACES[space], fastdct=False, fastupsample=False, strict=True
        )
    except (ValueError, RuntimeError, TypeError, MemoryError):
        return None
    return found


@functools.cache
def _decoder() -> Any:
    """simplejpeg, or None: it is not installed, or does not agree with this machine's Pillow."""
    if not available("simplejpeg"):
        return None
    found = require("simplejpeg", "Unpacking JPEG fast")
    steps = np.arange(33 * 17 * 3, dtype=np.int64)
    probe = Image.fromarray((steps * steps * 7 % 251).astype(np.uint8).reshape(33, 17, 3))
    for subsampling in (0, 1, 2):
        file = io.BytesIO()
        probe.save(file, "JPEG", quality=80, subsampling=subsampling)
        expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
        pixels = found.decode_jpeg(file.getvalue(), fastdct=False, fastupsample=False)
        if not np.array_equal(pixels, expected):
            return None
    return found


def few_scans(data: bytes) -> bool:
    """Whether a JPEG has few passes over its pixels: each costs as much as the whole, and takes ten bytes."""
    return data.count(_SCAN_MARK) <= _MOST_SCANS


def header(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, EXIF orientation) as stored, from the first segments; None for anything unusual.

    Source: ITU-T T.81, B.1 and B.2.2; TIFF 6.0, section 2.
    """
    orientation, at = 1, 2
    if data[:3] != b"\xff\xd8\xff":
        return None
    try:
        while data[at] == 0xFF:
            marker = data[at + 1]
            if marker in _ALONE or marker == 0xFF or marker == _SCAN:
                return None
            (length,) = struct.unpack_from(">H", data, at + 2)
            if marker == _EXIF_SEGMENT:
                found = _orientation(data[at + 4 : at + 2 + length])
                if found is None or orientation != 1:
                    return None
                orientation = found
            elif 0xC0 <= marker <= 0xC2:
                if marker == 0xC2 and not few_scans(data):
                    return None
                deep, height, width = struct.unpack_from(">BHH", data, at + 4)
                return (height, width, orientation) if deep == 8 and height and width else None
            at += 2 + length
    except (IndexError, struct.error):
        return None
    return None


def _orientation(segment: bytes) -> int | None:
    """What an APP1 segment says; None where it must be read more closely."""
    if not segment.startswith(b"Exif\0\0"):
        return None if b"Orientation" in segment else 1
    tiff = segment[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, n = struct.unpack_from(f"{order}HHI", tiff, place)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(f"{order}H", tiff, place + 8)
            return value if (kind, n) == (3, 1) and 1 <= value <= 8 else None
    return 1
