"""A gang whose workers are kept elsewhere: the driver's end.

The engine's own job runs one keeper for each worker; they call back here. What one of them says is believed
only once it has shown the gang's token, see :mod:`orrery.engines.link`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import selectors
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

from orrery.data.passes import Cancelled
from orrery.engines import frames, freight
from orrery.engines.gang import Life, Limits, Seat
from orrery.engines.job import Gang
from orrery.engines.keeper import Post
from orrery.engines.link import Listener, Sealed
from orrery.errors import DeadlineError, EngineError, OrreryError, WorkerError

_PIECE_BYTES = 16 << 20
_WATCH_S = 0.1
_TELL_S = 5.0  # for the cluster to say why a keeper is gone
_END_S = 10.0
_LAST_S = 0.5  # for what a keeper printed at its end
_KEPT = re.compile(r"checkpoint[\w-]*\.safetensors")


class Keepers(Protocol):
    """The engine's own job, whose tasks are keepers."""

    def failed(self) -> OrreryError | None:
        """Why it has ended by itself; None while it runs. ``lost``: a machine went, the work was sound."""

    def end(self, wait_s: float) -> None:
        """Wait so long for it to end by itself, then cancel it; nothing of it is left."""


class RemoteLife(Life):
    """One life of a gang elsewhere. ``host``: where keepers reach this machine; ``bind``: what we listen on.

    ``launch`` starts the engine's job of keepers.
    """

    def __init__(
        self,
        gang: Gang,
        limits: Limits,
        task: IO[bytes],
        launch: Callable[[Post], Keepers],
        host: str,
        bind: str,
        room: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(gang, limits, task, room)
        self.launch = launch
        self.host = host
        self.bind = bind
        self.links: dict[int, Sealed] = {}
        self.here: dict[int, dict[str, Any]] = {}
        self.halted: set[int] = set()
        self.gone: set[int] = set()
        self.held: list[tuple[list[str], str, bytes]] = []
        self.keepers: Keepers | None = None

    def run(self, stop: threading.Event) -> list[Any]:
        """What every worker returned."""
        token = secrets.token_bytes(32)
        try:
            with Listener(self.bind, token, self.gang.workers) as door:
                self.keepers = self.launch(Post(self.host, door.address[1], token, uuid.uuid4().hex))
                self._welcome(door, stop)
            self._begin()
            self._watch(stop)
            return [seat.result for seat in self.seats]
        finally:
            self._end()

    def _welcome(self, door: Listener, stop: threading.Event) -> None:
        """All keepers, by rank. How long the first takes, with rows to make, nobody knows."""
        began = time.monotonic()
        while len(self.seats) < self.gang.workers:
            if stop.is_set():
                raise Cancelled
            assert self.keepers is not None
            if (error := self.keepers.failed()) is not None:
                raise self._unborn(error)
            with contextlib.suppress(queue.Empty):
                self._take_in(*door.callers.get(timeout=_WATCH_S))
                began = began if len(self.seats) > 1 else time.monotonic()
            waited_s = time.monotonic() - began
            if waited_s > self.limits.start_s and (self.seats or self.gang.rows is None):
                missing = ", ".join(map(str, self._absent()))
                raise DeadlineError(
                    f"After {waited_s:.0f} s worker {missing} of {self.gang.workers} had not called back to "
                    f"{self.host}:{door.address[1]}.",
                    hint="The cluster's machines must reach this one by that address; on Spark, "
                    "spark.driver.host says which.",
                )
        self.seats.sort(key=lambda seat: seat.rank)

    def _absent(self) -> list[int]:
        known = {seat.rank for seat in self.seats}
        return [rank for rank in range(self.gang.workers) if rank not in known]

    def _unborn(self, error: OrreryError) -> OrreryError:
        """A machine that went before its worker began counts as a worker that was lost."""
        if not getattr(error, "lost", False):
            return error
        lost = WorkerError(
            f"Before all {self.gang.workers} workers were there, one was lost. {error.message}"
        )
        lost.rank, lost.lost = min(self._absent(), default=0), True
        return lost

    def _take_in(self, rank: int, link: Sealed) -> None:
        message = link.receive()
        if message is None or message[0] != frames.HERE:
            link.close()
            return
        here = json.loads(message[1])
        link.socket.settimeout(self.limits.silence_s)  # one that stops in the middle of a word
        self.links[rank], self.here[rank] = link, here
        seat = Seat(rank, 0, link.socket, -1, host=str(here["host"]))
        self.seats.append(seat)
        self.selector.register(link.socket, selectors.EVENT_READ, (seat, self._hear))

    def _begin(self) -> None:
        """Send each keeper its task, and what lies in the gang's folder."""
        places = [self.here[seat.rank]["place"] for seat in self.seats]
        numbers = {place: number for number, place in enumerate(dict.fromkeys(places))}
        for seat in self.seats:
            link, place = self.links[seat.rank], places[seat.rank]
            with contextlib.suppress(OSError):  # one that has gone is seen when it is heard
                for path in sorted(self.gang.folder.glob("checkpoint*")) if self.gang.folder else ():
                    if _KEPT.fullmatch(path.name):
                        head = json.dumps({"name": path.name}).encode()
                        link.send(frames.FILE, head + b"\n" + path.read_bytes())
                at = 0
                while piece := os.pread(self.task.fileno(), _PIECE_BYTES, at):
                    link.send(frames.TASK, piece)
                    at += len(piece)
                asked = {
                    "member": self._member(seat, places, [numbers[each] for each in places]),
                    "warm": list(self.gang.warm),
                    "path": sys.path,
                    "folder": str(Path.cwd()),
                    "neighbours": places.count(place),
                }
                link.send(frames.START, json.dumps(asked).encode())
            seat.began = time.monotonic()

    def _member(self, seat: Seat, places: list[str], numbers: list[int]) -> dict[str, Any]:
        first = self.here[0]
        member = {
            "rank": seat.rank,
            "size": self.gang.workers,
            "host": seat.host,
            "local_rank": places[: seat.rank].count(places[seat.rank]),
            "meeting": f"tcp://{first['address']}:{first['port']}",
        }
        here = [self.here[other.rank] for other in self.seats]
        member["addresses"] = [f"{each['address']}:{each['port']}" for each in here]
        return member | ({"places": numbers} if len(set(numbers)) > 1 else {})

    def _hear(self, seat: Seat) -> None:
        message = self.links[seat.rank].receive()
        now = time.monotonic()
        if message is None:
            self.selector.unregister(seat.link)
            self.gone.add(seat.rank)
            if seat.exit is None:
                seat.exit, seat.failed_at = -9, seat.failed_at or now
            return
        kind, body = message
        if kind == frames.BORN:
            seat.pid, seat.began = struct.unpack("<q", body)[0], now
        elif kind == frames.HALTED:
            self.halted.add(seat.rank)
        elif kind == frames.EXIT:
            seat.exit, seat.failed_at = struct.unpack("<i", body)[0], seat.failed_at or now
        elif kind == frames.LOG:
            self._log(seat, body)
        else:
            seat.heard = now
            self.halted.discard(seat.rank)
            self._hear_worker(seat, kind, body)

    def _hear_worker(self, seat: Seat, kind: bytes, body: bytes) -> None:
        if kind == frames.RESULT:
            seat.result, seat.done = freight.unpack(body), True
        elif kind == frames.ERROR:
            seat.failure, seat.failed_at = freight.unpack(body), seat.heard
        elif kind == frames.FILE:
            self._keep(body)
        elif kind == frames.TOLD and self._listen(seat, body) == "stop":
            self._say(seat, frames.STOP)

    def _say(self, seat: Seat, kind: bytes) -> None:
        with contextlib.suppress(OSError):
            self.links[seat.rank].send(kind)

    def _keep(self, body: bytes) -> None:
        """A file for the gang's folder, once those it needs are there; older ones of theirs then go."""
        if self.gang.folder is None:
            return
        head, _, data = body.partition(b"\n")
        told = json.loads(head)
        if _KEPT.fullmatch(told["name"]):
            self.held.append((list(told["needs"]), told["name"], data))
        folder = self.gang.folder
        for held in list(self.held):
            needs, name, data = held
            if all((folder / need).exists() for need in needs):
                self.held.remove(held)
                _write(folder / name, data)
                for old in folder.glob("checkpoint-*.safetensors") if needs else ():
                    if old.name not in needs and _step(old.name) < _step(needs[0]):
                        old.unlink()

    def _log(self, seat: Seat, text: bytes) -> None:
        if self.gang.logs is not None:
            self.gang.logs.mkdir(parents=True, exist_ok=True)
            with (self.gang.logs / f"rank-{seat.rank}.log").open("ab") as file:
                file.write(text)

    def _is_halted(self, seat: Seat) -> bool:
        return seat.rank in self.halted

    def _died(self, seat: Seat) -> str:
        if seat.rank not in self.gone:
            return super()._died(seat)
        error, until = None, time.monotonic() + _TELL_S
        while error is None and self.keepers is not None and time.monotonic() < until:
            error = self.keepers.failed()  # what the cluster says of it is better than our guess
            time.sleep(_WATCH_S)
            if len(self.gone) < len(self.seats):
                break
        if error is not None and not getattr(error, "lost", False):
            raise error
        return "is gone: its machine, its executor or its container was killed or cut off"

    def _end(self) -> None:
        """Nobody of the gang is left afterwards, nor of the job that kept it."""
        for link in self.links.values():
            with contextlib.suppress(OSError):
                link.send(frames.END)
        if self.keepers is not None:
            over = all(seat.done for seat in self.seats) and bool(self.seats)
            self.keepers.end(_END_S if over else _END_S / 2)
        for seat in self.seats:
            self._hear_last(seat)
        for link in self.links.values():
            link.close()
        self.selector.close()

    def _hear_last(self, seat: Seat) -> None:
        """What it printed, and what it sent to be kept, until it was ended."""
        link = self.links[seat.rank]
        link.socket.settimeout(_LAST_S)
        while (message := link.receive()) is not None:
            if message[0] == frames.LOG:
                self._log(seat, message[1])
            elif message[0] == frames.FILE:
                self._keep(message[1])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".writing")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise EngineError(
            f"The checkpoint {path} cannot be written: {error.strerror or error}.",
            hint="Make room, or choose another place with folder= or ORRERY_HOME.",
        ) from None


def _step(name: str) -> int:
    found = re.search(r"-(\d+)\.safetensors$", name)
    return int(found.group(1)) if found else -1
