"""Servers from the distribution's packages: downloaded as any user may, unpacked, never installed.

No service of them starts, and nothing outside of the cache is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.servers import cache, programs


def fetch(name: str, program: str) -> Path:
    """The folder above a server's ``program`` (such as ``usr/bin/redis-server``): ``/``, or in the cache.

    Raises MissingServerError where it cannot be had.
    """
    root = Path("/")
    if (root / program).exists():
        return root
    return cache.built(name, lambda folder: _unpack(folder, name, program))


def environment(root: Path) -> dict[str, str]:
    """Where unpacked libraries lie."""
    if root == Path("/"):
        return {}
    found = sorted({str(path.parent) for path in root.glob("**/lib*.so.*")})
    return {"LD_LIBRARY_PATH": ":".join([*found, os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")}


def _unpack(folder: Path, name: str, program: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise cache.MissingServerError(f"{name} is not installed, and there is no apt-get to have it from")
    with tempfile.TemporaryDirectory(prefix="orrery-deb-") as scratch:
        Path(scratch).chmod(0o755)
        packages = cache.pins()[name]["debian"]
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
        if _run(download, scratch) != 0:
            _run(["apt-get", "-q", "update"], scratch)  # the lists of packages may be old
            if _run(download, scratch) != 0:
                raise cache.MissingServerError(f"{name} is not installed, and its packages cannot be had")
        for file in sorted(Path(scratch).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(file), str(folder)], check=True, timeout=120)
    if not (folder / program).exists():
        raise cache.MissingServerError(f"the distribution's packages of {name} hold no {program}")


def _run(command: list[str], folder: str) -> int:
    quiet = subprocess.DEVNULL
    return subprocess.call(command, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, timeout=300)


@dataclass
class Server:
    """A server of one port, whose data lie in ``folder``; each kind says how it starts."""

    root: Path
    folder: Path
    port: int
    program: programs.Program | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        raise NotImplementedError

    def run(self, command: list[str], ready: Callable[[], object]) -> None:
        """Start its program, and wait until it is ready."""
        self.program = programs.start(command, self.folder, environment(self.root))
        programs.wait_until(ready, self.program, self.folder, 60)

    def kill(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        if self.program is not None:
            programs.stop(self.program, gently_s=0)


Kind = TypeVar("Kind", bound=Server)


@contextmanager
def held(kind: type[Kind], name: str, program: str) -> Iterator[Kind]:
    """A server for as long as the block runs; nothing is left of it."""
    root = fetch(name, program)
    folder = Path(tempfile.mkdtemp(prefix=f"orrery-{name}-"))
    server = kind(root, folder, programs.free_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def fetch_or_skip(name: str, program: str) -> None:
    """Where it cannot be had, the tests that ask for it are skipped, by name."""
    try:
        fetch(name, program)
    except cache.MissingServerError as error:
        cache.skip(error)
