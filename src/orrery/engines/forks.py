"""The driver's end of the fork server: one for this process, started when first needed, ended with it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from orrery.engines import frames
from orrery.errors import EngineError

_QUIET = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait do not spin: the workers share the cores
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_NUM_THREADS": "1",  # no thread may be there when the server forks
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # nor may CUDA: to be asked whether there is a GPU would start it
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""What libraries read when they are loaded into the server."""


class Forks:
    """Starts workers, and ends them."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._owner = 0
        self._link: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def warm(self, modules: Sequence[str]) -> None:
        """Let the server import modules, so that no worker has to."""
        if modules:
            self._ask(frames.WARM, list(modules))

    def spawn(self, asked: dict[str, Any], descriptors: list[int]) -> int:
        """Start one worker; its process id."""
        return self._ask(frames.SPAWN, asked, descriptors)

    def kill(self, pids: Sequence[int]) -> None:
        """End workers with all that they started; those that have ended already are left alone."""
        with self._asking, contextlib.suppress(OSError):
            if self._link is not None and self._owner == os.getpid():
                frames.send(self._link, frames.KILL, json.dumps(list(pids)).encode())

    def close(self) -> None:
        """End the server and all of its workers; the next call starts another."""
        with self._asking:
            if self._link is not None:
                self._link.close()
            if self._server is not None and self._owner == os.getpid():
                try:
                    self._server.wait(10)
                except subprocess.TimeoutExpired:
                    self._server.kill()
                    self._server.wait()
            self._link = self._server = None

    def _ask(self, kind: bytes, asked: object, descriptors: list[int] | None = None) -> int:
        with self._asking:
            link = self._started()
            try:
                frames.send(link, kind, json.dumps(asked).encode(), descriptors)
                answer = link.recv(8, socket.MSG_WAITALL)
                return int(struct.unpack("<q", answer)[0])
            except (OSError, struct.error):
                raise EngineError(
                    "The process that starts workers has ended.", hint="Run it again; the next starts anew."
                ) from None

    def _started(self) -> socket.socket:
        alive = self._server is not None and self._server.poll() is None
        if self._link is None or not alive or self._owner != os.getpid():
            self._start()
        assert self._link is not None
        return self._link

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from orrery.engines.forkserver import main; main({theirs.fileno()})"
        )
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, *flags, "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_QUIET},
                start_new_session=True,  # Ctrl-C is for the driver, which ends its gangs
            )
        self._link, self._owner = ours, os.getpid()


FORKS = Forks()
"""The fork server of this process."""

atexit.register(FORKS.close)
