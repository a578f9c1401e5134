"""A connection that has fallen silent is found by a deadline: its socket is shut, and whoever waits wakes up.

For clients written in C that neither have a deadline of their own nor tell their socket.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_OPENING = threading.Lock()
_TRIES = 3


class Silence:
    """Watches one socket; ``found`` says whether a deadline passed."""

    def __init__(self, number: int | None, deadline_s: float) -> None:
        self.number = number
        self.deadline_s = deadline_s
        self.found = False

    @contextmanager
    def limit(self) -> Iterator[None]:
        """The block ends within the deadline, or the socket is shut under it."""
        if self.number is None:
            yield
            return
        timer = threading.Timer(self.deadline_s, self._pass)
        timer.name = "orrery-silence"
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _pass(self) -> None:
        self.found = True
        self.shut()

    def shut(self) -> None:
        """Nothing more comes or goes; the number stays the client's, which closes it."""
        if self.number is None:
            return
        with suppress(OSError):
            own = socket.socket(fileno=os.dup(self.number))
            with own:
                own.shutdown(socket.SHUT_RDWR)


def opened(connect: Callable[[], T], ports: frozenset[int]) -> tuple[T, int | None]:
    """What ``connect`` gives, and the number of the socket that it opened to one of these ports.

    None where the system does not list open files, or where others keep opening such sockets meanwhile.
    """
    for attempt in range(_TRIES):
        with _OPENING:
            before = _sockets(ports)
            made = connect()
            new = _sockets(ports) - before
        if len(new) == 1:
            return made, next(iter(new))[0]
        if attempt + 1 < _TRIES and new and hasattr(made, "close"):
            made.close()
            continue
        break
    return made, None


def _sockets(ports: frozenset[int]) -> set[tuple[int, int]]:
    """The sockets of this process that are connected to these ports: their numbers and inodes."""
    found: set[tuple[int, int]] = set()
    for listing in (Path("/proc/self/fd"), Path("/dev/fd")):
        if not listing.is_dir():
            continue
        for name in os.listdir(listing):  # noqa: PTH208 - names only, as the files change under us
            with suppress(OSError):
                told = os.fstat(int(name))
                if stat.S_ISSOCK(told.st_mode) and _leads_to(int(name), ports):
                    found.add((int(name), told.st_ino))
        return found
    return found


def _leads_to(number: int, ports: frozenset[int]) -> bool:
    with socket.socket(fileno=os.dup(number)) as own:
        peer = own.getpeername()
    # A socket in the file system is named by its port: .s.PGSQL.5432
    port = peer[1] if isinstance(peer, tuple) else os.fsdecode(peer).rpartition(".")[2]
    return str(port) in map(str, ports)
