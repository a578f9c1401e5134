"""Kafka's client: opened and closed, every wait with an end, and its words without secrets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from orrery.data.masking import hide
from orrery.data.sources.kafka_address import Address
from orrery.errors import SourceError, did_you_mean, listing
from orrery.extras import require

R = TypeVar("R")

# librdkafka remarks on every broker that is away; what matters of it is in our errors.
_log = logging.getLogger("orrery.kafka")
_log.addHandler(logging.NullHandler())

_POLL_S = 0.5
_PATIENCE_S = 5.0
"""How long a client may hear nothing before another takes its place."""
_QUEUED_KB = 16 << 10
"""Of one partition's messages, how many may wait in the client."""
_AT_ONCE = 8_192


@dataclass
class _Place:
    """How far the reading of a partition is, and when something was heard last."""

    at: int
    end: int
    heard: float


@dataclass
class Client:
    """A connection to one cluster, for one topic."""

    address: Address
    errors: list[Any] = field(default_factory=list)
    """What librdkafka reported last."""

    @property
    def settings(self) -> dict[str, Any]:
        """What both of its clients share."""
        return {**self.address.client(), "error_cb": self._heard, "logger": _log}

    def _heard(self, error: Any) -> None:
        self.errors[:] = [error]

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """What librdkafka raises becomes SourceError, without the password."""
        kafka = require("confluent_kafka", "Reading Kafka")
        try:
            yield
        except kafka.KafkaException as error:
            raise self.failed(str(error.args[0].str() if hasattr(error.args[0], "str") else error)) from None

    def failed(self, said: str) -> SourceError:
        """What happened, with the address."""
        text = hide(" ".join(said.split()), f"kafka://x:{self.address.password}@x") if said else ""
        return SourceError(
            f"{self.address.shown}: {text}", hint="Is the broker running, and may you read the topic?"
        )

    def late(self, waited_for: str) -> SourceError:
        """Nobody answered in time."""
        heard = f"; the last that was heard: {self.errors[0].str()}" if self.errors else ""
        limit = f"{self.address.timeout_s:g} s"
        return self.failed(f"no answer from {self.address.brokers} within {limit} about {waited_for}{heard}")

    def refused(self) -> None:
        """Raise where the brokers do not let us in: they will not change their mind."""
        kafka = require("confluent_kafka", "Reading Kafka")
        final = (kafka.KafkaError._AUTHENTICATION, kafka.KafkaError._SSL, kafka.KafkaError._FATAL)
        if self.errors and self.errors[0].code() in final:
            raise self.failed(self.errors[0].str())

    @contextmanager
    def asking(self) -> Iterator[Questions]:
        """A connection for questions about the topic."""
        made = require("confluent_kafka.admin", "Reading Kafka").AdminClient
        with self.speaking():
            admin = made(self.settings)
            admin.poll(0)
            yield Questions(self, admin)

    def messages(self, partition: int, start: int, end: int) -> Iterator[list[Any]]:
        """The messages of one partition from one offset to before another, some at a time.

        Offsets may be missing: of transactions' own marks, and of what compaction removed. Raises SourceError
        where the broker says nothing for as long as it may, and where messages were deleted meanwhile.
        """
        place = _Place(start, end, time.monotonic())
        while place.at < end:
            with self._consuming(partition, place.at) as consumer:
                yield from self._until(consumer, partition, place)

    @contextmanager
    def _consuming(self, partition: int, at: int) -> Iterator[Any]:
        kafka = require("confluent_kafka", "Reading Kafka")
        consumer = kafka.Consumer({**self.settings, **_CONSUMER, "group.id": f"orrery-{uuid4().hex}"})
        try:
            with self.speaking():
                consumer.assign([kafka.TopicPartition(self.address.topic, partition, at)])
                yield consumer
        finally:
            consumer.close()

    def _until(self, consumer: Any, partition: int, place: _Place) -> Iterator[list[Any]]:
        """What a client gets until the end, or until another should try: some do not get over a crash."""
        opened = time.monotonic()
        while place.at < place.end:
            first = consumer.poll(min(_POLL_S, self.address.timeout_s))
            found = [] if first is None else [first, *consumer.consume(_AT_ONCE - 1, 0)]
            taken, place.at = self._taken(found, place.at, place.end)
            now = time.monotonic()
            if found:
                place.heard = now
            elif now - place.heard > self.address.timeout_s:
                raise self.late(f"partition {partition}, of which offset {place.at} is next")
            else:
                self.refused()
                if now - max(place.heard, opened) > _PATIENCE_S:
                    return
            if taken:
                yield taken
                place.heard = time.monotonic()  # the time that the reader took is not the broker's

    def _taken(self, found: Sequence[Any], at: int, end: int) -> tuple[list[Any], int]:
        """The messages before the end, and the offset that is next; the end, once it was reached."""
        kafka = require("confluent_kafka", "Reading Kafka").KafkaError
        taken = []
        for message in found:
            error = message.error()
            if error is None and message.offset() < end:
                taken.append(message)
                at = message.offset() + 1
            elif error is None or error.code() == kafka._PARTITION_EOF:
                at = end if message.offset() >= end else at
            elif error.code() in (kafka._AUTO_OFFSET_RESET, kafka.OFFSET_OUT_OF_RANGE):
                raise self.failed(
                    f"the messages of partition {message.partition()} from offset {at} on were deleted"
                )
            elif not _passes(error):
                raise self.failed(error.str())
            else:
                self._heard(error)
        return taken, at


_PASSING = (
    *("_TRANSPORT", "_TIMED_OUT", "_TIMED_OUT_QUEUE", "_ALL_BROKERS_DOWN", "_RESOLVE", "_WAIT_COORD"),
    *("UNKNOWN_TOPIC_OR_PART", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "REQUEST_TIMED_OUT"),
    *("BROKER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE", "NETWORK_EXCEPTION", "KAFKA_STORAGE_ERROR"),
    *(
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
        "OFFSET_NOT_AVAILABLE",
        "PREFERRED_LEADER_NOT_AVAILABLE",
    ),
)


def _passes(error: Any) -> bool:
    """Whether an error may go away by itself: a broker that restarts, or one that takes over from another."""
    codes = type(error)
    return error.code() in {getattr(codes, name) for name in _PASSING if hasattr(codes, name)}


_CONSUMER: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "check.crcs": True,
    "reconnect.backoff.max.ms": 1_000,
    "queued.max.messages.kbytes": _QUEUED_KB,
    "fetch.wait.max.ms": 100,
    "max.poll.interval.ms": 86_400_000,  # who reads a table may take his time
}


@dataclass
class Questions:
    """Questions about a topic, each answered in time or not at all."""

    client: Client
    admin: Any

    def partitions(self) -> tuple[str, list[int]]:
        """The topic's identity, and the numbers of its partitions. Raises SourceError."""
        kafka = require("confluent_kafka", "Reading Kafka")
        topic = self.client.address.topic
        asked = kafka.TopicCollection([topic])

        def ask(within_s: float) -> Any:
            answer = self.admin.describe_topics(asked, request_timeout=within_s)[topic]
            try:
                return answer.result(within_s + 1)
            except kafka.KafkaException as error:
                if error.args[0].code() != kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                return None

        found = self._asked(ask, f"the topic {topic!r}")
        if found is not None:
            return str(found.topic_id), sorted(partition.id for partition in found.partitions)
        names = self._asked(lambda s: self.admin.list_topics(timeout=s), "its topics").topics
        names = sorted(name for name in names if not name.startswith("__"))
        raise SourceError(
            f"There is no topic {topic!r} at {self.client.address.brokers}; there are {listing(names)}.",
            hint=did_you_mean(topic, names),
        )

    def offsets(self, partitions: Sequence[int], spec: Any) -> dict[int, int]:
        """Each partition's offset by a spec of librdkafka's; -1 where no message is that late."""
        kafka = require("confluent_kafka", "Reading Kafka")
        committed = self.client.address.isolation == "read_committed"
        level = getattr(kafka.IsolationLevel, "READ_COMMITTED" if committed else "READ_UNCOMMITTED")
        asked = {kafka.TopicPartition(self.client.address.topic, p): spec for p in partitions}

        def ask(within_s: float) -> dict[int, int]:
            answers = self.admin.list_offsets(asked, isolation_level=level, request_timeout=within_s)
            return {p.partition: answer.result(within_s + 1).offset for p, answer in answers.items()}

        return self._asked(ask, f"the offsets of {self.client.address.topic!r}")

    def _asked(self, ask: Callable[[float], R], about: str) -> R:
        """An answer, asked for again and again while there is time."""
        kafka = require("confluent_kafka", "Reading Kafka")
        end = time.monotonic() + self.client.address.timeout_s
        while True:
            left = end - time.monotonic()
            try:
                return ask(max(0.1, min(left, 2.0)))
            except (kafka.KafkaException, TimeoutError) as error:
                self.admin.poll(0)
                self.client.refused()
                told = error.args[0] if error.args and isinstance(error.args[0], kafka.KafkaError) else None
                if told is not None and not _passes(told):
                    raise
                if time.monotonic() >= end:
                    raise self.client.late(about) from None
