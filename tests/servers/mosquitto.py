"""A Mosquitto server for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import cache, debian, programs

_PROGRAM = "usr/sbin/mosquitto"
_KEPT = ("persistence true", "max_queued_messages 0", "max_inflight_messages 1000")


@dataclass
class Mosquitto:
    """A running server."""

    root: Path
    folder: Path
    port: int
    program: programs.Program | None = None

    @property
    def url(self) -> str:
        """Its address, without a topic."""
        return f"mqtt://127.0.0.1:{self.port}"

    def connect(self, name: str = "") -> Any:
        """An independent client, connected; with a name the broker keeps what comes for it."""
        import paho.mqtt.client as mqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.max_inflight_messages_set(1000)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if name else 0
        client.connect("127.0.0.1", self.port, clean_start=not name, properties=properties)
        return client

    def start(self) -> None:
        """Start it; returns when it answers."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", f"user {user}", *_KEPT]
        (self.folder / "conf").write_text("\n".join([*lines, f"persistence_location {self.folder}/", ""]))
        command = [str(self.root / _PROGRAM), "-c", str(self.folder / "conf")]
        self.program = programs.start(command, self.folder, debian.environment(self.root))
        programs.wait_until(lambda: self.connect().disconnect(), self.program, self.folder, 60)

    def stop(self) -> None:
        """End it well: what it keeps for others is written only then."""
        if self.program is not None:
            programs.stop(self.program, gently_s=30)

    def kill(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        if self.program is not None:
            programs.stop(self.program, gently_s=0)


@contextmanager
def running() -> Iterator[Mosquitto]:
    """A server for as long as the block runs; nothing is left of it."""
    root = debian.fetch("mosquitto", _PROGRAM)
    folder = Path(tempfile.mkdtemp(prefix="orrery-mqtt-"))
    server = Mosquitto(root, folder, programs.free_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        debian.fetch("mosquitto", _PROGRAM)
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
