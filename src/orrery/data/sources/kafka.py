"""Kafka topics as tables: from an offset or a time to another, the same rows however often they are read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from orrery.aggregate import RecordBatch
from orrery.data.payloads.payload import Payload, payload_of
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Estimate, Partition
from orrery.data.sources import kafka_address
from orrery.data.sources.kafka_client import Client, Questions
from orrery.data.sources.kafka_rows import Rows
from orrery.errors import SettingsError
from orrery.extras import require
from orrery.schema import Schema
from orrery.spec import stable_key

Mark = int | str | dt.datetime | Mapping[Any, int]
"""A place in a topic: ``earliest``, ``latest``, an offset, one offset per partition, or a time."""

_SAMPLE = 10_000  # messages that tell what the columns of a topic are, where the payload does not
_SAMPLED = 16  # partitions that they are taken from, about


class Span(NamedTuple):
    """The messages of one partition from an offset to before another."""

    partition: int
    start: int
    end: int


class _Opened(NamedTuple):
    topic: str
    """Its identity: another topic of the same name has another."""
    spans: Sequence[Span]
    whole: Sequence[Span]
    """All that the topic holds."""


class Kafka:
    """The messages of a topic: the payload's columns, then where each message came from.

    ``kafka://host:9092/orders``; several brokers are separated by commas. ``payload`` is ``json``, ``text``,
    ``bytes``, ``arrow``, or settings: ``{"kind": "avro", "registry": …}``. ``start`` and ``end`` (the first
    message not read) are ``earliest``, ``latest``, an offset, a time (ISO 8601; UTC, if no zone is said), or
    ``{partition: offset}``, which leaves out the partitions that it does not name. What they mean is found
    out once, when the table is opened: messages that come later are of another table. ``offsets_per_part``
    cuts partitions, so that several workers read one.

    After the payload's columns come ``_key`` (bytes), ``_partition``, ``_offset``, ``_timestamp`` (UTC) and
    ``_headers`` (a list, since names may repeat). A message without a value is a row of nulls. Only committed
    messages are read, unless the address says ``?isolation=read_uncommitted``.
    """

    def __init__(
        self,
        place: str,
        payload: str | Mapping[str, Any] | Payload = "json",
        start: Mark = "earliest",
        end: Mark = "latest",
        types: Mapping[str, str] | None = None,
        offsets_per_part: int | None = None,
        on_bad: OnBad = "stop",
        connection: str | None = None,
    ) -> None:
        self.place = place
        self.payload = _with_types(payload_of(payload), types)
        self.start = _checked(start, "start")
        self.end = _checked(end, "end")
        self.offsets_per_part = offsets_per_part
        self.connection = connection
        self.bad = BadRows(on_bad)
        self.bytes_read = 0

    @cached_property
    def address(self) -> kafka_address.Address:
        """Where the topic lies, password included."""
        return kafka_address.parse(self.place, self.connection)

    @cached_property
    def _opened(self) -> _Opened:
        """What there is and what is read of it: pinned for as long as this source lives."""
        with Client(self.address).asking() as questions:
            topic, there = questions.partitions()
            named = [mark for mark in (self.start, self.end) if isinstance(mark, Mapping)]
            numbers = [number for number in there if all(number in mark for mark in named)]
            first, last = _offsets(questions, there, "earliest"), _offsets(questions, there, "latest")
            starts = _offsets(questions, numbers, self.start, last)
            ends = _offsets(questions, numbers, self.end, last)
        self._check_span(first, last, starts, ends)
        for number in numbers:
            if starts[number] < first[number]:
                raise Client(self.address).failed(
                    f"the messages of partition {number} from offset {starts[number]} to {first[number]} "
                    "are no longer there; start='earliest' begins with the oldest that is"
                )
        spans = [Span(n, min(starts[n], last[n]), min(ends[n], last[n])) for n in numbers]
        return _Opened(topic, spans, [Span(n, first[n], last[n]) for n in there])

    def _check_span(
        self,
        first: Mapping[int, int],
        last: Mapping[int, int],
        starts: Mapping[int, int],
        ends: Mapping[int, int],
    ) -> None:
        """Raises SettingsError for a partition that there is not, and for a span that can hold nothing."""
        there = ", ".join(f"{n}: {first[n]} to {last[n]}" for n in first)
        for name, mark in (("start", self.start), ("end", self.end)):
            if isinstance(mark, Mapping) and (unknown := [n for n in mark if n not in first]):
                raise SettingsError(
                    f"{name}= names the partition {_named(unknown)}, which {self!r} does not have.",
                    hint=f"Its partitions and their offsets are {there}.",
                )
        late = [n for n in starts if starts[n] > last[n]]
        if late and (isinstance(self.start, Mapping) or len(late) == len(starts)):
            raise SettingsError(
                f"start={self.start!r} lies beyond the end of partition {_named(late)} of {self!r}.",
                hint=f"The partitions and their offsets are {there}.",
            )
        backwards = [n for n in starts if starts[n] > ends[n]]
        offsets = isinstance(self.start, (int, Mapping)) and isinstance(self.end, (int, Mapping))
        times = isinstance(self.start, dt.datetime) and isinstance(self.end, dt.datetime)
        if (
            (offsets and backwards)
            or (backwards and len(backwards) == len(starts))
            or (times and self.start > self.end)  # type: ignore[operator]
        ):
            raise SettingsError(
                f"start={self.start!r} lies behind end={self.end!r}.",
                hint=f"The partitions of {self!r} and their offsets are {there}.",
            )

    @property
    def spans(self) -> Sequence[Span]:
        """What is read of each partition. Offsets are no count of rows: some are of no message."""
        return self._opened.spans

    @cached_property
    def _rows(self) -> Rows:
        if self.offsets_per_part is not None and self.offsets_per_part < 1:
            raise SettingsError(f"offsets_per_part is {self.offsets_per_part}; a part has at least one.")
        _ = self._opened  # whoever knows the columns has pinned the rows
        codec = self.payload.codec(self.address.topic, self._sample)
        return Rows(codec, self.address.shown.partition("?")[0])

    def _sample(self) -> list[bytes]:
        """Some of the messages, of partitions that lie evenly; of others, where none are to be read."""
        return self._some(self.spans) or self._some(self._opened.whole)

    def _some(self, spans: Sequence[Span]) -> list[bytes]:
        found: list[bytes] = []
        filled = [span for span in spans if span.start < span.end]
        filled = filled[:: max(1, len(filled) // _SAMPLED)]
        each = _SAMPLE // max(1, len(filled)) + 1
        for span in filled:
            taken = 0
            for messages in Client(self.address).messages(*span):
                values = [value for m in messages if (value := m.value()) is not None][: each - taken]
                found += values
                taken += len(values)
                if taken >= each:
                    break
        return found

    def schema(self) -> Schema:
        """The payload's columns, then those of every message."""
        return Schema.of(self._rows.schema)

    def partitions(self) -> Sequence[Partition]:
        """The topic's partitions, cut where that was asked for."""
        found: list[Partition] = []
        for partition, start, end in self.spans:
            step = self.offsets_per_part or max(1, end - start)
            for at in range(start, max(end, start + 1), step):
                where = {"partition": partition, "start": at, "end": min(at + step, end)}
                found.append(Partition(len(found), where, rows=0 if start >= end else None))
        return found

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part, by offset."""
        names = self._rows.schema.names
        batches = self._batches(partition, needed(names, columns, where))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, partition: Partition, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        found = partition.where
        for messages in Client(self.address).messages(found["partition"], found["start"], found["end"]):
            self.bytes_read += sum(len(m) + len(m.key() or b"") for m in messages)
            yield from self._rows.batches(messages, self.bad, wanted)

    @cached_property
    def _mean_bytes(self) -> float:
        found = self._sample()
        return sum(map(len, found)) / max(len(found), 1)

    def estimate(self, columns: Sequence[str] | None, where: str | None) -> Estimate:
        """By the offsets, of which some may be of no message, and the mean of some messages; all are read."""
        rows = sum(end - start for _, start, end in self.spans)
        size = round(rows * self._mean_bytes)
        return Estimate(rows, size, size)

    def fingerprint(self) -> str:
        """A hash of the topic and of the offsets that are read: messages never change."""
        spans = [list(span) for span in self.spans]
        return stable_key(self._opened.topic, self.address.topic, spans, self.payload.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The address without a password, and what is read there as it was asked for."""
        settings = {
            "payload": self.payload.to_dict(),
            "start": _plain(self.start),
            "end": _plain(self.end),
            "offsets_per_part": self.offsets_per_part,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
            "connection": self.connection,
        }
        place = f"kafka:///{self.address.topic}" if self.connection else self.address.shown
        return {"place": place, **{name: value for name, value in settings.items() if value is not None}}

    def __getstate__(self) -> dict[str, Any]:
        _ = self._rows  # workers read what was pinned here, with the columns found here
        return self.__dict__

    def __repr__(self) -> str:
        return self.address.shown


def _named(partitions: Sequence[int]) -> str:
    return ", ".join(map(str, partitions))


def _with_types(payload: Payload, types: Mapping[str, str] | None) -> Payload:
    if not types:
        return payload
    if "types" not in type(payload).model_fields:
        raise SettingsError(f"types= is for JSON; the payload {payload.kind!r} has types of its own.")
    return payload.replace(types=dict(types))


def _checked(where: Mark, name: str) -> Mark:
    """A place in a topic as it is compared and asked for: times in UTC, partitions as numbers."""
    if isinstance(where, Mapping):
        return {int(number): int(offset) for number, offset in where.items()}
    if isinstance(where, str) and where in ("earliest", "latest"):
        return where
    if isinstance(where, int) and not isinstance(where, bool) and where >= 0:
        return where
    try:
        moment = dt.datetime.fromisoformat(where) if isinstance(where, str) else where
        if isinstance(moment, dt.datetime):
            return moment.replace(tzinfo=moment.tzinfo or dt.UTC)
    except ValueError:
        pass
    raise SettingsError(
        f"{name}={where!r} is no place in a topic.",
        hint="There are 'earliest', 'latest', an offset, a time ('2026-01-31T08:00'), {partition: offset}.",
    )


def _plain(where: Mark) -> Any:
    if isinstance(where, Mapping):
        return {str(number): offset for number, offset in where.items()}
    return where.isoformat() if isinstance(where, dt.datetime) else where


def _offsets(
    questions: Questions, numbers: Sequence[int], where: Mark, last: Mapping[int, int] | None = None
) -> dict[int, int]:
    """The offset of each partition that a place means; after the last message, where it is later than all."""
    if isinstance(where, Mapping):
        return {number: where[number] for number in numbers}
    if isinstance(where, int):
        return dict.fromkeys(numbers, where)
    if not numbers:
        return {}
    spec = require("confluent_kafka.admin", "Reading Kafka").OffsetSpec
    if isinstance(where, dt.datetime):
        asked = spec.for_timestamp(int(where.timestamp() * 1000))
    else:
        asked = spec.earliest() if where == "earliest" else spec.latest()
    found = questions.offsets(numbers, asked)
    return {number: (last or found)[number] if offset < 0 else offset for number, offset in found.items()}
