"""NATS JetStream: ``nats://host:4222/orders.new``, the last part a subject that a stream holds.

A group is a durable consumer. Messages are asked for in numbers that fit into memory, and acknowledged one by
one. Where a scorer ended without a word, and nobody else of its group asks, or it has a name of its own, the
consumer is begun anew behind the last that was acknowledged: what was left comes first, and in its order.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from orrery.errors import BrokerError
from orrery.extras import require
from orrery.serving.stream.bounded import Bounded
from orrery.serving.stream.broker import Letter, Message, Refused, Wiring
from orrery.serving.stream.nats_line import (
    PURPOSE,
    Line,
    from_headers,
    pending_of,
    stream_of,
    to_headers,
    word,
)
from orrery.serving.stream.place import Place, parse

_ASKED_S = 5.0  # for which the server keeps a request for messages
_ACK_WAIT_S = 60.0


class NatsInbox:
    """Reads a subject for a group."""

    def __init__(self, place: Place, wiring: Wiring) -> None:
        self.place = place
        self.wiring = wiring
        self._line = Line(place)
        self._stream = ""
        self._come: asyncio.Queue[Any] = asyncio.Queue()
        self._credit = 0  # messages that were asked for and did not come yet
        self._until_s = 0.0
        self._waiting: int | None = None
        self._taken: list[Message] = []
        self._bounded = Bounded()

    def open(self, settle: Callable[[], None]) -> None:
        """Connect, and join the group; a new group begins with the first message there is."""
        self._taken, self._credit = [], 0
        self._line.open()
        self._line.run(self._join())

    async def _join(self) -> None:
        self._come = asyncio.Queue()
        self._stream = await stream_of(self._line, self.place.name, make=False)
        await self._consume()
        self._inbox = self._line.nc.new_inbox()
        await self._line.nc.subscribe(self._inbox, cb=self._came)

    async def _consume(self) -> None:
        """Have the group's consumer, begun anew where one ended without a word."""
        api = require("nats.js.api", PURPOSE)
        name, start = word(self.wiring.group), 1
        with suppress(require("nats.js.errors", PURPOSE).NotFoundError):
            found = await self._line.js.consumer_info(self._stream, name)
            is_left = found.num_ack_pending and (self.wiring.instance or not found.num_waiting)
            if not is_left:
                return
            start = found.ack_floor.stream_seq + 1
            await self._line.js.delete_consumer(self._stream, name)
        config = api.ConsumerConfig(
            durable_name=name,
            filter_subject=self.place.name,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT_S,
            max_ack_pending=1 << 16,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
        )
        await self._line.js.add_consumer(self._stream, config)

    async def _came(self, message: Any) -> None:
        status = (message.headers or {}).get("Status") if not message.reply else None
        if status is not None:
            self._credit = 0  # the request is over: nothing more comes for it
        else:
            self._credit -= 1
            self._come.put_nowait(message)

    def take(self, most: int, wait_s: float) -> list[Message]:
        """Whatever has come."""
        messages = self._line.run(self._take(self._bounded.most(most), wait_s))
        self._taken += messages
        self._bounded.seen(messages)
        return messages

    async def _take(self, most: int, wait_s: float) -> list[Message]:
        if self._come.empty() and (self._credit <= 0 or time.monotonic() > self._until_s):
            await self._ask(most)
        found = []
        with suppress(TimeoutError):
            found.append(await asyncio.wait_for(self._come.get(), wait_s or 0.001))
        await asyncio.sleep(0)
        while not self._come.empty() and len(found) < most:
            found.append(self._come.get_nowait())
        return [self._message(one) for one in found]

    async def _ask(self, most: int) -> None:
        asked = {"batch": most, "expires": int(_ASKED_S * 1e9)}
        place = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{word(self.wiring.group)}"
        await self._line.nc.publish(place, json.dumps(asked).encode(), self._inbox)
        self._credit, self._until_s = most, time.monotonic() + _ASKED_S + 1.0

    def _message(self, one: Any) -> Message:
        sequence, time_ns, self._waiting = pending_of(one.reply)
        headers, key = from_headers(one.headers)
        return Message(
            one.data,
            f"{self._stream}/{sequence}",
            key,
            headers=headers,
            time_ms=time_ns // 1_000_000,
            handle=one.reply,
        )

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the server of each, and wait until it has read that."""
        self._line.run(self._tell(b"+ACK", [message.handle for message in messages]))
        del self._taken[: len(messages)]
        if self._waiting:
            self._waiting = max(0, self._waiting)

    async def _tell(self, what: bytes, replies: Sequence[str]) -> None:
        for reply in replies:
            await self._line.nc.publish(reply, what)
        await self._line.nc.flush(timeout=int(self.place.timeout_s) or 1)

    def lag(self) -> int | None:
        """How many waited behind the last that came."""
        return self._waiting

    def close(self) -> None:
        """Give back what was not acknowledged, at once, and disconnect."""
        left = [message.handle for message in self._taken]
        while not self._come.empty():
            left.append(self._come.get_nowait().reply)
        self._taken = []
        try:
            if left and self._line.nc is not None:
                with suppress(BrokerError):
                    self._line.run(self._tell(b"-NAK", left))
        finally:
            self._line.close()


class NatsOutbox:
    """Publishes to subjects; the server's word on each is waited for in ``flush``."""

    has_headers = True

    def __init__(self, place: Place, dead: str) -> None:
        self.place = place
        self.dead = dead
        self._line = Line(place)
        self._sent: list[asyncio.Future[Any]] = []

    def open(self) -> None:
        """Connect; a subject that no stream holds gets one."""
        self._sent = []
        self._line.open()
        for subject in (self.place.name, self.dead):
            self._line.run(stream_of(self._line, subject, make=True))

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Publish them; so many are on their way at most."""
        return self._line.run(self._publish(letters))

    async def _publish(self, letters: Sequence[Letter]) -> list[Refused]:
        too_large = require("nats.errors", PURPOSE).MaxPayloadError
        refused = []
        for number, letter in enumerate(letters):
            subject = self.dead if letter.is_dead else self.place.name
            headers = to_headers(letter.headers, letter.key)
            try:
                future = await self._line.js.publish_async(
                    subject, letter.value or b"", wait_stall=self.place.timeout_s, headers=headers
                )
            except too_large:
                refused.append(Refused(number, "it is larger than the server takes"))
                continue
            self._sent.append(future)
        return refused

    def flush(self) -> None:
        """Wait for the server's word."""
        sent, self._sent = self._sent, []
        if sent:
            self._line.run(asyncio.wait_for(_all(sent), self.place.timeout_s))

    def close(self) -> None:
        """Disconnect."""
        for future in self._sent:
            future.cancel()
        self._sent = []
        self._line.close()


async def _all(futures: Sequence[asyncio.Future[Any]]) -> None:
    await asyncio.gather(*futures)


def inbox(place: str, wiring: Wiring) -> NatsInbox:
    """An inbox on ``nats://host:4222/subject``."""
    return NatsInbox(parse(place, 4222), wiring)


def outbox(place: str, wiring: Wiring) -> NatsOutbox:
    """An outbox on ``nats://host:4222/subject``; dead letters go to ``dead.subject`` unless told."""
    found = parse(place, 4222)
    return NatsOutbox(found, wiring.dead_letter or f"dead.{found.name}")
