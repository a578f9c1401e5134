"""The body of a request: read within bounds, unpacked within bounds, understood as JSON."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import msgspec
import pyarrow as pa
from starlette.requests import Request

from orrery.errors import BadRequestError, TooLargeError
from orrery.serving.online.desk import Seat, aside

_RATIO = 16  # packed bytes may be many more
_VALUE_BYTES = 64  # what a parsed value may take: an empty object of three bytes, a number in a list
_FEW_VALUES = 1_000
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # what zlib calls each format


async def read_body(request: Request, seat: Seat) -> bytes:
    """All bytes of the body, unpacked if it was compressed.

    Raises TooLargeError, OverloadedError, and BadRequestError for an encoding that is unknown or wrong.
    """
    limit = seat.desk.limits.body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seat.desk.limits.read_s):
            body = await _arrived(request, seat, limit)
    except TimeoutError:
        raise BadRequestError(f"The body did not arrive in {seat.desk.limits.read_s:g} s.") from None
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return body
    unpacked = await aside(_RATIO * len(body), unpack, body, encoding, limit)
    seat.hold(len(unpacked))
    return unpacked


async def _arrived(request: Request, seat: Seat, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        seat.hold(len(part))
        parts.append(part)
    return b"".join(parts)


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """A compressed body, unpacked as far as ``limit`` bytes."""
    if encoding == "zstd":
        return _unpack_zstd(body, limit)
    if encoding not in _WINDOW:
        raise BadRequestError(
            f"The body's Content-Encoding is {encoding!r:.40}; the service reads gzip, deflate and zstd."
        )
    stream = zlib.decompressobj(_WINDOW[encoding])
    try:
        unpacked = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequestError(f"The body is not {encoding}: {error}.") from None
    if len(unpacked) > limit:
        raise _too_large(limit)
    if not stream.eof or stream.unused_data:
        raise BadRequestError(f"The body is cut short, or has more behind its {encoding} data.")
    return unpacked


def _unpack_zstd(body: bytes, limit: int) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            unpacked: bytes = stream.read(limit + 1)
    except (pa.ArrowException, OSError) as error:
        raise BadRequestError(f"The body is not zstd: {str(error)[:200]}.") from None
    if len(unpacked) > limit:
        raise _too_large(limit)
    return unpacked


def pack(body: bytes, encoding: str) -> bytes:
    """A body compressed as ``gzip`` or ``deflate``."""
    stream = zlib.compressobj(level=5, wbits=_WINDOW[encoding])
    return stream.compress(body) + stream.flush()


async def read_object(body: bytes, seat: Seat) -> dict[str, Any]:
    """A body's JSON object, which is no larger in memory than the service takes.

    Raises BadRequestError, TooLargeError, OverloadedError.
    """
    seat.hold(check_values(body, seat.desk.limits.values))
    return await aside(len(body), parse_object, body)


def check_values(body: bytes, limit: int) -> int:
    """The bytes that a body's JSON may take when it is parsed, beside its text. Raises TooLargeError.

    A value follows a comma or opens a bracket; those inside of text are counted too, which harms only text of
    little else.
    """
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > limit:
        raise too_many_values(limit)
    return values * _VALUE_BYTES if values > _FEW_VALUES else 0


def too_many_values(limit: int) -> TooLargeError:
    """The error of a request with more values than ``limit``."""
    return TooLargeError(
        f"The body has more than the {limit:,} values that the service takes at once.",
        hint="Send fewer rows at once.",
    )


def parse_json(body: bytes | memoryview) -> Any:
    """A JSON value. Raises BadRequestError that says where it is wrong."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise BadRequestError("The body's JSON is nested too deep.") from None


def parse_object(body: bytes | memoryview) -> dict[str, Any]:
    """A JSON object. Raises BadRequestError."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise BadRequestError(f"The body is a JSON {kind_of(value)}; an object is needed.")
    return value


def kind_of(value: object) -> str:
    """What JSON calls a value.

    >>> kind_of([1]), kind_of(None), kind_of(True)
    ('array', 'null', 'boolean')
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), type(value).__name__)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The body is larger than the {limit:,} bytes that the service takes.",
        hint="Send fewer rows at once.",
    )
