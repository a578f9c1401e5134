"""Where sorts and joins too large for memory lie meanwhile: a folder that nobody else may read.

Each process has its own, which it removes at its end. One that was killed could not: whoever comes next
removes what it left. It tells by a lock, which the system gives back with the process.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_NAME = "orrery-sql-"
_LOCK = "lock"
_of_process: dict[int, tuple[Path, int]] = {}
"""The folder of a process, and the lock on it: a fork has to make its own."""


def folder() -> Path:
    """A name for one database's folder, which the database makes when it needs it."""
    made = _of_process.get(os.getpid())
    if made is None or not made[0].is_dir():
        reap(Path(tempfile.gettempdir()))
        made = _of_process[os.getpid()] = _make()
        atexit.register(_remove, os.getpid())
    return made[0] / uuid4().hex


def _make() -> tuple[Path, int]:
    # Under another name until it is locked: it must not be taken for one that was left behind.
    made = Path(tempfile.mkdtemp(prefix="orrery-new-"))
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return made.rename(made.with_name(f"{_NAME}{uuid4().hex}")), lock


def reap(parent: Path) -> None:
    """Remove what processes of this user left behind that are no more."""
    for left in parent.glob(f"{_NAME}*"):
        with suppress(OSError):  # somebody else's, or gone meanwhile, or in use
            if left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(lock)


def _remove(process: int) -> None:
    if process == os.getpid() and process in _of_process:
        made, lock = _of_process.pop(process)
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)
