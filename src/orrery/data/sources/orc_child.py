"""The process that decodes ORC for another: damage that ends or stops the decoder ends this process only.

It opens nothing itself. Over the socket that is its standard input it is asked a question, asks for ranges
of the file's bytes, and answers with record batches in Arrow's format. A frame is a letter, a length and so
many bytes.
"""

from __future__ import annotations

import io
import json
import signal
import socket
import struct
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.orc as pyorc

QUESTION, RANGE, DATA, ROWS, DONE, FAILED = b"q", b"r", b"d", b"a", b"j", b"e"
"""Letters of frames: asked by the other side, this side's wish for bytes and the bytes, and three answers."""

_HEAD = struct.Struct("<cQ")
_BATCH_BYTES = 16 << 20


class GoneError(Exception):
    """There is nobody at the other end any more."""


def send(link: socket.socket, letter: bytes, data: Any = b"") -> None:
    """One frame. Raises GoneError."""
    try:
        link.sendall(_HEAD.pack(letter, len(data)))
        link.sendall(data)
    except OSError:
        raise GoneError from None


def receive(link: socket.socket) -> tuple[bytes, memoryview]:
    """One frame. Raises GoneError."""
    letter, size = _HEAD.unpack(_exactly(link, _HEAD.size))
    return letter, _exactly(link, size)


def _exactly(link: socket.socket, size: int) -> memoryview:
    data = memoryview(bytearray(size))
    have = 0
    while have < size:
        try:
            got = link.recv_into(data[have:])
        except OSError:
            raise GoneError from None
        if not got:
            raise GoneError
        have += got
    return data


class _Asked(io.RawIOBase):
    """A file whose bytes the other side reads."""

    def __init__(self, link: socket.socket, size_bytes: int) -> None:
        self.link = link
        self.size_bytes = size_bytes
        self.place = 0

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where to read next."""
        self.place = offset + (0, self.place, self.size_bytes)[whence]
        return self.place

    def tell(self) -> int:
        """Where the file stands."""
        return self.place

    def read(self, size: int = -1) -> bytes:
        """Bytes from there on, fewer at the end."""
        left = max(self.size_bytes - self.place, 0)
        size = left if size < 0 else min(size, left)
        send(self.link, RANGE, struct.pack("<QQ", self.place, size))
        letter, data = receive(self.link)
        assert letter == DATA
        self.place += len(data)
        return bytes(data)


def _answer(link: socket.socket, size: int, stripe: int | None, columns: list[str]) -> dict[str, Any]:
    given: Any = _Asked(link, size)
    file = pyorc.ORCFile(given)
    if stripe is None:
        send(link, ROWS, file.schema.serialize())
        return {"stripes": file.nstripes, "rows": file.nrows}
    batch = file.read_stripe(stripe, columns)
    batch.validate(full=True)
    rows = max(1, batch.num_rows * _BATCH_BYTES // max(batch.nbytes, 1))
    for start in range(0, max(batch.num_rows, 1), rows):
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, batch.schema) as stream:
            stream.write_batch(batch.slice(start, rows))
        send(link, ROWS, out.getvalue())
    return {}


def main() -> None:
    """Answer until the other side closes the socket."""
    with suppress(GoneError, KeyboardInterrupt), socket.socket(fileno=0) as link:
        _answer_all(link)


def _answer_all(link: socket.socket) -> None:
    while True:
        _, question = receive(link)
        asked = json.loads(bytes(question))
        limit_s = asked.pop("cpu_s")
        if hasattr(signal, "setitimer"):  # of processor time; the system ends what lasts longer
            signal.setitimer(signal.ITIMER_PROF, limit_s)
        try:
            send(link, DONE, json.dumps(_answer(link, **asked)).encode())
        except GoneError:
            raise
        except Exception as error:  # whatever Arrow raises, the other side tells it
            send(link, FAILED, str(error).encode())
