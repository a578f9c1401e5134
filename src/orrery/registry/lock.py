"""A lock on a folder between processes: a file that the operating system locks, and that says who holds it.

The lock goes with the process: one that is killed leaves nothing to clean up.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from orrery.errors import RegistryBusyError, RegistryError

_POLL_S = 0.02
_HOLDER_BYTES = 500

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the text, which others may then still read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path, purpose: str, wait_s: float = 10.0, *, what: str = "") -> Iterator[None]:
    """Hold the folder's lock; other processes and threads wait. Raises RegistryBusyError: who holds it.

    ``what`` is locked, as the message begins: ``The registry '.orrery/registry'``.
    """
    what = what or f"The registry {str(folder)!r}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RegistryError(
            f"{what} cannot be written: {error.strerror}.",
            hint=f"Check the permissions of {str(folder)!r}, or choose another folder.",
        ) from None
    try:
        _wait(handle, what, wait_s)
        _write_holder(handle, purpose)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, what: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            _take(handle)
            return
        except OSError:
            if time.monotonic() >= deadline:
                waited = f"; waited {wait_s:g} s" if wait_s else ""
                raise RegistryBusyError(
                    f"{what} is held by {_holder(handle)}{waited}.",
                    hint="Try again, or look at what that process does.",
                ) from None
            time.sleep(_POLL_S)


def _write_holder(handle: int, purpose: str) -> None:
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "purpose": purpose,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
    except (OSError, AttributeError):
        pass  # a full disk must not stop a delete; the name of the holder is a kindness


def _holder(handle: int) -> str:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        holder = json.loads(os.read(handle, _HOLDER_BYTES))
        return "process {pid} on {host} ({purpose}, since {since})".format(**holder)
    except (OSError, ValueError, KeyError, TypeError):
        return "another writer"
