"""Kafka: ``kafka://host:9092/orders``. Answers go to the partition of their key, or of the message's own.

A group shares the partitions of a topic. Before one goes to another scorer, what was taken of it is answered
and acknowledged. Exactly once is a transaction that holds answers, dead letters and offsets; a scorer that
lost its partitions meanwhile is fenced by its group's generation, one whose name another took by its epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from orrery.data.sources import kafka_address
from orrery.data.sources.kafka_address import Address
from orrery.data.sources.kafka_client import Client
from orrery.extras import require
from orrery.serving.stream.broker import Message, Wiring
from orrery.serving.stream.kafka_outbox import KafkaOutbox, TransactionalOutbox
from orrery.serving.stream.kafka_words import CLIENT, broken, check_heard, passes

_QUEUED_KB = 32 << 10
_SESSION_S = 10


class KafkaInbox:
    """Reads the partitions of a topic that the group gives it."""

    def __init__(self, address: Address, wiring: Wiring) -> None:
        self.address = address
        self.wiring = wiring
        self.rebalances = 0
        self._client = Client(address)
        self._consumer: Any = None
        self._settle: Callable[[], None] = _nothing
        self._next: dict[int, int] = {}
        """Partition that is ours -> the offset that is taken next; -1 before the first."""
        self._owed: dict[int, int] = {}
        """Partition -> the offset to commit, where the broker did not take it yet."""

    def open(self, settle: Callable[[], None]) -> None:
        """Join the group. Raises SourceError where there is no such topic, or no broker."""
        kafka = require("confluent_kafka", "Streams of Kafka")
        self._settle = settle
        with self._client.asking() as questions:
            questions.partitions()
        settings = {**self._client.settings, **_CONSUMER, "group.id": self.wiring.group}
        if self.wiring.instance:
            settings["group.instance.id"] = self.wiring.instance
        with self._client.speaking():
            self._client.errors.clear()
            self._consumer = kafka.Consumer(settings)
            self._consumer.subscribe(
                [self.address.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )

    def take(self, most: int, wait_s: float) -> list[Message]:
        """Whatever the client has fetched."""
        check_heard(self._client)
        first = self._consumer.poll(wait_s)
        if first is None:
            return []
        taken = []
        for record in (first, *self._consumer.consume(most - 1, 0)) if most > 1 else (first,):
            error = record.error()
            if error is not None:
                if not passes(error):
                    raise broken(self._client, error)
                continue
            partition, offset = record.partition(), record.offset()
            after = self._next.get(partition)
            if after is not None and offset >= after:  # else it was taken from us, or comes twice
                self._next[partition] = offset + 1
                taken.append(_message(record, partition, offset))
        return taken

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Commit their offsets. While the group is shared out anew, they are owed."""
        kafka = require("confluent_kafka", "Streams of Kafka")
        self._owed.update({message.lane: message.handle + 1 for message in messages})
        try:
            self._consumer.commit(offsets=self._places(self._owed), asynchronous=False)
            self._owed.clear()
        except kafka.KafkaException as error:
            if not passes(error.args[0]):
                raise broken(self._client, error.args[0]) from None

    def _places(self, offsets: dict[int, int]) -> list[Any]:
        kafka = require("confluent_kafka", "Streams of Kafka")
        return [kafka.TopicPartition(self.address.topic, p, offset) for p, offset in offsets.items()]

    def position(self, messages: Sequence[Message]) -> tuple[list[Any], Any]:
        """The offsets behind messages, and what the group knows this scorer by: a transaction needs both."""
        offsets = {message.lane: message.handle + 1 for message in messages}
        return self._places(offsets), self._consumer.consumer_group_metadata()

    def lag(self) -> int | None:
        """By what the client heard last."""
        kafka = require("confluent_kafka", "Streams of Kafka")
        waiting = 0
        for partition, at in self._next.items():
            place = kafka.TopicPartition(self.address.topic, partition)
            low, high = self._consumer.get_watermark_offsets(place, cached=True)
            waiting += max(0, high - max(at, low)) if high >= 0 else 0
        return waiting

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        self._settle = _nothing  # who is left without an answer now, is given again
        if consumer is not None:
            consumer.close()
        self._next.clear()
        self._owed.clear()

    def _assigned(self, _: Any, places: Sequence[Any]) -> None:
        self.rebalances += 1
        self._next.update({place.partition: -1 for place in places})

    def _revoked(self, _: Any, places: Sequence[Any]) -> None:
        try:
            self._settle()
        finally:
            for place in places:
                self._next.pop(place.partition, None)
                self._owed.pop(place.partition, None)


_CONSUMER: dict[str, Any] = {
    **CLIENT,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": _SESSION_S * 1000,
    "heartbeat.interval.ms": 1_000,
    "max.poll.interval.ms": 600_000,
    "check.crcs": True,
    "queued.max.messages.kbytes": _QUEUED_KB,
    "fetch.wait.max.ms": 100,
}


def _nothing() -> None:
    pass


def _message(record: Any, partition: int, offset: int) -> Message:
    sort, time_ms = record.timestamp()
    return Message(
        record.value(),
        f"{record.topic()}/{partition}/{offset}",
        record.key(),
        partition,
        record.headers() or (),
        time_ms if sort else 0,
        offset,
    )


def inbox(place: str, wiring: Wiring) -> KafkaInbox:
    """An inbox on ``kafka://host:9092/topic``."""
    return KafkaInbox(kafka_address.parse(place), wiring)


def outbox(place: str, wiring: Wiring) -> KafkaOutbox:
    """An outbox on ``kafka://host:9092/topic``; dead letters go to ``topic.dead-letter`` unless told."""
    address = kafka_address.parse(place)
    dead = replace(address, topic=wiring.dead_letter or f"{address.topic}.dead-letter")
    if wiring.guarantee == "exactly-once":
        return TransactionalOutbox(address, dead, wiring)
    return KafkaOutbox(address, dead, wiring)
