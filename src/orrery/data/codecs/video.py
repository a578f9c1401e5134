"""Video: MP4, MOV, AVI, MKV, WebM, MPEG and OGG as frames; one decoder for training and for serving.

The kind of file is decided here, by its first bytes, and told to the decoder: a playlist, which would have
it open other files and addresses, is no video. Legend: h, w in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orrery.data.codecs import image
from orrery.errors import BadRowError, SettingsError
from orrery.extras import require

MAX_PIXELS = 1 << 25
"""Of one frame: 32 million, about 8K."""

_HEAD = 4096
_WITHIN, _WITHIN_PIXELS = 400, 1 << 29  # unpacked at most to get from a key frame to the moment looked for
_SLACK_S = 1e-6
_MOST_PACKETS = 1 << 22
_STILL = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"M4A ", b"M4B ", b"crx ")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


class Clip(NamedTuple):
    """What a header says; numbers are 0 where it says nothing."""

    height: int
    width: int
    frames_per_s: float
    duration_s: float


class Frame(NamedTuple):
    """One frame, turned as the camera was held."""

    time_s: float
    pixels: NDArray[np.uint8]  # [h, w, 3]


def form_of(head: bytes) -> str:
    """The decoder's name for a kind of file, by its first bytes; empty where it is no video.

    >>> form_of(b"RIFF....AVI LIST"), form_of(b"#EXTM3U"), form_of(bytes(4) + b"ftypisom")
    ('avi', '', 'mp4')
    """
    head = bytes(head[:_HEAD])
    if head[4:8] in _BOXES:
        return "" if head[4:8] == b"ftyp" and head[8:12] in _STILL else "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"OggS":
        return "ogg" if b"\x80theora" in head else ""
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "mpegts"
    known = {b"\x1aE\xdf\xa3": "matroska", b"\0\0\x01\xba": "mpeg", b"FLV\x01": "flv", b"0&\xb2u": "asf"}
    return known.get(head[:4], "")


def is_video(data: bytes) -> bool:
    """Whether the bytes begin as a video does."""
    return form_of(data) != ""


def info(data: bytes | BinaryIO) -> Clip:
    """Size, rate and length, from the header. Raises BadRowError."""
    with _opened(data, MAX_PIXELS) as (container, stream):
        return _clip(container, stream)


def seconds_of(data: bytes | BinaryIO) -> float:
    """How long a video is, without decoding it: what its header says, or its packets where they go on longer.

    Raises BadRowError, also where neither tells.
    """
    with _opened(data, MAX_PIXELS) as (container, stream):
        longest = _clip(container, stream).duration_s
        begin = stream.start_time
        for number, packet in enumerate(container.demux(stream)):
            if number > _MOST_PACKETS:
                raise _bad(f"it has more than {_MOST_PACKETS:,} frames")
            if packet.pts is not None:
                begin = packet.pts if begin is None else begin
                end = packet.pts + (packet.duration or 0) - begin
                longest = max(longest, float(end * packet.time_base))
    if longest <= 0:
        raise _bad("it does not say how long it is")
    return longest


def frames(
    data: bytes | BinaryIO,
    *,
    frames_per_s: float | None = None,
    key_frames: bool = False,
    start: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Frame]:
    """The frames in order of time, from number ``start`` on; one is held at a time.

    With ``frames_per_s`` the first frame at or after each of these moments, each once; with ``key_frames``
    those that stand alone, which are quick to find. Raises BadRowError, after the frames until there, where
    the rest cannot be read or is missing.
    """
    if frames_per_s is not None and not 0 < frames_per_s <= 1000:
        raise SettingsError(f"frames_per_s is {frames_per_s}; allowed is more than 0, up to 1000.")
    with _opened(data, max_pixels) as (container, stream):
        if key_frames:
            stream.codec_context.skip_frame = "NONKEY"
        taken, moment = 0, 0
        for time_s, frame in _decoded(container, stream):
            if frames_per_s is not None:
                if time_s + _SLACK_S < moment / frames_per_s:
                    continue
                moment = int((time_s + _SLACK_S) * frames_per_s) + 1
            taken += 1
            if taken > start:
                yield Frame(time_s, _pixels(frame, max_pixels))


def spread(
    data: bytes, count: int, *, height: int, width: int, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """``count`` frames, evenly spread over the video, resized: uint8 [count, h, w, 3].

    Each is looked up from the key frame before it, so a long video costs no more than a short one. Raises
    BadRowError where none can be read.
    """
    out = np.empty((count, height, width, 3), np.uint8)
    with _opened(data, max_pixels) as (container, stream):
        length = _clip(container, stream).duration_s
        last: Any = None
        for i in range(count):
            moment = length * (2 * i + 1) / (2 * count)
            last = _frame_at(container, stream, moment) or last
            if last is None:
                raise _bad("it holds no frame")
            image.fill(_pixels(last, max_pixels), out[i])
    return out


def _frame_at(container: Any, stream: Any, moment: float) -> Any:
    """The first frame at or after a moment, or the last one before it."""
    if moment > 0:
        container.seek(int(moment / stream.time_base) + (stream.start_time or 0), stream=stream)
    found = None
    most = min(_WITHIN, _WITHIN_PIXELS // max(1, stream.height * stream.width))
    for number, (time_s, frame) in enumerate(_decoded(container, stream, whole=False)):
        found = frame
        if time_s + _SLACK_S >= moment or number >= most:
            break
    return found


def _decoded(container: Any, stream: Any, whole: bool = True) -> Iterator[tuple[float, Any]]:
    """Each frame with its time from the start of the video. ``whole``: the end must be there."""
    rate = float(stream.average_rate or 25)
    begin = float(stream.start_time * stream.time_base) if stream.start_time else 0.0
    packets = number = 0
    for packet in container.demux(stream):
        packets += 1 if packet.size else 0
        for frame in packet.decode():
            time_s = number / rate if frame.pts is None else float(frame.pts * frame.time_base) - begin
            yield max(time_s, 0.0), frame
            number += 1
    if whole and packets < stream.frames:
        raise _bad(f"it is cut short: {packets:,} of {stream.frames:,} frames are there")


def _pixels(frame: Any, max_pixels: int) -> NDArray[np.uint8]:
    if frame.width * frame.height > max_pixels:
        raise _bad(f"a frame of {frame.width} x {frame.height} pixels is over the limit of {max_pixels:,}")
    found: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(found, turns)) if turns else found


def _clip(container: Any, stream: Any) -> Clip:
    if stream.duration is not None:
        length = float(stream.duration * stream.time_base)
    else:
        length = (container.duration or 0) / 1_000_000
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return Clip(stream.height, stream.width, rate, max(length, 0.0))


@contextmanager
def _opened(data: bytes | BinaryIO, max_pixels: int) -> Iterator[tuple[Any, Any]]:
    """Container and first video stream; what FFmpeg says of them becomes BadRowError."""
    av = require("av", "Reading video")
    file = io.BytesIO(data) if isinstance(data, bytes | bytearray | memoryview) else data
    head = file.read(_HEAD)
    form = form_of(head)
    if not form:
        raise _bad("it has no bytes" if not head else f"it is no video; it begins with {head[:8].hex(' ')}")
    if missing := _missing_bytes(head, file.seek(0, io.SEEK_END)):
        cut = f"it is cut short: {missing:,} bytes are missing at its end"
    file.seek(0)
    try:
        options = {"protocol_whitelist": ""}
        with av.open(file, format=form, options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise _bad("it holds no pictures")
            stream = container.streams.video[0]
            context = stream.codec_context
            if context is None or context.width * context.height > max_pixels:
                raise _bad(f"its frames are over the limit of {max_pixels:,} pixels, or of an unknown codec")
            # Decoders count their margins too; the frame itself is looked at again.
            context.options = {**context.options, "max_pixels": str(4 * max_pixels + (1 << 18))}
            context.thread_count = 1  # our own threads decode side by side
            yield container, stream
            if missing:
                raise _bad(cut)
    except av.error.FFmpegError as error:
        raise _bad(str(error.strerror or error)) from None


def _missing_bytes(head: bytes, size: int) -> int:
    """How many bytes a Matroska file lacks (RFC 8794 and 9559: header, then one segment of a said size)."""
    if head[:4] != b"\x1aE\xdf\xa3":
        return 0
    length, at = _number(head, 4)
    if length is None or head[at + length : at + length + 4] != b"\x18S\x80g":
        return 0
    length, begin = _number(head, at + length + 4)
    return max(0, begin + length - size) if length is not None else 0


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """A number of variable length, None where it is unknown, and where it ends."""
    first = data[at] if at < len(data) else 0
    if not first:
        return None, at
    width = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def _bad(reason: str) -> BadRowError:
    return BadRowError(
        f"A video cannot be read: {reason}.", hint="Known are MP4, MOV, AVI, MKV, WebM, MPEG and OGG."
    )
