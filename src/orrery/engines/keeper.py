"""Where a cluster's engine runs a task: starts one worker beside it, and keeps it for a driver far away.

The keeper is what the cluster sees; the worker is a process of its own, started by a fork server that ends
with the keeper, however that ends. Between the two lies a socket on one machine, between keeper and driver
a sealed connection: it carries the worker's messages, what it prints, and how it ended.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from orrery.data.passes import cores
from orrery.engines import frames
from orrery.engines.forks import FORKS
from orrery.engines.link import connect

_LOOK_S = 0.1
_HALT_S = 0.5  # of a worker's silence, until the system is asked about it
_END_S = 5.0
_LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class Post:
    """Where a keeper reports: small, and sent with the task that the cluster runs."""

    host: str
    port: int
    token: bytes
    gang: str
    """Names the scratch folder, so that keepers of one machine find the same."""


class Keeper:
    """Keeps one worker, from the driver's first word to its last."""

    def __init__(self, post: Post, rank: int) -> None:
        self.rank = rank
        self.driver = connect(post.host, post.port, post.token, rank)
        self.scratch = _base() / f"orrery-gang-{post.gang}"
        self.selector = selectors.DefaultSelector()
        self.task: IO[bytes] = tempfile.TemporaryFile(prefix="orrery-task-")  # noqa: SIM115 # closed at the end
        self.log: IO[bytes] | None = None
        self.link: socket.socket | None = None
        self.status = -1
        self.pid = 0
        self.heard = 0.0
        self.exit: int | None = None
        self.began = threading.Event()
        self.ended = threading.Event()

    def keep(self, batches: Iterable[Any]) -> None:
        """Until the driver says that the gang is over. ``batches`` are the worker's rows, if any."""
        watching = threading.Thread(target=self._watch, name="orrery-keeper", daemon=True)
        try:
            self._greet()
            watching.start()
            self.began.wait()
            feed(self, batches)
            watching.join()
        finally:
            self.ended.set()
            self.driver.close()
            if watching.ident is not None:
                watching.join()
            self._finish()

    def _greet(self) -> None:
        (self.scratch / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        address = self.driver.socket.getsockname()[0]
        with socket.create_server((address, 0)) as free:
            port = free.getsockname()[1]
        here = {
            "host": socket.gethostname(),
            "place": _place(self.scratch / "place"),
            "address": address,
            "port": port,
        }
        self.driver.send(frames.HERE, json.dumps(here).encode())

    def _watch(self) -> None:
        """Hand on what driver and worker say to each other."""
        self.selector.register(self.driver.socket, selectors.EVENT_READ, self._hear_driver)
        try:
            while not self.ended.is_set():
                for key, _ in self.selector.select(_LOOK_S):
                    key.data()
                self._look()
        except OSError:  # the driver is gone
            pass
        finally:
            self.ended.set()
            self.began.set()

    def _hear_driver(self) -> None:
        message = self.driver.receive()
        if message is None or message[0] == frames.END:
            self.ended.set()
            return
        kind, body = message
        if kind == frames.TASK:
            self.task.write(body)
        elif kind == frames.FILE:
            _put(self.scratch / "kept", body)
        elif kind == frames.START:
            self._start(json.loads(body))
        elif kind in (frames.STOP, frames.GROW) and self.link is not None:
            with suppress(OSError):
                frames.send(self.link, kind)

    def _start(self, asked: dict[str, Any]) -> None:
        FORKS.warm(asked["warm"])
        self.task.flush()
        ours, theirs = socket.socketpair()
        self.status, status = os.pipe()
        log = self.scratch / f"log-{self.rank}"
        with log.open("ab") as writing, theirs:
            try:
                handed = [theirs.fileno(), writing.fileno(), self.task.fileno(), status]
                self.pid = FORKS.spawn(self._asked(asked), handed)
            finally:
                os.close(status)
        self.log, self.link, self.heard = log.open("rb"), ours, time.monotonic()
        self.selector.register(ours, selectors.EVENT_READ, self._hear_worker)
        self.selector.register(self.status, selectors.EVENT_READ, self._bury)
        self.driver.send(frames.BORN, struct.pack("<q", self.pid))
        self.began.set()

    def _asked(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the fork server is told: the driver's wishes, and what this machine has."""
        kept = self.scratch / "kept"
        kept.mkdir(exist_ok=True)
        address = self.driver.socket.getsockname()[0]
        own = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON_WORKER_FACTORY")}
        own |= {"TMPDIR": str(self.scratch / "tmp")}
        if name := _interface(address):
            own["GLOO_SOCKET_IFNAME"] = name
        return {
            "member": {**asked["member"], "scratch": str(self.scratch), "folder": str(kept)},
            "scratch": str(self.scratch),
            "env": own,
            "path": [*sys.path, *(p for p in asked["path"] if p not in sys.path and Path(p).exists())],
            "folder": asked["folder"],
            "threads": max(1, cores() // asked["neighbours"]),
        }

    def _hear_worker(self) -> None:
        assert self.link is not None
        message = frames.receive(self.link)
        if message is None:
            self.selector.unregister(self.link)
            return
        self.heard = time.monotonic()
        self.driver.send(*message[:2])

    def _bury(self) -> None:
        """It has ended: what it had said before, then how it ended."""
        while self.link in self.selector.get_map():
            self._hear_worker()
        told = os.read(self.status, 4)
        self.selector.unregister(self.status)
        self.exit = struct.unpack("<i", told)[0] if len(told) == 4 else -9
        self._send_log()
        self.driver.send(frames.EXIT, struct.pack("<i", self.exit))

    def _look(self) -> None:
        self._send_log()
        if self.pid and self.exit is None and time.monotonic() > self.heard + _HALT_S and is_halted(self.pid):
            self.driver.send(frames.HALTED)
            time.sleep(_LOOK_S)

    def _send_log(self) -> None:
        while self.log is not None and (text := self.log.read(_LOG_BYTES)):
            self.driver.send(frames.LOG, text)

    def _finish(self) -> None:
        """Nobody of the gang is left on this machine afterwards."""
        if self.pid and self.exit is None:
            FORKS.kill([self.pid])
            with selectors.DefaultSelector() as waiting:
                waiting.register(self.status, selectors.EVENT_READ)
                waiting.select(_END_S)
        if self.status >= 0:
            os.close(self.status)
        with suppress(OSError):  # what it printed last
            self._send_log()
        for each in (self.task, self.log, self.link, self.selector):
            if each is not None:
                each.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def feed(keeper: Keeper, batches: Iterable[Any]) -> None:
    """Put a worker's rows where it looks for them; each ``batch`` holds Arrow streams of one sort of rows."""
    spills: dict[int, IO[bytes]] = {}
    told = 0.0
    try:
        for batch in batches:
            if keeper.ended.is_set():
                return
            for sort, rows in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
                if sort not in spills:
                    spills[sort] = (keeper.scratch / f"rows-{keeper.rank}-{sort}.part").open("wb")
                data = rows.as_buffer()
                spills[sort].write(struct.pack("<Q", data.size))
                spills[sort].write(data)
            if time.monotonic() > told + _HALT_S:
                told = time.monotonic()
                keeper.driver.send(frames.BORN, struct.pack("<q", keeper.pid))
    finally:
        for spill in spills.values():
            spill.close()
    if not keeper.ended.is_set():
        (keeper.scratch / f"rows-{keeper.rank}-all").touch()


def serve(post: Post, rank: int, batches: Iterable[Any]) -> None:
    """Be a keeper."""
    Keeper(post, rank).keep(batches)


def is_halted(pid: int) -> bool:
    """Whether a process of this machine is stopped; False where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"T", "t"}


def _base() -> Path:
    """The disk for what is only needed now: the cluster's own where it names one, which it cleans up too."""
    named = os.environ.get("LOCAL_DIRS", "").split(",")[0]  # YARN's, one for all containers of a job
    return Path(named or tempfile.gettempdir())


def _place(path: Path) -> str:
    """What workers that share a folder read alike, and others do not."""
    with suppress(FileExistsError):
        beside = path.with_name(f"place-{uuid.uuid4().hex}")
        beside.write_text(uuid.uuid4().hex)
        try:
            os.link(beside, path)
        finally:
            beside.unlink()
    return path.read_text()


def _put(folder: Path, body: bytes) -> None:
    """A file of the driver's run folder."""
    name, _, data = body.partition(b"\n")
    folder.mkdir(exist_ok=True)
    beside = folder / f".{uuid.uuid4().hex}"
    beside.write_bytes(data)
    beside.replace(folder / Path(json.loads(name)["name"]).name)


def _interface(address: str) -> str | None:
    """The network interface of an address, which torch's exchange wants by name; None lets it look."""
    if address.startswith("127."):
        return "lo" if sys.platform == "linux" else None
    with suppress(ImportError, OSError):
        import fcntl

        for _, name in socket.if_nameindex():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
                found = fcntl.ioctl(asking, 0x8915, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    return None
