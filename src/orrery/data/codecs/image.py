"""Pictures: one decoder for training and for serving, so that both see the same bits.

Legend: h, w in pixels; c channels (1 grey, 3 red-green-blue, 4 with transparency).
"""

from __future__ import annotations

import functools
import io
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from orrery.data.codecs import jpeg
from orrery.errors import BadRowError, OrreryError, SettingsError, listing
from orrery.extras import require

Resize = Literal["antialias", "bilinear"]
RESIZES: tuple[Resize, ...] = ("antialias", "bilinear")

MAX_PIXELS = 1 << 26
"""A picture of more pixels than this is refused before it is unpacked: 64 million, 192 MiB in colour."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# Pillow warns of each odd EXIF entry, in words that the picture chooses. Held back for Pillow alone and for
# good: to do it around each decoding would change the filters under other threads.
_FROM_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

_ROTATED = {5, 6, 7, 8}  # EXIF orientations that swap height and width
_ORIENTATION = 0x0112
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I": 1, "F": 1, "I;16B": 1, "I;16L": 1}


@dataclass(frozen=True)
class Decoding:
    """How pixels are made of bytes, beside the size; kept with a model, so that serving does the same."""

    resize: Resize = "antialias"
    """``antialias`` averages when it shrinks (Pillow); ``bilinear`` looks at four pixels only, and is many
    times faster (OpenCV, in the extra ``images``)."""
    max_pixels: int = MAX_PIXELS

    def check(self) -> None:
        """Raises SettingsError, and MissingExtraError where the package for it is not installed."""
        if self.resize not in RESIZES:
            raise SettingsError(f"resize is {self.resize!r}; allowed are {listing(RESIZES)}.")
        if self.resize == "bilinear":
            _opencv()


DEFAULT = Decoding()


def decode(
    data: bytes, *, height: int, width: int, channels: int = 3, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """A picture as uint8 [c, h, w], resized without aliasing; the rest is as :func:`decode_into` has it.

    >>> decode(encode_png(np.zeros((1, 4, 6), np.uint8)), height=2, width=3, channels=1).shape
    (1, 2, 3)
    """
    pixels = np.empty((height, width, channels), np.uint8)
    decode_into(data, pixels, settings=Decoding(max_pixels=max_pixels))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_into(data: bytes, out: NDArray[np.uint8], *, settings: Decoding = DEFAULT) -> None:
    """Fill ``out``, uint8 [h, w, c]: turned as EXIF says, resized, without more than 8 bits.

    1 channel is grey and 3 are colour, both on white; 4 keep the transparency. Threads may call it at once;
    decoding and resizing do not hold the GIL. Raises BadRowError where the bytes are no picture, are cut
    short, or would unpack to too many pixels.
    """
    mode = _MODES.get(out.shape[-1])
    if mode is None or out.ndim != 3:
        raise SettingsError(f"A picture has 1 or 3 channels, or 4, not {out.shape[-1]}.")
    try:
        pixels = _turbo(data, mode, settings.max_pixels)
        if pixels is None:
            with _opened(data, settings.max_pixels) as picture:
                pixels = np.asarray(_flat(ImageOps.exif_transpose(picture), mode), np.uint8)
        fill(pixels, out, settings.resize)
    except OrreryError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds, of the picture's own choosing
        raise _bad(data, error) from None


def _turbo(data: bytes, mode: str, max_pixels: int) -> NDArray[np.uint8] | None:
    """A plain JPEG, turned, uint8 [h, w] or [h, w, c]; None where Pillow is to be asked."""
    head = jpeg.header(data) if mode != "RGBA" else None
    if head is None or head[0] * head[1] > max_pixels:
        return None
    height, width, orientation = head
    pixels = jpeg.unpacked(data, height, width)
    if pixels is None:
        return None
    found = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    if (mode == "L" and found.ndim == 3) or (mode == "RGB" and found.ndim == 2):
        found = np.asarray(Image.fromarray(found).convert(mode))
    return np.ascontiguousarray(_TURNS[orientation](found)) if orientation > 1 else found


_TURNS: dict[int, Callable[[Any], Any]] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[:, ::-1].swapaxes(0, 1),
}
"""EXIF orientation -> how stored rows and columns become those to be seen."""


def fill(pixels: NDArray[np.uint8], out: NDArray[np.uint8], resize: Resize = "antialias") -> None:
    """Pixels, uint8 [h, w] or [h, w, c], in the size of ``out`` [h, w, c]."""
    height, width, channels = out.shape
    if pixels.shape[:2] == (height, width):
        out[...] = pixels.reshape(out.shape)
    elif resize == "bilinear":
        made = _opencv().resize(pixels, (width, height))  # its default: four neighbours, weighted
        out[...] = made.reshape(out.shape)
    else:
        made = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        out[...] = np.asarray(made).reshape(height, width, channels)


@functools.cache
def _opencv() -> Any:
    found = require("cv2", "Resizing pictures with resize='bilinear'")
    found.setNumThreads(0)  # our own threads decode side by side; a second pool would only be in their way
    return found


def size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """(height, width, channels) from the header alone. Raises BadRowError.

    >>> size(encode_png(np.zeros((3, 4, 6), np.uint8)))
    (4, 6, 3)
    """
    try:
        with _opened(data, max_pixels) as picture:
            width, height = picture.size
            # Pillow would unpack a whole PNG to look for EXIF behind the pixels, and turns a TIFF itself.
            has_exif = picture.format != "TIFF" and (picture.format != "PNG" or "exif" in picture.info)
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
    if data[:2] == b"\xff\xd8" and not jpeg.few_scans(data):
        raise BadRowError("A JPEG is unpacked over and over: it has more scans than any camera writes.")
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
    """In one mode: without palette or more than 8 bits, on white unless transparency is kept."""
    if picture.mode.startswith(("I;16", "I")):  # 16 bits: the upper eight
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if mode != "RGBA" and ("A" in picture.getbands() or "transparency" in picture.info):
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
