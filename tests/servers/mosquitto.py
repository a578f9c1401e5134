"""A Mosquitto server for the tests."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.servers import debian, programs

_PROGRAM = "usr/sbin/mosquitto"
_KEPT = ("persistence true", "max_queued_messages 0", "max_inflight_messages 1000")


@dataclass
class Mosquitto(debian.Server):
    """A running server."""

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
        self.run(command, lambda: self.connect().disconnect())

    def stop(self) -> None:
        """End it well: what it keeps for others is written only then."""
        if self.program is not None:
            programs.stop(self.program, gently_s=30)


@contextmanager
def running() -> Iterator[Mosquitto]:
    """A server for as long as the block runs; nothing is left of it."""
    with debian.held(Mosquitto, "mosquitto", _PROGRAM) as server:
        yield server


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    debian.fetch_or_skip("mosquitto", _PROGRAM)
    with running() as server:
        yield server
