"""Decoding ORC in another process: it has no checksums, and damage may end or stop Arrow's decoder."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from orrery.data.sources.orc_child import DATA, DONE, QUESTION, RANGE, ROWS, GoneError, receive, send
from orrery.errors import SourceError

CPU_S = 120.0
"""Processor time after which a decoder that is still at one stripe is taken to hang."""

_COMMAND = "from orrery.data.sources.orc_child import main; main()"


class Reader:
    """One such process, and the socket to it."""

    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket) -> None:
        self.process = process
        self.link = link
        self.owner = os.getpid()
        self.bytes_read = 0
        self.is_free = True

    @classmethod
    def start(cls) -> Reader:
        """A new one, of this Python and its packages."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )
        return cls(process, ours)

    def ask(self, file: Any, stripe: int | None = None, columns: Sequence[str] = ()) -> Iterator[Any]:
        """The file's schema, then what else its end tells; or the rows of a stripe, in batches.

        Until the last of it was taken the process is not free for another question. Raises ValueError where
        the decoder says no, and where it ends or hangs.
        """
        size = file.seek(0, 2)
        question = {"size": size, "stripe": stripe, "columns": list(columns), "cpu_s": CPU_S}
        self.is_free = False
        try:
            send(self.link, QUESTION, json.dumps(question).encode())
            while True:
                letter, data = receive(self.link)
                if letter == RANGE:
                    self._serve(file, data)
                elif letter == ROWS and stripe is None:
                    yield pa.ipc.read_schema(pa.py_buffer(data))
                elif letter == ROWS:
                    yield from pa.ipc.open_stream(pa.py_buffer(data))
                elif letter == DONE:
                    self.is_free = True
                    yield from [json.loads(bytes(data))] if stripe is None else []
                    return
                else:
                    self.is_free = True
                    raise ValueError(bytes(data).decode(errors="replace").strip())
        except GoneError:
            part = "its end" if stripe is None else f"stripe {stripe}"
            raise ValueError(f"{part} {self._ended()}") from None

    def _serve(self, file: Any, wanted: memoryview) -> None:
        offset, size = struct.unpack("<QQ", wanted)
        file.seek(offset)
        data = file.read(size)
        self.bytes_read += len(data)
        send(self.link, DATA, data)

    def _ended(self) -> str:
        """What became of the process, in words."""
        code = self.process.wait()
        if code == -getattr(signal, "SIGPROF", 0):
            return f"kept the decoder busy for more than {CPU_S:g} s"
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"made the decoder crash ({how})"

    def close(self) -> None:
        """End the process, if it is this one's."""
        self.link.close()
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()


class Readers:
    """The processes of one source: as many as read at once, kept until the source is gone."""

    def __init__(self) -> None:
        self._idle: list[Reader] = []
        weakref.finalize(self, _close, self._idle)

    def __reduce__(self) -> tuple[type[Readers], tuple[()]]:
        return Readers, ()

    @contextmanager
    def one(self) -> Iterator[Reader]:
        """One that nobody else uses; it is kept for the next, but ended where it was not heard out."""
        reader = self._kept() or _started()
        try:
            yield reader
        finally:
            if reader.is_free:
                self._idle.append(reader)
            else:
                reader.close()

    def _kept(self) -> Reader | None:
        with suppress(IndexError):
            while (reader := self._idle.pop()).owner != os.getpid() or reader.process.poll() is not None:
                reader.close()
            return reader
        return None


def _started() -> Reader:
    try:
        return Reader.start()
    except OSError as error:
        raise SourceError(f"The process that decodes ORC cannot be started: {error}.") from None


def _close(readers: list[Reader]) -> None:
    while readers:
        readers.pop().close()
