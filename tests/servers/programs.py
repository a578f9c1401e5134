"""A server's program as a child of this process: started, waited for, and ended with all its children."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

Program = subprocess.Popen[bytes]


def free_ports(count: int) -> list[int]:
    """Different ports of this machine that are free now, below those that the kernel gives to clients.

    Of one of those, a client that tries again and again while the server is down may become its own server.
    """
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", secrets.choice(range(10_000, 32_000))))
                found.append(int(probe.getsockname()[1]))
        return found


def start(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Program:
    """A program in a process group of its own; what it says goes to ``folder/log``.

    It dies with this process, even if that is killed; to be exact, with the thread that started it.
    """
    tied = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*tied, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )


def wait_until(ready: Callable[[], object], program: Program, folder: Path, within_s: float = 120) -> None:
    """Return when ``ready`` no longer raises. Raises RuntimeError with the log's end if that is never."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            ready()
            return
        except Exception as error:
            if program.poll() is not None or time.monotonic() > deadline:
                said = (folder / "log").read_text(errors="replace").splitlines()[-20:]
                raise RuntimeError(f"{folder.name} did not start: {error}\n" + "\n".join(said)) from None
        time.sleep(0.05)


def stop(program: Program, gently_s: float = 5) -> None:
    """End a program and all of its group: first politely, if ``gently_s`` is more than 0."""
    with suppress(ProcessLookupError):
        if gently_s and program.poll() is None:
            os.killpg(program.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                program.wait(gently_s)
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()
