"""The video codec: frames in time, bounded, and no file or address opened for a stranger's bytes."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media import clip

from orrery.data.codecs.video import form_of, frames, info, is_video, seconds_of, spread
from orrery.errors import BadRowError, SettingsError

FORMS = {"avi": "avi", "mp4": "mp4", "mov": "mp4", "matroska": "matroska", "mpegts": "mpegts"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_its_frames(form: str) -> None:
    data = clip(200, 48, 32, 2.0, form)
    assert form_of(data) == FORMS[form]
    found = list(frames(data))
    assert len(found) == 20
    assert np.diff([frame.time_s for frame in found]) == pytest.approx(np.full(19, 0.1), abs=0.002)
    assert found[0].pixels.shape == (32, 48, 3)
    assert info(data)[:3] == (32, 48, 10.0)
    shades = spread(data, 4, height=8, width=8).mean(axis=(1, 2, 3))
    assert shades == pytest.approx([25, 75, 125, 175], abs=25)
    assert [f.time_s for f in frames(io.BytesIO(data), start=15)] == [f.time_s for f in found[15:]]


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"#EXTM3U\nfile:///etc/passwd", b"ffconcat version 1.0\nfile a.avi"]
)
def test_what_is_no_video_is_a_bad_row(data: bytes) -> None:
    assert not is_video(data)
    for ask in (info, lambda d: list(frames(d)), lambda d: spread(d, 2, height=4, width=4)):
        with pytest.raises(BadRowError):
            ask(data)


def test_a_playlist_in_disguise_opens_nothing(tmp_path: Path) -> None:
    Path("real.avi").write_bytes(clip(90))
    playlist = b"#EXTM3U\n#EXTINF:1,\n" + str(Path("real.avi").absolute()).encode() + b"\n"
    for head in (b"\0\0\0\x08ftyp", b"RIFF\0\0\0\0AVI ", b""):
        with pytest.raises(BadRowError):
            list(frames(head + playlist))


@pytest.mark.parametrize("form", ["avi", "mp4", "matroska"])
def test_a_video_that_is_cut_short_is_a_bad_row(form: str) -> None:
    data = clip(200, 48, 32, 2.0, form)
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(BadRowError):
            list(frames(data[: int(len(data) * part)]))


def test_frames_of_too_many_pixels_are_refused() -> None:
    data = clip(200, 64, 64)
    with pytest.raises(BadRowError, match="over the limit"):
        list(frames(data, max_pixels=64 * 63))
    assert len(list(frames(data, max_pixels=64 * 64))) == 10


@pytest.mark.parametrize("form", FORMS)
def test_its_length_is_told_without_decoding(form: str) -> None:
    assert seconds_of(clip(9, seconds=7.5, form=form)) == pytest.approx(7.5, abs=0.11)


@pytest.mark.parametrize("told_ms", [0.0, 1.0, 7_200_000.0])
def test_a_header_does_not_make_a_video_shorter_than_it_is(told_ms: float) -> None:
    data = bytearray(clip(9, seconds=3, form="matroska"))
    at = data.index(b"\x44\x89\x88") + 3  # the element Duration, a float (RFC 9559, 5.1.2.10)
    data[at : at + 8] = struct.pack(">d", told_ms)
    assert seconds_of(bytes(data)) == pytest.approx(max(3, told_ms / 1000), abs=0.11)


@settings(max_examples=40, deadline=None)
@given(
    place=st.integers(0, 1 << 20), value=st.integers(0, 255), form=st.sampled_from(["avi", "mp4", "matroska"])
)
def test_any_damage_gives_frames_or_a_bad_row(place: int, value: int, form: str) -> None:
    data = bytearray(clip(120, 16, 16, 0.5, form))
    data[place % len(data)] = value
    with suppress(BadRowError):
        assert all(frame.pixels.ndim == 3 for frame in frames(bytes(data)))
    with suppress(BadRowError):
        assert spread(bytes(data), 2, height=4, width=4).shape == (2, 4, 4, 3)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="frames_per_s"):
        list(frames(clip(1), frames_per_s=0.0))
