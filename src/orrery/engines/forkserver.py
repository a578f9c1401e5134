"""The fork server: a process that has loaded what workers need, and becomes one of them in milliseconds.

It has one thread and no CUDA, so forking it is safe. Whoever started it holds the other end of its socket:
when that is gone, however it ended, the server ends its workers, with all that they started, removes
their scratch folders, and ends too.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import traceback
from pathlib import Path
from typing import Any

from orrery.engines import frames, worker

_PR_SET_PDEATHSIG = 1


class ForkServer:
    """The server's side: what it started, and how it ends."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.statuses: dict[int, int] = {}  # worker -> where its exit status is written to
        self.scratches: set[str] = set()
        # Loaded before any fork: the child calls it first of all.
        self.prctl: Any = getattr(ctypes.CDLL(None), "prctl", None)

    def serve(self) -> None:
        """Answer until the other end is gone."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            while True:
                watched: list[Any] = [self.link, woken]
                ready = select.select(watched, [], [])[0]
                if woken in ready:
                    os.read(woken, 4096)
                    self.reap()
                if self.link in ready and not self.answer():
                    return
        finally:
            self.kill(list(self.statuses))
            while self.statuses:
                self.reap(os.WEXITED | os.WNOWAIT)
            for scratch in self.scratches:
                shutil.rmtree(scratch, ignore_errors=True)

    def answer(self) -> bool:
        """Do what one message says; False where there is no other end any more."""
        message = frames.receive(self.link)
        if message is None:
            return False
        kind, body, descriptors = message
        asked = json.loads(body)
        if kind == frames.SPAWN:
            self.scratches.add(asked["scratch"])
            pid = self.spawn(asked, descriptors)
            self.link.sendall(struct.pack("<q", pid))
        elif kind == frames.WARM:
            for name in asked:
                with contextlib.suppress(Exception):  # whoever needs it will say so himself
                    importlib.import_module(name)
            self.link.sendall(struct.pack("<q", threads()))
        elif kind == frames.KILL:
            self.kill(asked)
        return True

    def spawn(self, asked: dict[str, Any], descriptors: list[int]) -> int:
        """Start one worker. ``descriptors``: its socket, its log, its task, and where its end is told."""
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self._become(asked, descriptors, parent)
        with contextlib.suppress(OSError):  # from here on, or the child was quicker
            os.setpgid(pid, pid)
        for descriptor in descriptors[:-1]:
            os.close(descriptor)
        self.statuses[pid] = descriptors[-1]
        return pid

    def _become(self, asked: dict[str, Any], descriptors: list[int], parent: int) -> None:
        code = 1
        try:
            if self.prctl is not None:
                self.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.link.close()
            for status in [*self.statuses.values(), descriptors[3]]:
                os.close(status)
            code = worker.main(asked, *descriptors[:3])
        finally:
            os._exit(code)

    def kill(self, pids: list[int]) -> None:
        """End workers and all that they started, at once."""
        for pid in pids:
            if pid in self.statuses:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)

    def reap(self, how: int = os.WEXITED | os.WNOWAIT | os.WNOHANG) -> None:
        """Tell of workers that have ended; whatever a worker started ends with it."""
        while self.statuses:
            found = os.waitid(os.P_ALL, 0, how)
            if found is None:
                return
            pid = found.si_pid
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)  # before its number can be another's
            status = os.waitpid(pid, 0)[1]
            told = self.statuses.pop(pid, None)
            if told is not None:
                with contextlib.suppress(OSError):
                    os.write(told, struct.pack("<i", os.waitstatus_to_exitcode(status)))
                os.close(told)


def threads() -> int:
    """How many threads this process has; 1 where the system does not tell."""
    with contextlib.suppress(OSError):
        return len(list(Path("/proc/self/task").iterdir()))
    return 1


def main(descriptor: int) -> None:
    """Serve on an inherited socket."""
    try:
        ForkServer(socket.socket(fileno=descriptor)).serve()
    except BaseException:
        traceback.print_exc()
    os._exit(0)  # nothing is left to do, and the driver waits: to unload torch takes a while
