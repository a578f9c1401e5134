"""Inside a worker of a gang: its link to whoever started it, its heartbeat, its task."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orrery.engines import frames, freight
from orrery.engines.engine import Member
from orrery.errors import EngineError, WorkerError

BEAT_S = 0.5


class SocketLink:
    """One worker's end of the socket to the driver. A thread beats, and hears what the driver says."""

    def __init__(self, link: socket.socket) -> None:
        self.socket = link
        self._sending = threading.Lock()
        self._stop = threading.Event()
        self._grow = threading.Event()

    def start(self) -> None:
        """Begin to beat."""
        frames.send(self.socket, frames.BEAT)
        threading.Thread(target=self._beat, name="orrery-heartbeat", daemon=True).start()

    def tell(self, value: object) -> None:
        """A value for whoever listens at the driver."""
        self.send(frames.TOLD, freight.pack(value))

    @property
    def stopped(self) -> bool:
        """Whether the driver asked to end."""
        return self._stop.is_set()

    @property
    def growing(self) -> bool:
        """Whether there is room for more workers."""
        return self._grow.is_set()

    def keep(self, path: Path, needs: Sequence[str] = ()) -> None:
        """A file, and the names of those that have to be there before it."""
        head = json.dumps({"name": path.name, "needs": list(needs)}).encode()
        self.send(frames.FILE, head + b"\n" + path.read_bytes())

    def send(self, kind: bytes, body: bytes = b"") -> None:
        """One message."""
        with self._sending:
            frames.send(self.socket, kind, body)

    def _beat(self) -> None:
        while True:
            if not select.select([self.socket], [], [], BEAT_S)[0]:
                with contextlib.suppress(OSError):
                    self.send(frames.BEAT)
                continue
            message = frames.receive(self.socket)
            if message is None:  # nobody is left to work for
                os._exit(1)
            if message[0] == frames.STOP:
                self._stop.set()
            elif message[0] == frames.GROW:
                self._grow.set()


@dataclass(frozen=True)
class Failure:
    """What a worker tells of its end: the error, where it can travel, and its traceback."""

    error: BaseException | None
    told: str
    """``Type: message``."""
    traceback: str


def main(asked: dict[str, Any], link: int, log: int, task: int) -> int:
    """Be a worker: ``asked`` says which, the rest are open files. Gives the exit code."""
    _dress(asked, log)
    end = SocketLink(socket.socket(fileno=link))
    end.start()
    place = asked["member"]
    paths = {name: Path(place[name]) for name in ("scratch", "folder") if name in place}
    lists = {name: tuple(place.get(name, ())) for name in ("places", "addresses")}
    member = Member(**{**place, **paths, **lists, "link": end})
    code = 0
    try:
        work = freight.unload(task)
        end.send(frames.RESULT, _packed(work(member), member.rank))
    except BaseException as error:  # carried to the driver, also an exit or an interrupt
        if not isinstance(error, WorkerError):  # which is of a command that has printed its own
            traceback.print_exc()
        code = 1
        with contextlib.suppress(OSError):
            end.send(frames.ERROR, _failure(error))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code


def _dress(asked: dict[str, Any], log: int) -> None:
    """Environment, folder, paths and streams as the driver has them."""
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[:] = asked["path"]
    with contextlib.suppress(OSError):  # the folder may be gone
        os.chdir(asked["folder"])
    with open(os.devnull) as nothing:  # noqa: PTH123 # a descriptor is all that is wanted
        os.dup2(nothing.fileno(), 0)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    tempfile.tempdir = None  # to be found anew: the gang's own folder
    random.seed()  # forked workers would all draw the same
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(asked["threads"])


def _packed(result: object, rank: int) -> bytes:
    """What a task returned. Raises EngineError that says whose it was, where it cannot travel."""
    try:
        return freight.pack(result)
    except Exception as error:
        reason = str(error.__context__ or error) if isinstance(error, EngineError) else str(error)
        raise EngineError(
            f"What worker {rank} returned, a {type(result).__name__}, cannot be sent back: {reason}.",
            hint="Return plain values, arrays or tensors; write files and return their paths.",
        ) from None


def _failure(error: BaseException) -> bytes:
    told = f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    try:
        packed = freight.pack(Failure(error, told, text))
        freight.unpack(packed)  # some errors pack, and cannot be unpacked
    except Exception:
        packed = freight.pack(Failure(None, told, text))
    return packed
