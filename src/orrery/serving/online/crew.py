"""Several processes that answer at one port: each has its models, one looks after them all.

They share one listening socket, so a connection that was not accepted yet belongs to none of them: where one
is killed, only the requests that it had begun fail.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from orrery.errors import ServingError, SettingsError
from orrery.serving.online.job import Job
from orrery.serving.online.server import listen, url_of

RESTARTS, RESTARTS_S = 10, 60.0
"""So many workers may be replaced in so many seconds; beyond that the service ends."""
_POLL_S = 0.05
_END_S = 30.0  # beside the time to drain: writing the record, closing models
_log = logging.getLogger("orrery.serving")


class Crew:
    """``workers`` processes that do one job at ``url``, until it is closed.

    One that ends is replaced. Metrics are added up; canaries are judged by each worker from what it saw.

    >>> Crew(Job(models=["models:/fraud"]), workers=2)
    <Crew of 2 workers>
    """

    def __init__(self, job: Job, workers: int) -> None:
        self.job = job
        self.workers = workers
        self.url = ""
        self.grpc_port = job.grpc_port
        self.restarts = 0
        self.processes: list[subprocess.Popen[str]] = []
        self._ended = ExitStack()
        self._listener: socket.socket | None = None
        self._folder = Path()
        self._stop = threading.Event()
        self._failed: ServingError | None = None
        self._lately: deque[float] = deque()

    def start(self) -> Self:
        """Begin to answer. Raises PortInUseError, SettingsError, and ServingError with what a worker says."""
        if self.workers < 1:
            raise SettingsError(f"A service has at least one worker, not {self.workers}.")
        if sys.platform == "win32":
            raise SettingsError("Several workers at one port need Linux or macOS.")
        self.job.access.check()
        self.job.access.tokens()
        with ExitStack() as undo:
            self._listener = undo.enter_context(listen(self.job.host, self.job.port))
            self.url = url_of(self._listener, self.job.access)
            if self.grpc_port is not None:
                self.grpc_port = undo.enter_context(_reserved(self.job.host, self.grpc_port)).getsockname()[1]
            self._folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="orrery-crew-")))
            undo.callback(self._end)
            self._tell()
            self.processes = [self._begin() for _ in range(self.workers)]
            for process in self.processes:
                _await_ready(process)
            self._ended = undo.pop_all()
        watch = threading.Thread(target=self._watch, name="orrery-crew", daemon=True)
        self._ended.callback(watch.join)
        self._ended.callback(self._stop.set)
        watch.start()
        return self

    @property
    def is_stopping(self) -> bool:
        """Whether it ends, or has ended."""
        return self._stop.is_set()

    def wait(self) -> None:
        """Answer until SIGTERM, which ends it well, or Ctrl-C, which is raised again. Raises ServingError."""
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            received.append(number)
            self._stop.set()

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        sys.stderr.write(f"{self}\nCtrl-C ends it.\n")
        try:
            self._stop.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.close()
        if self._failed is not None:
            raise self._failed
        if signal.SIGINT in received:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Let each worker answer what it was asked, and end. A second call does nothing."""
        self._ended.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        beside = f", and over gRPC at port {self.grpc_port}" if self.grpc_port else ""
        return f"{', '.join(self.job.models)}: {self.workers} workers answer at {self.url}{beside}"

    def __repr__(self) -> str:
        return f"<Crew of {self.workers} workers>"

    def _begin(self) -> subprocess.Popen[str]:
        """A worker, which ends when its standard input does: with us, however we end."""
        assert self._listener is not None
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "orrery.serving.online.worker", str(descriptor), str(self._folder)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=(descriptor,))
        job = self.job.to_dict() | {"grpc_port": self.grpc_port}
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended at once: its exit tells
        return process

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            for number, process in enumerate(self.processes):
                if process.poll() is not None and not self._stop.is_set():
                    self._replace(number, process)

    def _replace(self, number: int, process: subprocess.Popen[str]) -> None:
        _close_pipes(process)
        now = time.monotonic()
        while self._lately and now - self._lately[0] > RESTARTS_S:
            self._lately.popleft()
        if len(self._lately) >= RESTARTS:
            self._failed = ServingError(
                f"{RESTARTS} workers ended within {RESTARTS_S:g} s, the last with {_exit(process)}.",
                hint="The log says why.",
            )
            self._stop.set()
            return
        self._lately.append(now)
        _log.warning("Worker %d ended with %s; another one takes its place.", number + 1, _exit(process))
        self.restarts += 1
        self._tell()
        self.processes[number] = self._begin()

    def _tell(self) -> None:
        """What the crew itself counts, beside what its workers do."""
        path = self._folder / "crew.prom"
        path.with_suffix(".part").write_text(
            f"# HELP orrery_workers Processes that answer.\n# TYPE orrery_workers gauge\n"
            f"orrery_workers {self.workers}\n# HELP orrery_worker_restarts_total Workers replaced.\n"
            f"# TYPE orrery_worker_restarts_total counter\norrery_worker_restarts_total {self.restarts}\n"
        )
        path.with_suffix(".part").replace(path)

    def _end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.job.limits.drain_s + _END_S
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("A worker did not end in time, and is killed.")
                process.kill()
                process.wait()
            _close_pipes(process)


def _await_ready(process: subprocess.Popen[str]) -> None:
    """Until a worker answers. Raises ServingError with what it says instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    said: dict[str, Any] = json.loads(line) if line else {"error": f"A worker ended with {_exit(process)}."}
    if "error" in said:
        raise ServingError(said["error"], hint=said.get("hint", ""))


def _reserved(host: str, port: int) -> socket.socket:
    """A socket that keeps a port for the workers, and does not listen. Raises PortInUseError."""
    with listen(host, port) as probe:
        family, place = probe.family, probe.getsockname()
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(place)
    return held


def _exit(process: subprocess.Popen[str]) -> str:
    code = process.wait()
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # what was still to be sent, to one that ended
