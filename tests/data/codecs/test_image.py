"""The picture codec: right pixels, one shape, and no harm from hostile bytes."""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from orrery.data.codecs import image, jpeg
from orrery.data.codecs.image import Decoding, decode, decode_into, encode_png, is_picture, size
from orrery.errors import BadRowError, MissingExtraError, SettingsError

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


def jpegs() -> list[tuple[str, bytes]]:
    """Every kind of JPEG that cameras and encoders write, of even and odd sizes."""
    chance = np.random.default_rng(3)
    found = []
    for height, width in ((1, 1), (7, 5), (16, 16), (33, 47), (70, 129)):
        grain = chance.normal(0, 20, (height, width, 3))
        smooth = Image.fromarray(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height))
        colour = Image.fromarray(np.clip(np.asarray(smooth, float) + grain, 0, 255).astype(np.uint8))
        for progressive, quality in ((False, 50), (True, 50), (False, 95), (True, 95)):
            options = {"progressive": progressive, "quality": quality}
            found.append((f"grey {height}", saved(colour.convert("L"), "JPEG", **options)))
            found += [
                (f"{s} {height} {progressive}", saved(colour, "JPEG", subsampling=s, **options))
                for s in (0, 1, 2)
            ]
        simplejpeg = pytest.importorskip("simplejpeg")
        for sampling in ("440", "411"):
            pixels = np.ascontiguousarray(colour)
            found.append((sampling, simplejpeg.encode_jpeg(pixels, 85, colorsubsampling=sampling)))
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_both_jpeg_decoders_give_the_same_bits(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = jpegs()
    assert jpeg.unpacked(cases[-1][1], 70, 129) is not None
    fast = [decode(data, height=20, width=30, channels=channels) for _, data in cases]
    monkeypatch.setattr(jpeg, "unpacked", lambda data, height, width: None)
    slow = [decode(data, height=20, width=30, channels=channels) for _, data in cases]
    assert [name for (name, _), a, b in zip(cases, fast, slow, strict=True) if (a != b).any()] == []


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_orientation_is_what_pillow_makes_of_it(form: str, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a picture"
    data = saved(Image.fromarray(RGB.transpose(1, 2, 0)).convert(mode), form, exif=exif)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    width, height = turned.size
    assert (decode(data, height=height, width=width).transpose(1, 2, 0) == np.asarray(turned)).all()
    assert size(data)[:2] == (height, width)


def test_the_fast_header_says_what_pillow_says_or_nothing() -> None:
    for order in "<", ">":
        for kind, count, value in [(3, 1, 6), (3, 1, 9), (4, 1, 6), (3, 2, 6), (3, 1, 0)]:
            entry = struct.pack(f"{order}HHIHH", 0x0112, kind, count, value, 0)
            mark = b"II*\0" if order == "<" else b"MM\0*"
            tiff = mark + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)
            data = saved(Image.new("RGB", (6, 4)), "JPEG", exif=b"Exif\0\0" + tiff)
            found = jpeg.header(data)
            turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            if found is not None:
                assert (found[2] > 4) == (turned.size == (4, 6))
            assert size(data)[:2] == turned.size[::-1]


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 2000), cut=st.integers(1, 2000), value=st.integers(0, 255))
def test_a_damaged_jpeg_is_the_same_to_both_decoders(place: int, cut: int, value: int) -> None:
    data = bytearray(saved(Image.fromarray(np.tile(RGB.transpose(1, 2, 0), (4, 3, 1))), "JPEG"))
    data[place % len(data)] = value
    damaged = bytes(data[: max(cut, 2)] if cut % 2 else data)
    with pytest.MonkeyPatch.context() as patch:
        found = outcome(damaged)
        patch.setattr(jpeg, "unpacked", lambda data, height, width: None)
        assert outcome(damaged) == found


def outcome(data: bytes) -> bytes | str:
    try:
        return decode(data, height=6, width=7).tobytes()
    except BadRowError:
        return "bad"


def test_bilinear_is_opencv_and_keeps_the_size() -> None:
    cv2 = pytest.importorskip("cv2")
    out = np.empty((3, 5, 3), np.uint8)
    decode_into(encode_png(RGB), out, settings=Decoding("bilinear"))
    assert (out == cv2.resize(np.ascontiguousarray(RGB.transpose(1, 2, 0)), (5, 3))).all()
    same = np.empty((6, 9, 3), np.uint8)
    decode_into(encode_png(RGB), same, settings=Decoding("bilinear"))
    assert (same.transpose(2, 0, 1) == RGB).all()
    grey = np.empty((3, 4, 1), np.uint8)
    decode_into(encode_png(RGB[:1]), grey, settings=Decoding("bilinear"))
    assert grey.max() > 0


def test_a_way_to_resize_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="allowed are"):
        Decoding("cubic").check()  # type: ignore[arg-type]
    image._opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="orrery-ml\\[images\\]"):
        Decoding("bilinear").check()


def test_four_channels_keep_transparency() -> None:
    clear = saved(Image.new("RGBA", (2, 2), (9, 8, 7, 6)), "PNG")
    assert (decode(clear, height=2, width=2, channels=4)[:, 0, 0] == [9, 8, 7, 6]).all()
    assert (decode(encode_png(RGB), height=6, width=9, channels=4)[3] == 255).all()


def test_a_part_of_a_batch_is_filled_and_nothing_else() -> None:
    batch = np.full((3, 4, 4, 3), 77, np.uint8)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda i: decode_into(jpegs()[i][1], batch[i]), range(2)))
    assert (batch[2] == 77).all()
    assert (batch[0] == decode(jpegs()[0][1], height=4, width=4).transpose(1, 2, 0)).all()


def test_a_jpeg_of_endless_scans_is_a_bad_row() -> None:
    data = saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    end = data.index(b"\xff", start + 4)
    with pytest.raises(BadRowError, match="scans"):
        decode(data[:start] + data[start:end] * 9_000 + data[end:], height=2, width=2)
