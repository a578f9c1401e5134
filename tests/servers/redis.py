"""A Redis server for the tests; every entry is in its log before it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.servers import debian

_PROGRAM = "usr/bin/redis-server"


@dataclass
class Redis(debian.Server):
    """A running server."""

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

        def ready() -> None:
            with self.connect() as client:
                client.ping()

        self.run(command, ready)


@contextmanager
def running() -> Iterator[Redis]:
    """A server for as long as the block runs; nothing is left of it."""
    with debian.held(Redis, "redis", _PROGRAM) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    debian.fetch_or_skip("redis", _PROGRAM)
    with running() as server:
        yield server
