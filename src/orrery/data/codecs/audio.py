"""Sound: WAV, FLAC, OGG, MP3 and AIFF as samples of one rate; one decoder for training and for serving.

Legend: c channels, t samples in time; a sample lies between -1 and 1.
"""

from __future__ import annotations

import io
import struct
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orrery.errors import BadRowError, SettingsError
from orrery.extras import require

MAX_SAMPLES = 1 << 26
"""Sound of more samples, over all channels, is refused while it is unpacked: 64 million, 256 MiB."""

LEAST_RATE, MOST_RATE = 1_000, 768_000

_BLOCK = 1 << 16  # samples in time that are unpacked at once
_MOST_CHANNELS = 64
_STREAMED = (0, 0xFFFFFFFF)  # lengths that a writer leaves behind that could not go back to fill them in
_LAST_PAGE = 4
_UNKNOWN = 1 << 40  # samples in time; FLAC can say 2^36


class Sound(NamedTuple):
    """What a header says."""

    rate: int
    """Samples per second and channel."""
    channels: int
    samples: int
    """In time."""

    @property
    def duration_s(self) -> float:
        """In seconds."""
        return self.samples / self.rate


def is_audio(data: bytes) -> bool:
    """Whether the bytes begin as WAV, FLAC, OGG (Vorbis, Opus, FLAC), MP3 or AIFF do.

    >>> is_audio(encode(np.zeros((1, 9), np.float32), 8000)), is_audio(b"ID"), is_audio(b"RIFF")
    (True, False, False)
    """
    head = bytes(data[:64])
    riff = head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"
    aiff = head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")
    ogg = head[:4] == b"OggS" and any(name in head for name in (b"\x01vorbis", b"OpusHead", b"\x7fFLAC"))
    return riff or aiff or ogg or head[:4] == b"fLaC" or head[:3] == b"ID3" or _is_mp3(head)


def _is_mp3(head: bytes) -> bool:
    """Whether an MPEG audio frame begins here (ISO 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3


def info(data: bytes) -> Sound:
    """Rate, channels and length, from the header. Raises BadRowError."""
    with _opened(data) as file:
        return Sound(int(file.samplerate), int(file.channels), int(file.frames))


def seconds_of(data: bytes) -> float:
    """How long a sound is, from its header: nothing is unpacked, and no more than that is unpacked later.

    Raises BadRowError, also where the header does not tell.

    >>> seconds_of(encode(np.zeros((1, 4000), np.float32), 8000))
    0.5
    """
    found = info(data)
    if not 0 <= found.samples < _UNKNOWN:
        raise _bad(data, "its header does not say how long it is")
    return found.duration_s


def decode(
    data: bytes,
    *,
    rate: int,
    channels: int = 1,
    start_s: float = 0.0,
    seconds: float | None = None,
    max_samples: int = MAX_SAMPLES,
) -> NDArray[np.float32]:
    """Sound as float32 [c, t], resampled to ``rate``: mixed to one channel, or as two.

    Only what lies in ``seconds`` from ``start_s`` on is unpacked. Raises BadRowError where the bytes are no
    sound, are cut short (which MP3 does not tell), or would unpack to too many samples.
    """
    if channels not in (1, 2) or not LEAST_RATE <= rate <= MOST_RATE:
        raise SettingsError(
            f"Sound is decoded to 1 or 2 channels of {LEAST_RATE} to {MOST_RATE} samples per second, "
            f"not to {channels} of {rate}."
        )
    with _opened(data) as file:
        found = int(file.samplerate)
        most = min(max_samples // file.channels, max_samples * found // (rate * channels))
        wanted = None if seconds is None else round(seconds * found)
        if start_s:
            file.seek(min(round(start_s * found), file.frames))
        samples = _read(file, wanted, most, int(file.frames) - int(file.tell()))
    mixed = _mixed(samples, channels)
    if found != rate and len(mixed):
        mixed = require("soxr", "Resampling sound").resample(mixed, found, rate)
    return np.ascontiguousarray(mixed.T, np.float32)


def _read(file: Any, wanted: int | None, most: int, left: int) -> NDArray[np.float32]:
    """Samples [t, c], block by block, so that no header decides how much memory is taken."""
    blocks: list[NDArray[np.float32]] = []
    count = 0
    while wanted is None or count < wanted:
        block = file.read(
            _BLOCK if wanted is None else min(_BLOCK, wanted - count), "float32", always_2d=True
        )
        if not len(block):
            break
        blocks.append(block)
        count += len(block)
        if count > most:
            raise BadRowError(
                f"A sound unpacks to more than {most:,} samples in each channel.",
                hint="Cut it, read fewer seconds, or raise max_samples.",
            )
    expected = left if wanted is None else min(left, wanted)
    if count < expected and file.format != "MP3":
        raise BadRowError(f"A sound is cut short: {count:,} of {expected:,} samples are there.")
    return np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)


def _mixed(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """[t, c] with the channels asked for; of many, the first two are left and right."""
    if samples.shape[1] == channels:
        return samples
    if channels == 1:
        mean: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32, keepdims=True)
        return mean
    return np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples[:, :2]


def encode(samples: NDArray[np.float32], rate: int, form: Literal["WAV", "FLAC"] = "WAV") -> bytes:
    """Bytes of a sound, [c, t] or [t], of 16 bits."""
    out = io.BytesIO()
    array = np.atleast_2d(np.asarray(samples, np.float32)).T
    require("soundfile", "Writing sound").write(out, array, rate, format=form, subtype="PCM_16")
    return out.getvalue()


class _Bytes(io.BytesIO):
    """Bytes as a file. A damaged header makes libsndfile seek before the beginning, where nothing is."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return super().seek(0)


class _opened:  # noqa: N801  # a context manager, as a function is one
    """A sound, opened; what libsndfile says of it becomes BadRowError."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __enter__(self) -> Any:
        soundfile = require("soundfile", "Reading sound")
        self.error: type[Exception] = soundfile.LibsndfileError
        if not is_audio(self.data):
            raise _bad(self.data, "it is no sound")
        if reason := _cut_short(self.data):
            raise _bad(self.data, reason)
        try:
            self.file = soundfile.SoundFile(_Bytes(self.data))
        except (self.error, TypeError, ValueError) as error:
            raise _bad(self.data, str(error)) from None
        if not LEAST_RATE <= self.file.samplerate <= MOST_RATE or self.file.channels > _MOST_CHANNELS:
            said = f"{self.file.channels} channels of {self.file.samplerate} samples per second"
            self.file.close()
            raise _bad(self.data, f"its header says {said}")
        return self.file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.file.close()
        if kind is not None and issubclass(kind, self.error | MemoryError):
            raise _bad(self.data, str(error)) from None


def _cut_short(data: bytes) -> str:
    """What tells that bytes are missing at the end, where the decoder would say nothing."""
    if data[:4] == b"RIFF":
        at = 12
        while at + 8 <= len(data):
            name, length = struct.unpack_from("<4sI", data, at)
            if name == b"data":
                there = len(data) - at - 8
                cut = length not in _STREAMED and length > there
                return f"it is cut short: {there:,} of {length:,} bytes are there" if cut else ""
            at += 8 + length + (length & 1)
    if data[:4] == b"FORM" and 8 + int.from_bytes(data[4:8], "big") > len(data):
        return "it is cut short: fewer bytes are there than its header says"
    if data[:4] == b"OggS" and not _ogg_ends(data):
        return "it is cut short: its last page is not there"
    return ""


def _ogg_ends(data: bytes) -> bool:
    """Whether the last page is there, and whole (RFC 3533, 6)."""
    last = data.rfind(b"OggS")
    if last + 27 > len(data) or not data[last + 5] & _LAST_PAGE:
        return False
    lengths = data[last + 27 : last + 27 + data[last + 26]]
    return last + 27 + len(lengths) + sum(lengths) <= len(data) and len(lengths) == data[last + 26]


def _bad(data: bytes, reason: str) -> BadRowError:
    if not data:
        return BadRowError("A sound is empty: it has no bytes.", hint="Leave the row out.")
    return BadRowError(
        f"A sound of {len(data):,} bytes cannot be read: {reason.rstrip('.')}.",
        hint="It begins with " + bytes(data[:8]).hex(" ") + "; known are WAV, FLAC, OGG, MP3 and AIFF.",
    )
