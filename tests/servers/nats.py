"""A NATS server with JetStream for the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from tests.servers import debian

T = TypeVar("T")

_PROGRAM = "usr/sbin/nats-server"


@dataclass
class Nats(debian.Server):
    """A running server."""

    @property
    def url(self) -> str:
        """Its address, without a subject."""
        return f"nats://127.0.0.1:{self.port}"

    def ask(self, work: Callable[[Any, Any], Coroutine[Any, Any, T]]) -> T:
        """What an independent client does: ``work`` gets a connection and its JetStream."""

        async def run() -> T:
            import nats

            nc = await nats.connect(self.url, allow_reconnect=False, error_cb=_quiet)
            try:
                return await work(nc, nc.jetstream())
            finally:
                await nc.close()

        return asyncio.run(run())

    def start(self) -> None:
        """Start it; returns when it answers."""
        network = ["-a", "127.0.0.1", "-p", str(self.port)]
        command = [str(self.root / _PROGRAM), *network, "-js", "-sd", str(self.folder / "data")]

        async def ready(_: Any, js: Any) -> None:
            await js.account_info()

        self.run(command, lambda: self.ask(ready))


async def _quiet(error: Exception) -> None:
    """A server that is away is told by the call."""


@contextmanager
def running() -> Iterator[Nats]:
    """A server for as long as the block runs; nothing is left of it."""
    with debian.held(Nats, "nats", _PROGRAM) as server:
        yield server


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    debian.fetch_or_skip("nats", _PROGRAM)
    with running() as server:
        yield server
