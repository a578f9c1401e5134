"""A NATS server with JetStream for the tests."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.servers import cache, debian, programs

T = TypeVar("T")

_PROGRAM = "usr/sbin/nats-server"


@dataclass
class Nats:
    """A running server."""

    root: Path
    folder: Path
    port: int
    program: programs.Program | None = None

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
        self.program = programs.start(command, self.folder, debian.environment(self.root))

        async def ready(_: Any, js: Any) -> None:
            await js.account_info()

        programs.wait_until(lambda: self.ask(ready), self.program, self.folder, 60)

    def kill(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        if self.program is not None:
            programs.stop(self.program, gently_s=0)


async def _quiet(error: Exception) -> None:
    """A server that is away is told by the call."""


@contextmanager
def running() -> Iterator[Nats]:
    """A server for as long as the block runs; nothing is left of it."""
    root = debian.fetch("nats", _PROGRAM)
    folder = Path(tempfile.mkdtemp(prefix="orrery-nats-"))
    server = Nats(root, folder, programs.free_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        debian.fetch("nats", _PROGRAM)
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
