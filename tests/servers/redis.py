"""A Redis server for the tests; every entry is in its log before it is acknowledged."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import cache, debian, programs

_PROGRAM = "usr/bin/redis-server"


@dataclass
class Redis:
    """A running server."""

    root: Path
    folder: Path
    port: int
    program: programs.Program | None = None

    @property
    def url(self) -> str:
        """Its address, without a stream."""
        return f"redis://127.0.0.1:{self.port}"

    def connect(self) -> Any:
        """An independent client."""
        import redis

        return redis.Redis(port=self.port)

    def start(self) -> None:
        """Start it; returns when it answers."""
        network = ["--bind", "127.0.0.1", "--port", str(self.port), "--protected-mode", "yes"]
        stored = ["--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "no"]
        command = [str(self.root / _PROGRAM), *network, *stored]
        self.program = programs.start(command, self.folder, debian.environment(self.root))

        def ready() -> None:
            with self.connect() as client:
                client.ping()

        programs.wait_until(ready, self.program, self.folder, 60)

    def kill(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        if self.program is not None:
            programs.stop(self.program, gently_s=0)


@contextmanager
def running() -> Iterator[Redis]:
    """A server for as long as the block runs; nothing is left of it."""
    root = debian.fetch("redis", _PROGRAM)
    folder = Path(tempfile.mkdtemp(prefix="orrery-redis-"))
    server = Redis(root, folder, programs.free_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        debian.fetch("redis", _PROGRAM)
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
