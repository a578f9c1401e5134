"""The picture codec: right pixels, one shape, and no harm from hostile bytes."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orrery.data.codecs.image import decode, encode_png, is_picture, size
from orrery.errors import BadRowError, SettingsError

RGB = np.random.default_rng(0).integers(0, 255, (3, 6, 9), np.uint8)


def saved(picture: Any, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is huge, and is not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0" * 99))
        + chunk(b"IEND", b"")
    )


@settings(max_examples=30, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_png_goes_round(channels: int, height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (channels, height, width), np.uint8)
    data = encode_png(pixels)
    assert is_picture(data)
    assert size(data) == (height, width, channels)
    assert (decode(data, height=height, width=width, channels=channels) == pixels).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_every_form_has_the_shape_asked_for(form: str, mode: str) -> None:
    picture = Image.fromarray(RGB.transpose(1, 2, 0)).convert(mode)
    data = saved(picture.convert("L") if form in ("JPEG", "WEBP") and mode in ("P", "1") else picture, form)
    assert is_picture(data)
    assert size(data)[:2] == (6, 9)
    for channels in (1, 3):
        pixels = decode(data, height=12, width=5, channels=channels)
        assert pixels.shape == (channels, 12, 5)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous


def test_a_turned_picture_is_turned_back() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(RGB.transpose(1, 2, 0)), "PNG", exif=exif)
    assert size(data) == (9, 6, 3)
    assert (decode(data, height=9, width=6) == np.rot90(RGB, -1, (1, 2))).all()


def test_transparency_is_white_and_sixteen_bits_are_eight() -> None:
    clear = saved(Image.new("RGBA", (2, 2), (0, 0, 0, 0)), "PNG")
    assert (decode(clear, height=2, width=2) == 255).all()
    deep = saved(Image.fromarray(np.full((2, 2), 0x8123, np.uint16)), "PNG")
    assert (decode(deep, height=2, width=2, channels=1) == 0x81).all()


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((1, 64, 64), np.uint8)
    stripes[:, :, ::2] = 255
    small = decode(encode_png(stripes), height=8, width=8, channels=1)
    assert abs(small.astype(int) - 127).max() < 20


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", encode_png(RGB)[:-80], encode_png(RGB)[:40], b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(20)],
)
def test_broken_pictures_are_bad_rows(data: bytes) -> None:
    with pytest.raises(BadRowError):
        decode(data, height=2, width=2)


@pytest.mark.parametrize("data", [bomb(100_000, 100_000), bomb(9_500, 9_500), bomb(8_200, 8_200)])
def test_pictures_that_would_fill_the_memory_are_refused(data: bytes) -> None:
    with pytest.raises(BadRowError):
        decode(data, height=2, width=2)
    with pytest.raises(BadRowError):
        size(data)


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, 400),
    value=st.integers(0, 255),
    form=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"]),
)
def test_any_damage_gives_pixels_or_a_bad_row(place: int, value: int, form: str) -> None:
    data = bytearray(saved(Image.fromarray(RGB.transpose(1, 2, 0)), form))
    data[place % len(data)] = value
    with suppress(BadRowError):
        assert decode(bytes(data), height=3, width=3).shape == (3, 3, 3)


def test_channels_are_one_or_three() -> None:
    with pytest.raises(SettingsError, match="1 or 3 channels"):
        decode(encode_png(RGB), height=1, width=1, channels=2)


def test_what_pillow_thinks_of_a_picture_reaches_no_log() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\x12\x01\x03\0\xff\0\0\0\xff\xff\0\0" * 2
    data = saved(Image.new("RGB", (4, 4)), "JPEG", exif=exif)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with suppress(BadRowError):
            decode(data, height=2, width=2)
        with suppress(BadRowError):
            size(data)
        warnings.warn("of another", UserWarning, stacklevel=1)
    assert [str(one.message) for one in said] == ["of another"]
