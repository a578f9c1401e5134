"""Pictures: one decoder for training and for serving, so that both see the same bits.

Legend: h, w in pixels; c channels (1 grey, 3 red-green-blue).
"""

from __future__ import annotations

import io
import re
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from orrery.errors import BadRowError, SettingsError

MAX_PIXELS = 1 << 26
"""A picture of more pixels than this is refused before it is unpacked: 64 million, 192 MiB in colour."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# Pillow warns of each odd EXIF entry, in words that the picture chooses. Held back for Pillow alone and for
# good: to do it around each decoding would change the filters under other threads.
_FROM_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

_ROTATED = {5, 6, 7, 8}  # EXIF orientations that swap height and width
_ORIENTATION = 0x0112
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I": 1, "F": 1, "I;16B": 1, "I;16L": 1}


def decode(
    data: bytes, *, height: int, width: int, channels: int = 3, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """A picture as uint8 [c, h, w]: turned as its EXIF says, resized without aliasing, on white.

    Raises BadRowError where the bytes are no picture, are cut short, or would unpack to too many pixels.

    >>> decode(encode_png(np.zeros((1, 4, 6), np.uint8)), height=2, width=3, channels=1).shape
    (1, 2, 3)
    """
    if channels not in (1, 3):
        raise SettingsError(f"A picture has 1 or 3 channels, not {channels}.")
    try:
        with _opened(data, max_pixels) as picture:
            flat = _flat(ImageOps.exif_transpose(picture), "L" if channels == 1 else "RGB")
            if flat.size != (width, height):
                flat = flat.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(flat, np.uint8)
    except BadRowError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds, of the picture's own choosing
        raise _bad(data, error) from None
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """(height, width, channels) from the header alone. Raises BadRowError.

    >>> size(encode_png(np.zeros((3, 4, 6), np.uint8)))
    (4, 6, 3)
    """
    try:
        with _opened(data, max_pixels) as picture:
            width, height = picture.size
            # Pillow would unpack a whole PNG to look for EXIF behind the pixels.
            has_exif = picture.format != "PNG" or "exif" in picture.info
            if has_exif and picture.getexif().get(_ORIENTATION) in _ROTATED:
                width, height = height, width
            return height, width, _CHANNELS.get(picture.mode, 3)
    except BadRowError:
        raise
    except Exception as error:
        raise _bad(data, error) from None


def pixels_of(data: bytes) -> int:
    """How many pixels a picture would unpack to, from its header; 0 where it cannot be read.

    >>> pixels_of(encode_png(np.zeros((3, 4, 6), np.uint8))), pixels_of(b"")
    (24, 0)
    """
    try:
        with _opened(data, sys.maxsize) as picture:
            return int(picture.size[0] * picture.size[1])
    except Exception:  # as in decode, which says it
        return 0


def is_picture(data: bytes) -> bool:
    """Whether the bytes begin as PNG, JPEG, WebP, GIF or BMP do."""
    head = bytes(data[:12])
    return (
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and len(data) > 26)
    )


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of a picture, uint8 [c, h, w] or [h, w]."""
    array = np.asarray(pixels, np.uint8)
    if array.ndim == 3:
        array = array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(out, "PNG")
    return out.getvalue()


def _opened(data: bytes, max_pixels: int) -> Any:
    if _FROM_PILLOW not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = picture.size
    if width * height > max_pixels:
        picture.close()
        raise BadRowError(
            f"A picture of {width} x {height} pixels is over the limit of {max_pixels:,}.",
            hint="Make it smaller, or raise max_pixels.",
        )
    return picture


def _flat(picture: Any, mode: str) -> Any:
    """Grey or colour, without palette, transparency or more than 8 bits."""
    if picture.mode.startswith(("I;16", "I")):  # 16 bits: the upper eight
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, (255, 255, 255, 255)), above)
    return picture if picture.mode == mode else picture.convert(mode)


def _bad(data: bytes, error: Exception) -> BadRowError:
    if not data:
        return BadRowError("A picture is empty: it has no bytes.", hint="Leave the row out.")
    reason = "it is no picture" if isinstance(error, UnidentifiedImageError) else str(error)
    return BadRowError(
        f"A picture of {len(data):,} bytes cannot be read: {reason}.",
        hint="It begins with " + bytes(data[:8]).hex(" ") + "; known are PNG, JPEG, WebP, GIF, BMP and TIFF.",
    )
