"""Topics on a real broker."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers.kafka import Kafka
from tests.servers.registry import registry

from orrery.data.sources import kafka_client
from orrery.data.sources.kafka import Span
from orrery.data.sources.kafka_address import parse
from orrery.data.table import Table, read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError


def numbered(first: int, last: int) -> list[bytes]:
    return [json.dumps({"id": i}).encode() for i in range(first, last)]


def ids(table: Table) -> list[int]:
    return [row["id"] for row in table.select("id").to_rows()]


def opened(server: Kafka, topic: str, **options: Any) -> Table:
    return read(f"kafka://{server.bootstrap}/{topic}", **options)


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """Ten messages in each of two partitions."""
    name = kafka.topic(partitions=2)
    kafka.send(name, numbered(0, 10), 0)
    kafka.send(name, numbered(10, 20), 1)
    return name


def test_a_message_is_a_row_and_says_where_it_came_from(kafka: Kafka) -> None:
    name = kafka.topic()
    at = 1_767_323_045_678
    kafka.send(name, [b'{"id": 1}'], key=b"\xffk", headers=[("h", b"1"), ("h", b"2")], timestamp=at)
    kafka.send(name, [b'{"id": 2}', None], timestamp=at)
    table = opened(kafka, name)
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
    first, second, deleted = table.to_rows()
    assert first == {
        "id": 1,
        "_key": b"\xffk",
        "_partition": 0,
        "_offset": 0,
        "_timestamp": moment,
        "_headers": [{"key": "h", "value": b"1"}, {"key": "h", "value": b"2"}],
    }
    assert second == {
        "id": 2,
        "_key": None,
        "_partition": 0,
        "_offset": 1,
        "_timestamp": moment,
        "_headers": [],
    }
    assert deleted == {**second, "id": None, "_offset": 2}
    assert table.select("_offset", "id").to_rows() == [
        {"_offset": 0, "id": 1},
        {"_offset": 1, "id": 2},
        {"_offset": 2, "id": None},
    ]
    assert table.where("_offset >= 1 and id is null").count() == 1


def test_what_is_read_is_pinned_when_the_table_is_opened(kafka: Kafka, topic: str) -> None:
    table = opened(kafka, topic)
    assert table.source.spans == [Span(0, 0, 10), Span(1, 0, 10)]
    before = table.fingerprint()
    kafka.send(topic, numbered(100, 105), 1)
    assert ids(table) == ids(table) == list(range(20))
    assert table.fingerprint() == before
    unread = opened(kafka, topic, end=3).source
    assert unread.partitions() == pickle.loads(pickle.dumps(unread)).partitions()
    worker = pickle.loads(pickle.dumps(table.source))
    assert [
        r["id"] for part in worker.partitions() for b in worker.read(part, ["id"]) for r in b.to_pylist()
    ] == [*range(20)]
    late = pickle.loads(pickle.dumps(opened(kafka, topic, payload="bytes").source))
    kafka.send(topic, numbered(105, 106), 1)
    assert sum(b.num_rows for part in late.partitions() for b in late.read(part)) == 25, "pinned when it left"
    again = opened(kafka, topic)
    assert again.count() == 26
    assert again.fingerprint() != before


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("earliest", "latest", [*range(20)]),
        (7, "latest", [7, 8, 9, 17, 18, 19]),
        (0, 3, [0, 1, 2, 10, 11, 12]),
        ("earliest", 10_000, [*range(20)]),
        ("latest", "latest", []),
        (10, "latest", []),
        (5, 5, []),
        ({0: 8}, "latest", [8, 9]),
        ({0: 8, 1: 0}, {1: 2}, [10, 11]),
        ({}, "latest", []),
        ("2020-01-01", "2021-01-01T00:00:00+02:00", []),
        (dt.datetime(2020, 1, 1), "latest", [*range(20)]),
        ("2100-01-01", "latest", []),
    ],
)
def test_a_table_goes_from_one_place_of_a_topic_to_another(
    kafka: Kafka, topic: str, start: Any, end: Any, expected: list[int]
) -> None:
    table = opened(kafka, topic, start=start, end=end)
    assert ids(table) == expected
    plan = json.loads(json.dumps(table.to_dict()))
    assert ids(Table.from_dict(plan)) == expected


def test_times_are_of_the_messages(kafka: Kafka) -> None:
    name = kafka.topic()
    hour = 3_600_000
    for i in range(5):
        kafka.send(name, numbered(i, i + 1), timestamp=1_767_225_600_000 + i * hour)  # 2026-01-01T00:00Z
    assert ids(opened(kafka, name, start="2026-01-01T01:00", end="2026-01-01T04:00+01:00")) == [1, 2]
    assert ids(opened(kafka, name, start=dt.datetime(2026, 1, 1, 3, 30))) == [4]


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ({7: 1}, "latest", "start= names the partition 7"),
        ("earliest", {0: 1, 2: 1}, "end= names the partition 2"),
        (11, "latest", "beyond the end of partition 0, 1"),
        ({0: 3, 1: 11}, "latest", "beyond the end of partition 1 "),
        (5, 3, "start=5 lies behind end=3"),
        ({0: 5, 1: 0}, {0: 4, 1: 9}, "lies behind end"),
        ("latest", "earliest", "lies behind end"),
        ("2026-02-01", "2026-01-01", "lies behind end"),
    ],
)
def test_a_span_that_holds_nothing_is_told(kafka: Kafka, topic: str, start: Any, end: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        opened(kafka, topic, start=start, end=end).count()
    assert "0: 0 to 10, 1: 0 to 10" in str(caught.value)


@pytest.mark.parametrize("wrong", ["soon", -1, True, 1.5, None, {0: "x"}, "2026-13-01"])
def test_what_is_no_place_in_a_topic_is_told(wrong: Any) -> None:
    with pytest.raises((SettingsError, ValueError), match=r"place in a topic|invalid literal"):
        read("kafka://127.0.0.1:1/t", start=wrong)


@given(cut=st.integers(1, 12), stop=st.integers(0, 25))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_partitions_are_cut_without_losing_a_row(kafka: Kafka, topic: str, cut: int, stop: int) -> None:
    source = opened(kafka, topic, offsets_per_part=cut).source
    parts = source.partitions()
    assert [part.index for part in parts] == list(range(2 * -(-10 // cut)))
    assert all(part.where["end"] - part.where["start"] <= cut for part in parts)
    found = [r["id"] for part in parts for b in source.read(part, ["id"]) for r in b.to_pylist()]
    assert found == list(range(20))
    first = parts[0]
    rest = [r["id"] for b in source.read(first, ["id"], start=stop) for r in b.to_pylist()]
    assert rest == list(range(min(cut, 10)))[stop:]


def test_only_what_transactions_committed_is_read(kafka: Kafka) -> None:
    name = kafka.topic()
    producer = kafka.producer(**{"transactional.id": name})
    producer.init_transactions(30)
    for first, commit in ((0, True), (100, False), (200, True), (300, False)):
        producer.begin_transaction()
        for message in numbered(first, first + 10):
            producer.produce(name, message)
        producer.flush()
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)
    producer.begin_transaction()
    for message in numbered(400, 410):
        producer.produce(name, message)
    producer.flush()
    table = opened(kafka, name)
    committed = [*range(10), *range(200, 210)]
    assert table.source.spans == [Span(0, 0, 44)]  # with aborted messages and the transactions' own marks
    assert [part.rows for part in table.source.partitions()] == [None]
    assert ids(table) == committed
    assert ids(opened(kafka, name, end=15)) == list(range(10))  # ends among the aborted
    dirty = read(f"kafka://{kafka.bootstrap}/{name}?isolation=read_uncommitted")
    assert dirty.count() == 50
    producer.commit_transaction(30)
    assert ids(table) == committed
    assert ids(opened(kafka, name)) == [*committed, *range(400, 410)]


@pytest.mark.slow
def test_gaps_that_compaction_left_are_no_rows(kafka: Kafka) -> None:
    fast = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
    name = kafka.topic(config={"cleanup.policy": "compact", **fast})
    for _ in range(4):
        for i in range(5):
            kafka.send(name, numbered(i, i + 1), key=str(i).encode())
    deadline = time.monotonic() + 60
    kept: list[dict[str, Any]] = []
    last = 20
    while len(kept) != last - 15 and time.monotonic() < deadline:
        kafka.send(name, numbered(99, 100), key=f"more {last}".encode())  # rolls the segment on
        last += 1
        kept = opened(kafka, name).to_rows()
        if len(kept) < 20:
            break
    assert len(kept) < last
    assert [row["_offset"] for row in kept] == sorted({row["_offset"] for row in kept})
    newest = {row["_key"]: row["id"] for row in kept}
    assert [newest[str(i).encode()] for i in range(5)] == list(range(5))
    gone = next(o for o in range(last) if o not in {row["_offset"] for row in kept})
    assert [r["_offset"] for r in opened(kafka, name, start=gone, end=gone + 1).to_rows()] == []


def test_messages_deleted_meanwhile_are_told(kafka: Kafka) -> None:
    name = kafka.topic()
    kafka.send(name, numbered(0, 100))
    table = opened(kafka, name)
    assert table.schema.names[0] == "id"
    admin = kafka.admin()
    admin.delete_records([TopicPartition(name, 0, 40)])[TopicPartition(name, 0)].result(30)
    with pytest.raises(
        SourceError, match=f"{name}: the messages of partition 0 from offset 0 on were deleted"
    ):
        table.count()
    with pytest.raises(SourceError, match="partition 0 from offset 10 to 40 are no longer there"):
        opened(kafka, name, start=10).count()
    assert ids(opened(kafka, name)) == list(range(40, 100))


def test_bad_messages_stop_or_are_set_aside_with_their_place(kafka: Kafka) -> None:
    name = kafka.topic(partitions=2)
    kafka.send(name, [b'{"id": 1}', b"{", b'{"id": 2}'], 0)
    kafka.send(name, [b'{"id": 3}', b'{"id": "x"}'], 1)
    options: dict[str, Any] = {"types": {"id": "int64"}}
    with pytest.raises(BadRowError, match=rf"kafka://{kafka.bootstrap}/{name}\[0\]:1: .*is not JSON"):
        opened(kafka, name, **options).count()
    table = opened(kafka, name, on_bad="quarantine", **options)
    assert ids(table) == [1, 2, 3]
    place = f"kafka://{kafka.bootstrap}/{name}"
    told = [(r["place"], r["line"], r["column"], r["value"]) for r in table.quarantined().to_rows()]
    assert told == [(f"{place}[0]", 1, None, "{"), (f"{place}[1]", 1, "id", "x")]


def test_an_unknown_topic_is_told_with_the_close_ones(kafka: Kafka) -> None:
    name = kafka.topic(name="orders-of-the-day")
    with pytest.raises(
        SourceError, match=f"no topic 'orders-of-day' at {kafka.bootstrap}; .*Did you mean '{name}'"
    ):
        opened(kafka, "orders-of-day").count()
    assert "orders-of-day" not in kafka.admin().list_topics(timeout=10).topics, "asking must not make it"


def test_a_topic_without_messages_has_the_columns_that_were_said(kafka: Kafka) -> None:
    name = kafka.topic()
    with pytest.raises(SchemaError, match=f"The topic '{name}' holds no JSON object"):
        opened(kafka, name).count()
    table = opened(kafka, name, types={"id": "int64"})
    assert (table.count(), table.schema.names[0]) == (0, "id")
    assert [part.rows for part in table.source.partitions()] == [0]


def test_another_topic_of_the_same_name_is_other_data(kafka: Kafka) -> None:
    name = kafka.topic()
    kafka.send(name, numbered(0, 3))
    first = opened(kafka, name).fingerprint()
    assert opened(kafka, name).fingerprint() == first
    admin = kafka.admin()
    admin.delete_topics([name])[name].result(30)
    while name in admin.list_topics(timeout=10).topics:
        pass
    kafka.topic(name=name)
    kafka.send(name, numbered(5, 8))
    assert opened(kafka, name).fingerprint() != first


def test_columns_that_every_message_has_are_not_overwritten(kafka: Kafka) -> None:
    name = kafka.topic()
    kafka.send(name, [b'{"_key": 1}'])
    with pytest.raises(SchemaError, match=r"\['_key'\]"):
        opened(kafka, name).count()


def test_avro_from_a_registry(kafka: Kafka) -> None:
    name = kafka.topic()
    schema = {"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}]}
    with registry() as server:
        number = server.add(f"{name}-value", schema)
        messages = []
        for i in range(50):
            file = BytesIO()
            fastavro.schemaless_writer(file, schema, {"id": i})
            messages.append(b"\0" + number.to_bytes(4, "big") + file.getvalue())
        kafka.send(name, [*messages, None, b"\0\0\0\x01\x01\x02"])
        table = opened(kafka, name, payload={"kind": "avro", "registry": server.url}, on_bad="quarantine")
        assert ids(table) == [*range(50), None]
        assert [row["line"] for row in table.quarantined().to_rows()] == [51]
        assert len(server.asked) == 3  # the subject's newest, that number, and the one that is not there


def test_arrow_gives_a_message_many_rows(kafka: Kafka) -> None:
    name = kafka.topic()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema({"id": pa.int64()})) as stream:
        stream.write_batch(pa.record_batch({"id": [1, 2, 3]}))
    kafka.send(name, [bytes(sink.getvalue())] * 2, key=b"k")
    rows = opened(kafka, name, payload="arrow").select("id", "_offset", "_key").to_rows()
    assert [(r["id"], r["_offset"], r["_key"]) for r in rows] == [
        (i, offset, b"k") for offset in (0, 1) for i in (1, 2, 3)
    ]


def test_a_connection_brings_tls_and_a_password_that_is_never_shown(
    kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__SHOP", kafka.connection())
    table = read(f"kafka:///{topic}", connection="shop")
    assert ids(table) == list(range(20))
    told = f"{table!r} {table.to_dict()} {table.explain()} {table.source.address!r}"
    assert kafka.password not in told
    assert ids(Table.from_dict(json.loads(json.dumps(table.to_dict())))) == list(range(20))
    wrong = kafka.connection().replace(kafka.password, "not-the-secret")
    monkeypatch.setenv("ORRERY_CONNECTION__SHOP", wrong)
    began = time.monotonic()
    with pytest.raises(SourceError, match="Authentication failed") as caught:
        read(f"kafka:///{topic}", connection="shop").count()
    assert time.monotonic() - began < 15, "a refusal is not waited out"
    assert "not-the-secret" not in str(caught.value)
    with pytest.raises(SourceError, match="certificate verify failed"):
        read(f"kafka://test:{kafka.password}@127.0.0.1:{kafka.secure}/{topic}?tls=true").count()
    with pytest.raises(SettingsError, match="to other brokers than elsewhere:9092"):
        read(f"kafka://elsewhere:9092/{topic}", connection="shop").count()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("kafka://host:9092", "does not name brokers and a topic"),
        ("kafka:///orders", "does not name brokers and a topic"),
        ("kafka://host:9092/a topic", "does not name brokers and a topic"),
        ("kafka://host:9092/t?tsl=true", "no setting 'tsl'.*Did you mean 'tls'"),
        ("kafka://host:9092/t?isolation=none", "isolation=none"),
        ("kafka://host:9092/t?timeout_s=soon", "timeout_s=soon"),
        ("kafka://me:secret@host:9092/t/u", "The address of Kafka cannot be read; it is not shown"),
    ],
)
def test_an_address_that_leads_nowhere_is_told(place: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        read(place).count()
    assert "secret" not in str(caught.value)


def test_passwords_of_all_sorts_reach_the_client() -> None:
    address = parse("kafka://m%40e:p%2Fw%3A@h1:1,h2:2/t?mechanism=SCRAM-SHA-256&tls=true")
    assert (address.user, address.password, address.brokers) == ("m@e", "p/w:", "h1:1,h2:2")
    assert address.client()["security.protocol"] == "SASL_SSL"
    assert address.client()["sasl.mechanism"] == "SCRAM-SHA-256"


def test_a_broker_that_is_not_there_is_told_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(
        SourceError, match=r"no answer from 127.0.0.1:1 within 1 s about the topic 'orders'.*refused"
    ):
        read("kafka://127.0.0.1:1/orders?timeout_s=1").count()
    assert time.monotonic() - began < 5


@contextmanager
def killed(server: Kafka) -> Iterator[None]:
    """A broker that crashed, and is started again after the block."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@pytest.fixture
def long_topic(kafka: Kafka) -> str:
    """40 MB in one partition: more than the client asks for ahead."""
    name = kafka.topic()
    kafka.send(name, [m[:-1] + b', "fill": "' + b"x" * 1000 + b'"}' for m in numbered(0, 40_000)])
    return name


@pytest.mark.slow
def test_a_broker_killed_half_way_and_started_again_gives_each_row_once(
    kafka: Kafka, long_topic: str
) -> None:
    reading = opened(kafka, long_topic).batches(2_000, columns=["id"])
    found = next(reading).column("id").to_pylist()
    with killed(kafka):
        found += next(reading).column("id").to_pylist()  # the client still has some
    for batch in reading:
        found += batch.column("id").to_pylist()
    assert found == list(range(40_000))


@pytest.mark.slow
def test_a_broker_that_stays_away_half_way_is_told_with_the_place(kafka: Kafka, long_topic: str) -> None:
    table = read(f"kafka://{kafka.bootstrap}/{long_topic}?timeout_s=2")
    found: list[int] = []

    def go_on(reading: Iterator[pa.RecordBatch]) -> None:
        for batch in reading:
            found.extend(batch.column("id").to_pylist())

    reading = table.source.read(table.source.partitions()[0], ["id"])
    found += next(reading).column("id").to_pylist()
    silent = f"no answer from {kafka.bootstrap} within 2 s about partition 0, of which offset"
    with killed(kafka), pytest.raises(SourceError, match=silent) as caught:
        go_on(reading)
    assert long_topic in str(caught.value)
    at = int(str(caught.value).partition("of which offset ")[2].split()[0])
    assert found == list(range(at)), "every row before the place that is told, and none after"
    assert ids(opened(kafka, long_topic, start=at)) == list(range(at, 40_000))


def test_a_broker_that_falls_silent_is_told_in_time(kafka: Kafka, topic: str) -> None:
    place = f"kafka://{kafka.bootstrap}/{topic}?timeout_s=1"
    known = read(place)
    assert known.schema.names[0] == "id"
    began = time.monotonic()
    with kafka.silent():
        with pytest.raises(SourceError, match=f"within 1 s about the topic '{topic}'"):
            read(place).count()
        with pytest.raises(SourceError, match="within 1 s about partition 0, of which offset 0 is next"):
            known.count()
    assert time.monotonic() - began < 10


def test_reading_can_be_given_up_at_any_moment(kafka: Kafka) -> None:
    name = kafka.topic()
    kafka.send(name, numbered(0, 50_000))
    table = opened(kafka, name)
    before = threading.active_count()
    batches: Any
    for batches in (table.batches(10), table.batches(10)):
        next(batches)
        began = time.monotonic()
        batches.close()
        assert time.monotonic() - began < 1
    assert threading.active_count() == before


def test_memory_is_bounded_by_bytes(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orrery.data.sources.kafka_rows._BATCH_BYTES", 10_000)
    name = kafka.topic()
    kafka.send(name, [b"x" * 4_000] * 30)
    source = opened(kafka, name, payload="bytes").source
    sizes = [batch.num_rows for part in source.partitions() for batch in source.read(part)]
    assert sum(sizes) == 30
    assert max(sizes) <= 3


def test_a_slow_reader_is_not_taken_for_a_silent_broker(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the wait begins anew when the reader asks again."""
    name = kafka.topic()
    kafka.send(name, numbered(0, 30_000))
    source = opened(kafka, name).source
    now = [0.0]
    monkeypatch.setattr(kafka_client.time, "monotonic", lambda: now[0])
    count = 0
    for batch in source.read(source.partitions()[0]):
        count += batch.num_rows
        now[0] += 3_600
    assert count == 30_000
