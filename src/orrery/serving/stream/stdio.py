"""Standard input and output, ``-``: JSON lines, CSV or one Arrow stream through a pipe of the shell.

``cat rows.jsonl | orrery stream - models:/digits -``. Dead letters are JSON lines on standard error. There is
no acknowledging: what was read from a pipe is not given again. CSV is JSON whose values are all text.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Protocol

import pyarrow as pa

from orrery.data.payloads import arrow as arrow_payload
from orrery.errors import BrokerError, SettingsError, listing
from orrery.serving.stream.broker import Letter, Message, Refused, Wiring
from orrery.serving.stream.stdio_csv import CsvRecords, CsvWriter
from orrery.serving.stream.stdio_lines import Lines, Records

_CHUNK = 1 << 16
_AHEAD_BYTES = 8 << 20


class PipeInbox:
    """Reads records from a file descriptor."""

    def __init__(self, fd: int, records: Records, name: str = "stdin") -> None:
        self.fd = fd
        self.records = records
        self.name = name
        self._ready: deque[bytes] = deque()
        self._number = 0
        self._is_over = False

    def open(self, settle: Callable[[], None]) -> None:
        """It is open."""

    def take(self, most: int, wait_s: float) -> list[Message] | None:
        """The records that are there."""
        self._fill(most, wait_s)
        found: list[Message] = []
        while self._ready and len(found) < most:
            self._number += 1
            found.append(Message(self._ready.popleft(), f"{self.name}/{self._number}"))
        return found or (None if self._is_over else [])

    def _fill(self, most: int, wait_s: float) -> None:
        end_s = time.monotonic() + wait_s
        read = 0
        while len(self._ready) < most and not self._is_over and read < _AHEAD_BYTES:
            left_s = 0.0 if self._ready else max(0.0, end_s - time.monotonic())
            if not select.select([self.fd], [], [], left_s)[0]:
                return
            chunk = os.read(self.fd, _CHUNK)
            read += len(chunk)
            self._is_over = not chunk
            self._ready += self.records.cut(chunk)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """A pipe does not care."""

    def lag(self) -> int | None:
        """A pipe does not say."""
        return None

    def close(self) -> None:
        """It is the shell's."""


class ArrowInbox(PipeInbox):
    """Reads one Arrow stream; each of its batches is a message."""

    def __init__(self, fd: int, name: str = "stdin") -> None:
        super().__init__(fd, Lines(), name)
        self._stream: Any = None

    def take(self, most: int, wait_s: float) -> list[Message] | None:
        """One batch: they are as large as whoever wrote them wanted."""
        if self._is_over:
            return None
        if not select.select([self.fd], [], [], wait_s)[0]:
            return []
        file: Any = _Whole(self.fd)
        try:
            self._stream = self._stream or pa.ipc.open_stream(pa.PythonFile(file, "r"))
            batch = self._stream.read_next_batch()
        except StopIteration:
            self._is_over = True
            return None
        except (pa.ArrowException, OSError) as error:
            raise _lasting(f"Standard input is not an Arrow stream: {error}") from None
        self._number += 1
        (value,) = arrow_payload.encode(batch)
        return [Message(value, f"{self.name}/{self._number}")]


class _Whole:
    """A file descriptor that reads as many bytes as it is asked for, and never more."""

    closed = False

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := os.read(self.fd, size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        pass


class Writer(Protocol):
    """How answers stand in a pipe."""

    def write(self, value: bytes) -> bytes:
        """What an answer is there."""

    def end(self) -> bytes:
        """What stands behind the last."""


class JsonLines:
    """An answer per line."""

    def write(self, value: bytes) -> bytes:
        """Line breaks can only be between members: within texts JSON has none."""
        return value.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"

    def end(self) -> bytes:
        """Nothing."""
        return b""


class ArrowWriter:
    """Answers as the batches of one stream."""

    def __init__(self) -> None:
        self._written = BytesIO()
        self._stream: Any = None

    def write(self, value: bytes) -> bytes:
        """The batches of an answer; before the first of all, the schema."""
        with pa.ipc.open_stream(value) as found:
            if self._stream is None:
                self._stream = pa.ipc.new_stream(self._written, found.schema)
            try:
                for batch in found:
                    self._stream.write_batch(batch)
            except pa.ArrowInvalid:
                raise _lasting("The answers have other columns than those before them.") from None
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        return taken

    def end(self) -> bytes:
        """The mark of the end."""
        if self._stream is None:
            return b""
        self._stream.close()
        self._stream = None
        return self._taken()


class PipeOutbox:
    """Writes answers to one file descriptor, and dead letters to another."""

    has_headers = False

    def __init__(self, fd: int, dead_fd: int, writer: Writer) -> None:
        self.fd = fd
        self.dead_fd = dead_fd
        self.writer = writer

    def open(self) -> None:
        """It is open."""

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Written at once, all together."""
        good = [self.writer.write(letter.value or b"null") for letter in letters if not letter.is_dead]
        _write(self.fd, b"".join(good))
        _write(self.dead_fd, b"".join((letter.value or b"") + b"\n" for letter in letters if letter.is_dead))
        return ()

    def flush(self) -> None:
        """It was."""

    def close(self) -> None:
        """Write what stands behind the last answer."""
        _write(self.fd, self.writer.end())


def _write(fd: int, data: bytes) -> None:
    """All of it. BrokenPipeError says that nobody reads any more; the command line ends well by it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _lasting(said: str) -> BrokerError:
    error = BrokerError(said)
    error.lasting = True
    return error


_WRITERS: dict[str, Callable[[], Writer]] = {"arrow": ArrowWriter, "csv": CsvWriter}
_KINDS = ("json", "csv", "arrow", "text")


def inbox(place: str, wiring: Wiring) -> PipeInbox:
    """An inbox on standard input."""
    kind = _kind(wiring.payload)
    if kind == "arrow":
        return ArrowInbox(sys.stdin.fileno())
    return PipeInbox(sys.stdin.fileno(), CsvRecords() if kind == "csv" else Lines())


def outbox(place: str, wiring: Wiring) -> PipeOutbox:
    """An outbox on standard output."""
    kind = _kind(wiring.to_payload or wiring.payload)
    return PipeOutbox(sys.stdout.fileno(), sys.stderr.fileno(), _WRITERS.get(kind, JsonLines)())


def _kind(payload: str | dict[str, Any]) -> str:
    kind = payload if isinstance(payload, str) else str(payload.get("kind"))
    if kind not in _KINDS:
        raise SettingsError(f"A pipe has no messages of {kind!r}; there are {listing(_KINDS)}.")
    return kind
