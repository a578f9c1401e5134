"""A RabbitMQ server for the tests."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import cache, debian, programs

_PROGRAM = "usr/lib/rabbitmq/bin/rabbitmq-server"


_ERL = """#!/bin/sh
export EMU=beam PROGNAME=erl ROOTDIR={root} BINDIR={bin}
exec "$BINDIR/erlexec" "$@"
"""


@dataclass
class RabbitMq:
    """A running server."""

    root: Path
    folder: Path
    port: int
    distribution: int
    epmd: int
    program: programs.Program | None = None
    names: programs.Program | None = None

    @property
    def url(self) -> str:
        """Its address, without a queue."""
        return f"rabbitmq://127.0.0.1:{self.port}"

    def connect(self) -> Any:
        """An independent client."""
        import pika

        logging.getLogger("pika").setLevel(logging.CRITICAL)
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))

    def start(self) -> None:
        """Start it; returns when it answers."""
        erlang = self.root / "usr" / "lib" / "erlang"
        erl = self.folder / "bin" / "erl"  # the packages' own expects to be installed
        erl.parent.mkdir(exist_ok=True)
        erl.write_text(_ERL.format(root=erlang, bin=next(erlang.glob("erts-*")) / "bin"))
        erl.chmod(0o755)
        names = [str(erlang / "bin" / "epmd"), "-port", str(self.epmd), "-address", "127.0.0.1"]
        if self.names is None:  # started here, not by the server, which would leave it behind as a daemon
            self.names = programs.start(names, self.folder)
            place = ("127.0.0.1", self.epmd)
            programs.wait_until(lambda: socket.create_connection(place).close(), self.names, self.folder)
        command = [str(self.root / _PROGRAM)]
        self.program = programs.start(command, self.folder, self._environment())
        programs.wait_until(lambda: self.connect().close(), self.program, self.folder, 180)

    def _environment(self) -> dict[str, str]:
        """Where everything is."""
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        files = {
            "MNESIA_BASE": "mnesia",
            "LOG_BASE": "logs",
            "PID_FILE": "pid",
            "CONFIG_FILE": "conf",
            "ENABLED_PLUGINS_FILE": "plugins",
        }
        return {
            "HOME": str(self.folder),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution),
            **{f"RABBITMQ_{name}": str(self.folder / file) for name, file in files.items()},
            "ERL_EPMD_PORT": str(self.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": local,
        }

    def kill(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        if self.program is not None:
            programs.stop(self.program, gently_s=0)


@contextmanager
def running() -> Iterator[RabbitMq]:
    """A server for as long as the block runs; nothing is left of it."""
    root = debian.fetch("rabbitmq", _PROGRAM)
    folder = Path(tempfile.mkdtemp(prefix="orrery-rabbit-"))
    server = RabbitMq(root, folder, *programs.free_ports(3))
    (folder / "plugins").write_text("[].")
    try:
        server.start()
        yield server
    finally:
        server.kill()
        if server.names is not None:
            programs.stop(server.names, gently_s=0)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        debian.fetch("rabbitmq", _PROGRAM)
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
