"""MQTT, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.contracts.brokers.bench import Sent, started

from orrery.serving.stream.broker import Wiring
from orrery.serving.stream.mqtt import inbox
from orrery.serving.stream.stream import Stream


class Mqtt:
    """Two topics, with readers that were there before."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self.server = ask("mosquitto")
        self.name = f"s-{uuid4().hex}"
        self.source = f"{self.server.url}/{self.name}"
        self.to = f"{self.source}-out"
        self._seen: dict[str, list[Sent]] = {"out": [], "dead": []}
        self._subscribe("out", f"{self.name}-out")
        self._subscribe("dead", f"{self.name}-out/dead")
        for instance in ("", "a"):  # the broker keeps messages for those who were there before
            first = inbox(self.source, Wiring(group=self.name, instance=instance))
            first.open(lambda: None)
            first.close()

    def put(self, messages: Sequence[Sent]) -> None:
        """Each acknowledged by the broker."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        with self._client() as client:
            sent = []
            for message in messages:
                properties = Properties(PacketTypes.PUBLISH)
                pairs = [("id", uuid4().hex), *((n, v.decode()) for n, v in message.headers.items())]
                pairs += [] if message.key is None else [("key", message.key.decode())]
                properties.UserProperty = pairs
                sent.append(client.publish(self.name, message.value, qos=1, properties=properties))
            for one in sent:
                one.wait_for_publish(60)
                assert one.is_published()

    def answers(self) -> list[Sent]:
        """All that ever came."""
        return self._all("out")

    def dead(self) -> list[Sent]:
        """All dead letters."""
        return self._all("dead")

    def _all(self, which: str) -> list[Sent]:
        """What the broker kept for our reader, and what came before."""
        came = threading.Event()

        def on_message(_: Any, __: Any, message: Any) -> None:
            headers = {n: v.encode() for n, v in getattr(message.properties, "UserProperty", ())}
            self._seen[which].append(Sent(message.payload, headers.pop("key", None), headers))
            came.set()

        with self._client(f"{self.name}-{which}", on_message):
            while came.wait(0.3):
                came.clear()
        return list(self._seen[which])

    @contextmanager
    def _client(self, name: str = "", on_message: Any = None) -> Iterator[Any]:
        client = self.server.connect(name)
        client.on_message = on_message
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def _subscribe(self, which: str, topic: str) -> None:
        with self._client(f"{self.name}-{which}") as client:
            done = threading.Event()
            client.on_subscribe = lambda *_: done.set()
            client.subscribe(topic, qos=1)
            assert done.wait(30)

    def stream(self, model: Any, **options: Any) -> Stream:
        """By address."""
        return started(self, model, **{"group": self.name, **options})

    def words(self) -> list[str]:
        """The options, for the command line."""
        return ["--group", self.name]

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is ended, and started again."""
        self.server.stop()
        try:
            yield
        finally:
            self.server.start()
