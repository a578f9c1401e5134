"""A gang on this machine: started all together, watched, and ended all together.

One thread of the driver watches. It knows of each worker by its socket (heartbeats, messages, the result)
and by its exit status, which the fork server tells; so nothing that a worker does, or no longer does, is
waited for without end.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from orrery.data.passes import Cancelled, cores
from orrery.engines import frames, freight
from orrery.engines.forks import FORKS
from orrery.engines.job import Gang
from orrery.engines.keeper import is_halted
from orrery.engines.lives import Berth, lives, most
from orrery.engines.worker import Failure
from orrery.errors import DeadlineError, OrreryError, WorkerError

_WATCH_S = 0.1
_BLAME_S = 0.5  # after a first failure, to learn whether another was its cause
_END_S = 5.0  # for workers to be gone
_LOG_LINES = 20
_ROOM_S = 1.0  # between two looks for room for more workers


@dataclass
class Limits:
    """How long to wait for what, in seconds."""

    start_s: float = 120.0
    """Until every worker is there."""
    silence_s: float = 60.0
    """Without a heartbeat; a worker that does one thing for long without Python may be silent for a while."""
    stopped_s: float = 3.0
    """Without a heartbeat, where the system says that the process is stopped."""


@dataclass
class Seat:
    """What the driver knows of one worker."""

    rank: int
    pid: int
    link: socket.socket
    status: int
    """Where the fork server writes its exit status."""
    began: float = field(default_factory=time.monotonic)
    heard: float = 0.0
    """When it was last heard of; 0 before the first time."""
    done: bool = False
    result: Any = None
    failure: Failure | None = None
    failed_at: float = 0.0
    exit: int | None = None
    host: str = field(default_factory=socket.gethostname)

    @property
    def lost(self) -> bool:
        """Whether it ended without a word."""
        return self.exit is not None and not self.done and self.failure is None


def run_gang(gang: Gang, stop: threading.Event, limits: Limits, berth: Berth) -> list[Any]:
    """What every worker returned. Raises the first worker's error, WorkerError, DeadlineError, Cancelled."""
    return lives(gang, lambda crew, task: Life(crew, limits, task, berth.room).run(stop), berth)


class Life:
    """One life of a gang. ``room``: how many workers it could have now, where that may change."""

    def __init__(
        self, gang: Gang, limits: Limits, task: IO[bytes], room: Callable[[], int] | None = None
    ) -> None:
        self.gang = gang
        self.limits = limits
        self.task = task
        self.room = room if gang.workers < most(gang) else None
        self._ask_room = 0.0
        self.seats: list[Seat] = []
        self.selector = selectors.DefaultSelector()

    def run(self, stop: threading.Event) -> list[Any]:
        """What every worker returned."""
        FORKS.warm(self.gang.warm)
        scratch = Path(tempfile.mkdtemp(prefix="orrery-gang-"))
        try:
            for rank in range(self.gang.workers):
                self._start(rank, scratch)
            self._watch(stop)
            return [seat.result for seat in self.seats]
        finally:
            self._end()
            shutil.rmtree(scratch, ignore_errors=True)

    def _start(self, rank: int, scratch: Path) -> None:
        ours, theirs = socket.socketpair()
        told, status = os.pipe()
        logs = self.gang.logs or scratch
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"rank-{rank}.log").open("ab") as log, theirs:
            try:
                handed = [theirs.fileno(), log.fileno(), self.task.fileno(), status]
                pid = FORKS.spawn(self._asked(rank, scratch), handed)
            finally:
                os.close(status)
        ours.settimeout(self.limits.silence_s)  # one that stops in the middle of a word
        seat = Seat(rank, pid, ours, told)
        self.seats.append(seat)
        self.selector.register(ours, selectors.EVENT_READ, (seat, self._hear))
        self.selector.register(told, selectors.EVENT_READ, (seat, self._bury))

    def _asked(self, rank: int, scratch: Path) -> dict[str, Any]:
        temporary = scratch / "tmp"
        temporary.mkdir(exist_ok=True)
        member = {
            "rank": rank,
            "size": self.gang.workers,
            "host": socket.gethostname(),
            "local_rank": rank,
            "meeting": (scratch / "meeting").as_uri(),
            "scratch": str(scratch),
        }
        return {
            "member": member,
            "scratch": str(scratch),
            "env": {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "TMPDIR": str(temporary)},
            "path": sys.path,
            "folder": str(Path.cwd()),
            "threads": max(1, cores() // self.gang.workers),
        }

    def _watch(self, stop: threading.Event) -> None:
        until = None if self.gang.deadline_s is None else time.monotonic() + self.gang.deadline_s
        looked = time.monotonic()
        while not all(seat.done for seat in self.seats):
            if stop.is_set():
                raise Cancelled
            for key, _ in self.selector.select(_WATCH_S):
                seat, act = key.data
                act(seat)
            self._check_failed()
            self._check_room()
            if time.monotonic() < looked + 1:  # else it was this side that did not listen
                self._check_silent()
            looked = time.monotonic()
            if until is not None and time.monotonic() > until:
                raise DeadlineError(
                    f"The gang was not done after {self.gang.deadline_s} s: {self._missing()} of "
                    f"{self.gang.workers} had not ended.",
                    hint="Give it a later deadline, or less to do.",
                )

    def _hear(self, seat: Seat) -> None:
        message = frames.receive(seat.link)
        if message is None:
            self.selector.unregister(seat.link)
            return
        seat.heard = time.monotonic()
        kind, body, _ = message
        if kind == frames.RESULT:
            seat.result, seat.done = freight.unpack(body), True
        elif kind == frames.ERROR:
            seat.failure, seat.failed_at = freight.unpack(body), seat.heard
        elif kind == frames.TOLD and self._listen(seat, body) == "stop":
            self._say(seat, frames.STOP)

    def _say(self, seat: Seat, kind: bytes) -> None:
        with contextlib.suppress(OSError):
            frames.send(seat.link, kind)

    def _listen(self, seat: Seat, body: bytes) -> object:
        return None if self.gang.listen is None else self.gang.listen(seat.rank, freight.unpack(body))

    def _bury(self, seat: Seat) -> None:
        """It has ended: what it had said before, then how it ended."""
        while seat.link in self.selector.get_map():
            self._hear(seat)
        self._note_exit(seat)

    def _note_exit(self, seat: Seat) -> None:
        """The exit status, or the end of the fork server."""
        told = os.read(seat.status, 4)
        seat.exit = struct.unpack("<i", told)[0] if len(told) == 4 else -signal.SIGKILL
        seat.failed_at = seat.failed_at or time.monotonic()
        self.selector.unregister(seat.status)

    def _check_failed(self) -> None:
        failed = [seat for seat in self.seats if seat.lost or seat.failure is not None]
        if not failed:
            return
        first = min(seat.failed_at for seat in failed)
        lost = [seat for seat in failed if seat.lost]
        if not lost and len(failed) < len(self.seats) and time.monotonic() < first + _BLAME_S:
            return
        seat = min(lost or failed, key=lambda seat: (_follows(seat), seat.failed_at))
        raise self._lost(seat, self._died(seat)) if seat.lost else self._failed(seat)

    def _check_room(self) -> None:
        """Tell all, once, that more workers could join."""
        if self.room is None or time.monotonic() < self._ask_room:
            return
        self._ask_room = time.monotonic() + _ROOM_S
        if self.room() > self.gang.workers:
            self.room = None
            for seat in self.seats:
                self._say(seat, frames.GROW)

    def _check_silent(self) -> None:
        now = time.monotonic()
        for seat in self.seats:
            if seat.done or seat.exit is not None:
                continue
            silent_s = now - (seat.heard or seat.began)
            if not seat.heard and silent_s > self.limits.start_s:
                raise DeadlineError(
                    f"After {silent_s:.0f} s {self._missing()} of {self.gang.workers} had not started."
                )
            if silent_s > self.limits.stopped_s and self._is_halted(seat):
                raise self._lost(seat, f"is stopped, and silent for {silent_s:.1f} s")
            if seat.heard and silent_s > self.limits.silence_s:
                raise self._lost(seat, f"has been silent for {silent_s:.1f} s")

    def _missing(self) -> str:
        missing = [str(seat.rank) for seat in self.seats if not seat.done]
        return f"worker{'s' if len(missing) > 1 else ''} {', '.join(missing)}"

    def _lost(self, seat: Seat, why: str) -> WorkerError:
        tail = self._tail(seat.rank)
        message = f"Worker {seat.rank} of {self.gang.workers} on {seat.host} (process {seat.pid}) {why}."
        error = WorkerError(message + (f" It last printed:\n{tail}\n" if tail else ""))
        error.rank, error.host, error.lost = seat.rank, seat.host, True
        error.gone = max(1, sum(other.lost for other in self.seats))
        return error

    def _failed(self, seat: Seat) -> BaseException:
        """The worker's own error where Orrery raised it; any other with its traceback."""
        failure = seat.failure
        assert failure is not None
        where = f"worker {seat.rank} of {self.gang.workers} on {seat.host}"
        error = WorkerError(f"{where.capitalize()} failed: {failure.told}\n{failure.traceback}")
        error.rank, error.host = seat.rank, seat.host
        if isinstance(failure.error, OrreryError):
            failure.error.add_note(f"in {where}:\n{failure.traceback}")
            return failure.error
        error.__cause__ = failure.error
        return error

    def _tail(self, rank: int) -> str:
        if self.gang.logs is None:
            return ""
        try:
            text = (self.gang.logs / f"rank-{rank}.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_LOG_LINES:])

    def _died(self, seat: Seat) -> str:
        assert seat.exit is not None
        if seat.exit < 0:
            name = signal.Signals(-seat.exit).name
            more = "; the system kills what takes too much memory" if name == "SIGKILL" else ""
            return f"was killed by {name}{more}"
        return f"ended by itself with exit code {seat.exit}"

    def _is_halted(self, seat: Seat) -> bool:
        return is_halted(seat.pid)

    def _end(self) -> None:
        """Nobody of the gang is left afterwards."""
        until = time.monotonic() + (_END_S if all(seat.done for seat in self.seats) else 0.0)
        while any(seat.exit is None for seat in self.seats):
            if time.monotonic() >= until:
                FORKS.kill([seat.pid for seat in self.seats if seat.exit is None])
                until = time.monotonic() + _END_S
            for key, _ in self.selector.select(_WATCH_S):
                seat, _ = key.data
                if key.fileobj == seat.status:
                    self._note_exit(seat)
                elif frames.receive(seat.link) is None:
                    self.selector.unregister(seat.link)
        for seat in self.seats:
            seat.link.close()
            os.close(seat.status)
        self.selector.close()


def _follows(seat: Seat) -> bool:
    """Whether a failure looks like the consequence of another's: a lost connection."""
    told = seat.failure.told.lower() if seat.failure is not None else ""
    return any(sign in told for sign in ("connection closed", "connection reset", "broken pipe", "timed out"))
