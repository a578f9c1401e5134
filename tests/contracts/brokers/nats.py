"""NATS JetStream, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.contracts.brokers.bench import Sent, started

from orrery.serving.stream.stream import Stream


class Nats:
    """Two subjects, each with a stream."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self.server = ask("nats")
        self.name = f"s-{uuid4().hex}"
        self.source = f"{self.server.url}/{self.name}"
        self.server.ask(self._made)
        self.to = f"{self.source}-out"

    async def _made(self, _: Any, js: Any) -> None:
        await js.add_stream(name=self.name, subjects=[self.name])

    def put(self, messages: Sequence[Sent]) -> None:
        """Each acknowledged by the server."""

        async def publish(_: Any, js: Any) -> None:
            for start in range(0, len(messages), 500):
                futures = []
                for message in messages[start : start + 500]:
                    headers = {name: value.decode() for name, value in message.headers.items()}
                    if message.key is not None:
                        headers["key"] = message.key.decode()
                    sent = js.publish_async(self.name, message.value or b"", headers=headers or None)
                    futures.append(await sent)
                await asyncio.gather(*futures)

        self.server.ask(publish)

    def answers(self) -> list[Sent]:
        """All messages."""
        return self._all(f"{self.name}-out")

    def dead(self) -> list[Sent]:
        """All dead letters."""
        return self._all(f"dead.{self.name}-out")

    def _all(self, subject: str) -> list[Sent]:
        async def read(_: Any, js: Any) -> list[Sent]:
            import nats.js.errors

            found: list[Sent] = []
            try:
                there = (await js.stream_info(await js.find_stream_name_by_subject(subject))).state.messages
            except nats.js.errors.NotFoundError:
                return []
            reader = await js.subscribe(subject, ordered_consumer=True)
            while len(found) < there:
                message = await reader.next_msg(timeout=60)
                headers = {name: value.encode() for name, value in (message.headers or {}).items()}
                found.append(Sent(message.data, headers.pop("key", None), headers))
            return found

        return self.server.ask(read)

    def stream(self, model: Any, **options: Any) -> Stream:
        """By address."""
        return started(self, model, **{"group": self.name, **options})

    def words(self) -> list[str]:
        """The options, for the command line."""
        return ["--group", self.name]

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is killed, and started again."""
        self.server.kill()
        try:
            yield
        finally:
            self.server.start()
