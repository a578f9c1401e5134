"""The test servers for a person: fetched ahead of time, started to play with, and stopped again.

``python -m scripts.servers fetch|start|stop|list [NAME…]``; ``make servers`` and its sisters call it. A
started server is held by a process of its own, which ends it and removes its data when it is told to stop.
"""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import psutil

ROOT = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("ORRERY_SERVERS", ROOT / "build" / "servers"))
_DEADLINE_S = 300
_HOLD = ["-m", "scripts.servers", "hold"]


def servers() -> dict[str, ModuleType]:
    """Every server there is: a file of ``tests/servers`` that says how one is kept ``running``."""
    names = sorted(path.stem for path in (ROOT / "tests" / "servers").glob("*.py"))
    modules = {name: importlib.import_module(f"tests.servers.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "running")}


def fetch(names: Sequence[str]) -> int:
    """Have the programs of these servers here. What is here already is not asked for again."""
    failed = 0
    for name in names:
        began = time.monotonic()
        try:
            getattr(servers()[name], "fetch", lambda: None)()
            print(f"{name}: ready to start ({time.monotonic() - began:.1f} s)")
        except Exception as error:  # one that cannot be had does not keep the others away
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
    return 1 if failed else 0


def start(names: Sequence[str]) -> int:
    """Start these servers, and say where each one's addresses stand. Those that run stay as they are."""
    STATE.mkdir(parents=True, exist_ok=True)
    held = {name: _hold(name) for name in names if not running(name)}
    deadline = time.monotonic() + _DEADLINE_S
    for name, process in held.items():
        while not _file(name, "env").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    failed = [name for name in names if not _file(name, "env").exists()]
    for name in names:
        if name in failed:
            said = _file(name, "log").read_text(errors="replace").splitlines()[-8:]
            print(f"{name}: did not start\n  " + "\n  ".join(said), file=sys.stderr)
            stop([name])
        else:
            print(f"{name}: set -a; . {os.path.relpath(_file(name, 'env'))}; set +a")
    return 1 if failed else 0


def stop(names: Sequence[str]) -> int:
    """Stop these servers and remove what they left."""
    for name in names:
        if running(name):
            _end(name, int(_file(name, "pid").read_text()))
            print(f"{name}: stopped")
        for ending in ("env", "new", "pid", "log"):
            _file(name, ending).unlink(missing_ok=True)
    if STATE.is_dir() and not any(STATE.iterdir()):
        STATE.rmdir()
    return 0


def running(name: str) -> bool:
    """Whether the process that a pid file names is the one that holds this server, and not another's."""
    try:
        process = psutil.Process(int(_file(name, "pid").read_text()))
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and process.cmdline()[1:] == [*_HOLD, name]
    except (FileNotFoundError, ValueError, psutil.Error):
        return False


def hold(name: str) -> NoReturn:
    """Keep one server running until this process is told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with servers()[name].running() as server:
        lines = [f"{key}={shlex.quote(value)}" for key, value in variables(name, server).items()]
        beside = _file(name, "new")
        beside.touch(0o600)  # addresses hold passwords
        beside.write_text("\n".join(lines) + "\n")
        beside.rename(_file(name, "env"))
        while True:
            signal.pause()


def variables(name: str, server: Any) -> Mapping[str, str]:
    """What a user's environment may hold to reach a server."""
    if hasattr(server, "variables"):
        told: Mapping[str, str] = server.variables()
        return told
    url = server.url if hasattr(server, "url") else server.connection
    return {f"ORRERY_CONNECTION__{name.upper()}": str(url() if callable(url) else url).rstrip("/")}


def _hold(name: str) -> subprocess.Popen[bytes]:
    _file(name, "env").unlink(missing_ok=True)
    command = [sys.executable, *_HOLD, name]
    with _file(name, "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    _file(name, "pid").write_text(str(process.pid))
    return process


def _end(name: str, pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while running(name):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)  # the server dies with it
        time.sleep(0.05)


def _file(name: str, ending: str) -> Path:
    return STATE / f"{name}.{ending}"


def main(arguments: Sequence[str]) -> int:
    """One verb, and the servers it is for: all, if none is named."""
    verbs = {"fetch": fetch, "start": start, "stop": stop}
    verb, *names = arguments or ["list"]
    unknown = [name for name in names if name not in servers()]
    if unknown or (verb not in verbs and verb not in ("list", "hold")):
        print(
            f"usage: python -m scripts.servers {'|'.join(verbs)}|list [{' '.join(servers())}]",
            file=sys.stderr,
        )
        return 2
    if verb == "hold":
        hold(names[0])
    if verb == "list":
        for name in servers():
            print(f"{name}: {'runs' if running(name) else 'stopped'}")
        return 0
    return verbs[verb](names or list(servers()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
