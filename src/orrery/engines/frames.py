"""Messages on a socket between our own processes: a letter, a length, then so many bytes."""

from __future__ import annotations

import socket
import struct

_HEAD = struct.Struct("<cQ")

BEAT = b"B"
"""From a worker: I am alive."""
TOLD = b"T"
"""From a worker: a value for whoever listens."""
RESULT = b"R"
"""From a worker: it has ended, with this."""
ERROR = b"E"
"""From a worker: it has failed, with this."""
STOP = b"S"
"""To a worker: end at the next good moment."""
GROW = b"g"
"""To a worker: there is room for more workers."""
HERE = b"H"
"""From a worker's keeper: I am there, on this host."""
FILE = b"f"
"""To a keeper: a file to begin with; and from a worker: a file to be kept."""
TASK = b"t"
"""To a keeper: the next piece of the task."""
START = b"G"
"""To a keeper: start the worker."""
BORN = b"N"
"""From a keeper: the worker's process, or that more rows have come for it."""
LOG = b"L"
"""From a keeper: what the worker printed."""
HALTED = b"P"
"""From a keeper: the worker's process is stopped."""
EXIT = b"X"
"""From a keeper: the worker has ended, with this exit code."""
END = b"Z"
"""To a keeper: the gang is over."""
SPAWN = b"F"
"""To the fork server: start a worker."""
WARM = b"W"
"""To the fork server: import these modules."""
KILL = b"K"
"""To the fork server: end these workers."""


def send(link: socket.socket, kind: bytes, body: bytes = b"", descriptors: list[int] | None = None) -> None:
    """One message, perhaps with open files. Raises OSError where nobody is there any more."""
    head = _HEAD.pack(kind, len(body))
    if descriptors:
        socket.send_fds(link, [head], descriptors)
        link.sendall(body)
    else:
        link.sendall(head + body)


def receive(link: socket.socket) -> tuple[bytes, bytes, list[int]] | None:
    """The next message and the open files that came with it; None once the other end is gone."""
    try:
        head, descriptors, _, _ = socket.recv_fds(link, _HEAD.size, 8)
        if not head:
            return None
        head += exactly(link, _HEAD.size - len(head))
        kind, length = _HEAD.unpack(head)
        return kind, exactly(link, length), list(descriptors)
    except OSError:  # reset, or cut off within a message
        return None


def exactly(link: socket.socket, size: int) -> bytes:
    """So many bytes. Raises OSError where fewer come."""
    parts = bytearray(size)
    view, filled = memoryview(parts), 0
    while filled < size:
        got = link.recv_into(view[filled:])
        if not got:
            raise ConnectionResetError("cut off")
        filled += got
    return bytes(parts)
