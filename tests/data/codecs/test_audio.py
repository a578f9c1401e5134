"""The sound codec: right samples at the rate asked for, and no harm from hostile bytes."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media import tone

from orrery.data.codecs.audio import MAX_SAMPLES, decode, encode, info, is_audio, seconds_of
from orrery.errors import BadRowError, SettingsError

TONE = tone(440, 0.5, 16000)
FORMS = ["WAV", "FLAC", "OGG", "MP3", "AIFF"]


def written(samples: Any, rate: int, form: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=form, subtype=subtype)
    return out.getvalue()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_every_form_is_heard_alike(form: str, rate: int) -> None:
    data = written(TONE, 16000, form)
    assert is_audio(data)
    assert info(data)[:2] == (16000, 1)
    found = decode(data, rate=rate)
    assert found.shape == (1, rate // 2) or form == "MP3"
    spectrum = np.abs(np.fft.rfft(found[0]))
    assert abs(np.argmax(spectrum) * rate / found.shape[1] - 440) < 4


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW"])
def test_every_width_is_heard_alike(subtype: str) -> None:
    found = decode(written(TONE, 16000, "WAV", subtype), rate=16000)[0][: len(TONE)]
    assert np.abs(found - TONE).max() < 0.05


def test_channels_are_mixed_or_kept() -> None:
    left, right = tone(300, 0.1), tone(500, 0.1)
    data = encode(np.stack([left, right]), 8000, "FLAC")
    assert np.abs(decode(data, rate=8000)[0] - (left + right) / 2).max() < 1e-4
    assert np.abs(decode(data, rate=8000, channels=2) - [left, right]).max() < 1e-4
    both = decode(encode(left, 8000), rate=8000, channels=2)
    assert (both[0] == both[1]).all()
    many = written(np.stack([left, right, left, right], axis=1), 8000, "WAV")
    assert np.abs(decode(many, rate=8000, channels=2) - [left, right]).max() < 1e-4


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_a_part_is_what_the_whole_has_there(form: str) -> None:
    data = written(TONE, 16000, form)
    whole = decode(data, rate=16000)
    assert (decode(data, rate=16000, start_s=0.1, seconds=0.2) == whole[:, 1600:4800]).all()
    assert decode(data, rate=16000, start_s=9.0).shape == (1, 0)
    assert decode(data, rate=16000, seconds=9.0).shape == whole.shape


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "AIFF"])
def test_a_sound_that_is_cut_short_is_a_bad_row(form: str) -> None:
    data = written(TONE, 16000, form)
    for part in (0.2, 0.5, 0.9):
        with pytest.raises(BadRowError):
            decode(data[: int(len(data) * part)], rate=16000)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"RIFF", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS" + bytes(90), b"ID3"]
)
def test_what_is_no_sound_is_a_bad_row(data: bytes) -> None:
    with pytest.raises(BadRowError):
        decode(data, rate=8000)
    with pytest.raises(BadRowError):
        info(data)


def header(rate: int, channels: int, frames: int) -> bytes:
    """A WAV that says much and has a kilobyte."""
    size = frames * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels & 0xFFFFFFFF, channels, 8)
    return b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size) + bytes(1024)


@pytest.mark.parametrize(
    "data", [header(1, 1, 1024), header(2**31, 1, 1024), header(8000, 65000, 1), header(8000, 1, 2**31)]
)
def test_absurd_headers_are_bad_rows(data: bytes) -> None:
    with pytest.raises(BadRowError):
        decode(data, rate=16000)


def test_silence_that_would_fill_the_memory_is_refused() -> None:
    data = written(np.zeros((1_200_000, 2), np.int16), 8000, "FLAC")
    assert len(data) < 60_000
    with pytest.raises(BadRowError, match="unpacks to more than"):
        decode(data, rate=8000, max_samples=1 << 20)
    with pytest.raises(BadRowError, match="unpacks to more than"):
        decode(data, rate=192_000, max_samples=1 << 24)
    assert decode(data, rate=8000, seconds=1.0, max_samples=1 << 20).shape == (1, 8000)
    assert MAX_SAMPLES * 4 <= 256 << 20


@pytest.mark.parametrize("form", FORMS)
def test_its_length_is_told_without_unpacking(form: str) -> None:
    data = written(np.tile(TONE, 20), 16000, form)
    assert seconds_of(data) == pytest.approx(10, abs=0.1)
    with pytest.raises(BadRowError):
        seconds_of(b"no sound")


def flac(samples: int) -> bytes:
    """A tone of 8,000 samples whose header tells another number (RFC 9639, 8.2)."""
    data = bytearray(written(TONE, 16000, "FLAC"))
    told = int.from_bytes(data[18:26], "big")
    data[18:26] = ((told & ~((1 << 36) - 1)) | samples).to_bytes(8, "big")
    return bytes(data)


def test_no_more_is_unpacked_than_the_header_tells() -> None:
    assert seconds_of(flac(100)) == 100 / 16000
    assert decode(flac(100), rate=16000).shape == (1, 100)
    assert seconds_of(flac(1 << 35)) > 2_000_000
    with pytest.raises(BadRowError):
        decode(flac(1 << 35), rate=16000)
    with pytest.raises(BadRowError, match="how long it is"):
        seconds_of(flac(0))


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, 4000), value=st.integers(0, 255), form=st.sampled_from(FORMS))
def test_any_damage_gives_samples_or_a_bad_row(place: int, value: int, form: str) -> None:
    data = bytearray(written(TONE[:2000], 16000, form))
    data[place % len(data)] = value
    with suppress(BadRowError):
        assert decode(bytes(data), rate=8000).dtype == np.float32


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="1 or 2 channels"):
        decode(encode(TONE, 16000), rate=16000, channels=3)
    with pytest.raises(SettingsError, match="samples per second"):
        decode(encode(TONE, 16000), rate=10)
