from __future__ import annotations

import datetime as dt
import json
import pickle
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.servers.registry import Registry, registry

from orrery.data.payloads.avro import Avro
from orrery.data.payloads.avro_types import written
from orrery.data.payloads.payload import payload_of
from orrery.errors import SchemaError, SettingsError, SourceError

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "ticket", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "string"}, {"name": "count", "type": "int"}]}}},
        {"name": "best", "type": ["null", "shop.Line"]},
        {"name": "notes", "type": {"type": "map", "values": "string"}},
        {"name": "raw", "type": {"type": "fixed", "name": "Raw", "size": 3}},
        {"name": "weight", "type": ["int", "double", "null"]},
    ],
}  # fmt: skip
ROW: dict[str, Any] = {
    "id": 7,
    "price": Decimal("12.30"),
    "at": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    "day": dt.date(1999, 12, 31),
    "ticket": "8c0b3a4e-6f57-4a0f-9d3f-2f8e5d1c7b6a",
    "state": "PAID",
    "lines": [{"sku": "a", "count": 2}],
    "best": {"sku": "b", "count": 1},
    "notes": [("k", "v")],
    "raw": b"abc",
    "weight": 1.5,
}


def bare(schema: Any, row: Any) -> bytes:
    """As fastavro writes it."""
    file = BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), row)
    return file.getvalue()


def framed(number: int, schema: Any, row: Any) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + bare(schema, row)


@pytest.fixture
def server() -> Iterator[Registry]:
    with registry() as running:
        yield running


def test_types_keep_their_meaning() -> None:
    codec = Avro(avsc=ORDER).codec("orders", list)
    message = bare(ORDER, {**ROW, "notes": dict(ROW["notes"])})
    line = pa.struct({"sku": pa.string(), "count": pa.int32()})
    assert codec.schema == pa.schema(
        {
            "id": pa.int64(),
            "price": pa.decimal128(9, 2),
            "at": pa.timestamp("us", "UTC"),
            "day": pa.date32(),
            "ticket": pa.string(),
            "state": pa.string(),
            "lines": pa.list_(line),
            "best": line,
            "notes": pa.map_(pa.string(), pa.string()),
            "raw": pa.binary(3),
            "weight": pa.float64(),
        }
    )
    decoded = codec.decode([message, None])
    assert decoded.faults == {}
    assert decoded.batch.to_pylist() == [ROW, dict.fromkeys(ROW)]
    assert codec.encode(decoded.batch.slice(0, 1)) == [message]


def test_the_schema_is_values_text_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "orders.avsc"
    path.write_text(json.dumps(ORDER))
    for said in (ORDER, json.dumps(ORDER), str(path)):
        payload = Avro(avsc=said)
        assert payload.codec("t", list).schema.names == list(ROW)
        assert payload_of(json.loads(json.dumps(payload.to_dict()))) == payload
    with pytest.raises(SourceError, match=r"nowhere.avsc"):
        Avro(avsc="nowhere.avsc").codec("t", list)
    with pytest.raises(SettingsError, match="do not say what their columns are"):
        Avro().codec("t", list)


def test_a_value_that_is_no_record_is_a_column() -> None:
    codec = Avro(avsc='"long"').codec("t", list)
    assert codec.decode([bytes([6]), b""]).batch.to_pylist() == [{"value": 3}]
    assert codec.encode(pa.record_batch({"value": [3]})) == [bytes([6])]


def long(number: int) -> bytes:
    """A number as Avro writes it."""
    number, out = (number << 1) ^ (number >> 63), b""
    while number & ~0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


NUMBERS = {"type": "record", "name": "n", "fields": [
    {"name": "a", "type": {"type": "array", "items": "long"}}, {"name": "s", "type": "string"}]}  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        b"",
        long(2**62),
        long(-(2**63)) + long(3),
        long(0) + long(2**40),
        long(0) + long(-5) + b"abc",
        b"\xff" * 100_000,
        long(0) + long(2) + b"\xff\xfe",
        long(0) + long(1) + b"a" + b"more",
    ],
)
def test_hostile_bytes_are_a_fault_at_once(message: bytes) -> None:
    decoded = Avro(avsc=NUMBERS).codec("t", list).decode([message])
    assert decoded.batch.num_rows == 0
    assert "Avro of this schema" in decoded.faults[0].reason or "too many" in decoded.faults[0].reason


@given(st.binary(max_size=80))
def test_no_bytes_do_harm(message: bytes) -> None:
    decoded = Avro(avsc=ORDER).codec("t", list).decode([message])
    assert decoded.batch.num_rows + len(decoded.faults) == 1


def test_schemas_by_which_a_message_could_grow_without_end_are_refused() -> None:
    empty = {"type": "record", "name": "e", "fields": [{"name": "n", "type": "null"}]}
    for items in ("null", empty, {"type": "fixed", "name": "f", "size": 0}):
        with pytest.raises(SchemaError, match="take no bytes"):
            Avro(avsc={"type": "array", "items": items}).codec("t", list)
    tree = {"type": "record", "name": "Tree", "fields": [{"name": "left", "type": ["null", "Tree"]}]}
    with pytest.raises(SchemaError, match="'Tree' holds itself"):
        Avro(avsc=tree).codec("t", list)
    laughs: Any = "long"
    for i in range(20):
        parts = [{"name": f"f{j}", "type": laughs if j == 0 else f"r{i - 1}"} for j in range(2 if i else 1)]
        laughs = {"type": "record", "name": f"r{i}", "fields": parts}
    with pytest.raises(SchemaError, match="more than 20,000 parts"):
        Avro(avsc=laughs).codec("t", list)


@pytest.mark.parametrize(
    "schema", ["{", '{"type": "recrod"}', '"unknown"', "[" * 100_000, '["int", "string"]']
)
def test_a_schema_that_cannot_be_used_is_told(schema: str) -> None:
    with pytest.raises(SchemaError):
        Avro(avsc=schema).codec("t", list)


V1 = {
    "type": "record",
    "name": "o",
    "fields": [{"name": "id", "type": "int"}, {"name": "old", "type": "string"}],
}
V2 = {
    "type": "record",
    "name": "o",
    "fields": [{"name": "id", "type": "long"}, {"name": "new", "type": "string", "default": "none"}],
}


def test_each_message_is_read_by_the_schema_it_names(server: Registry) -> None:
    first, second = server.add("orders-value", V1), server.add("orders-value", V2)
    codec = Avro(registry=server.url).codec("orders", list)
    messages = [framed(first, V1, {"id": 1, "old": "x"}), framed(second, V2, {"id": 2, "new": "y"})]
    assert (
        codec.decode(messages * 50).batch.to_pylist()
        == [
            {"id": 1, "new": "none"},
            {"id": 2, "new": "y"},
        ]
        * 50
    )
    assert server.asked == [
        "GET /subjects/orders-value/versions/latest",
        "GET /schemas/ids/1",
        "GET /schemas/ids/2",
    ]
    assert codec.encode(pa.record_batch({"id": [2], "new": ["y"]})) == [messages[1]]
    assert pickle.loads(pickle.dumps(codec)).decode(messages).batch.num_rows == 2


def test_a_schema_of_ones_own_is_made_known(server: Registry) -> None:
    codec = Avro(registry=server.url, avsc=V2, subject="mine").codec("orders", list)
    message = codec.encode(pa.record_batch({"id": [2], "new": ["y"]}))[0]
    assert message == framed(1, V2, {"id": 2, "new": "y"})
    assert json.loads(server.schemas[0]["schema"]) == V2
    assert server.subjects == {"mine": [1]}


def test_references_to_other_schemas_are_followed(server: Registry) -> None:
    line = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
    order = {"type": "record", "name": "Order", "fields": [{"name": "line", "type": "Line"}]}
    server.add("line", line)
    number = server.add("t-value", order, references=[{"name": "Line", "subject": "line", "version": 1}])
    codec = Avro(registry=server.url).codec("t", list)
    assert codec.decode([b"\0" + number.to_bytes(4, "big") + long(1) + b"x"]).batch.to_pylist() == [
        {"line": {"sku": "x"}}
    ]


def test_messages_that_name_no_schema_are_faults_and_asked_for_once(server: Registry) -> None:
    server.add("t-value", V2)
    codec = Avro(registry=server.url).codec("t", list)
    told = codec.decode([b"", b"\1\0\0\0\1", b"\0\0\0\0\x63\2", b"\0\0\0\0\x63\2"]).faults
    assert "does not begin with a zero byte" in told[0].reason
    assert "does not begin with a zero byte" in told[1].reason
    assert told[2].reason == told[3].reason == "names the schema 99, which the registry does not have"
    assert server.asked.count("GET /schemas/ids/99") == 1
    with pytest.raises(SourceError, match=r"more than 1,000 different schemas"):
        codec.decode([b"\0" + n.to_bytes(4, "big") for n in range(5_000)])


def test_a_writer_that_does_not_fit_is_a_fault(server: Registry) -> None:
    server.add("t-value", V2)
    other = server.add("other", {"type": "record", "name": "o", "fields": [{"name": "id", "type": "string"}]})
    codec = Avro(registry=server.url).codec("t", list)
    assert (
        "does not fit" in codec.decode([b"\0" + other.to_bytes(4, "big") + long(1) + b"x"]).faults[0].reason
    )


def test_a_password_is_sent_to_the_registry_alone(server: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("t-value", V2)
    server.login = "me:s3cret"
    with pytest.raises(SourceError, match="HTTP 401"):
        Avro(registry=server.url).codec("t", list)
    monkeypatch.setenv("ORRERY_CONNECTION__REG", f"http://me:s3cret@127.0.0.1:{server.port}")
    payload = Avro(connection="reg")
    assert payload.codec("t", list).schema.names == ["id", "new"]
    assert "s3cret" not in json.dumps(payload.to_dict())
    given = Avro(registry=f"http://me:s3cret@127.0.0.1:{server.port}")
    assert "s3cret" not in json.dumps(given.to_dict())
    with registry() as stranger:
        server.moved = stranger.url
        with pytest.raises(SourceError, match="HTTP 302") as caught:
            given.codec("t", list)
        assert "s3cret" not in str(caught.value)
        assert stranger.asked == []


def test_answers_of_a_registry_are_bounded_and_checked(server: Registry) -> None:
    for answer, said in (
        (b"x" * (5 << 20), "longer than"),
        (b"[" * 100_000, "did not answer"),
        (b"[]", "not a JSON object"),
        (b"{}", "something else than a schema"),
        (b'{"id": 1, "schema": "{}"}', "cannot be used"),
        (b'{"id": 1, "schemaType": "JSON", "schema": "{}"}', "is JSON, not AVRO"),
    ):
        server.answer = answer
        with pytest.raises((SourceError, SchemaError), match=said):
            Avro(registry=server.url).codec("t", list)
    server.answer = None
    with pytest.raises(SourceError, match="no subject 't-value'"):
        Avro(registry=server.url).codec("t", list)
    with pytest.raises(SourceError, match="refused"):
        Avro(registry="http://127.0.0.1:1").codec("t", list)
    with pytest.raises(SettingsError, match="http or https"):
        Avro(registry="file:///etc/passwd").codec("t", list)


ARROW = pa.schema(
    {
        "i": pa.int16(),
        "t": pa.timestamp("ms"),
        "l": pa.list_(pa.struct({"a": pa.float32(), "b": pa.binary()})),
        "d": pa.decimal128(20, 3),
    }
)
ROWS = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-(2**15), 2**15 - 1),
        "t": st.none() | st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)).map(
            lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
        ),
        "l": st.none() | st.lists(
            st.none() | st.fixed_dictionaries(
                {"a": st.none() | st.floats(width=32, allow_nan=False), "b": st.binary(max_size=5)}
            ),
            max_size=3,
        ),
        "d": st.none() | st.decimals(-(10**16), 10**16, places=3),
    }
)  # fmt: skip


@given(st.lists(ROWS, max_size=4))
def test_rows_of_any_table_come_back_from_their_messages(rows: list[dict[str, Any]]) -> None:
    codec = Avro(avsc=written(ARROW, "row")).codec("t", list)
    batch = pa.RecordBatch.from_pylist(rows, ARROW)
    decoded = codec.decode(codec.encode(batch))
    assert decoded.faults == {}
    assert decoded.batch.to_pylist() == rows


def test_a_fixed_type_of_less_than_no_bytes_is_refused() -> None:
    with pytest.raises(SchemaError, match="'Raw' has -5 bytes"):
        Avro(avsc={"type": "fixed", "name": "Raw", "size": -5}).codec("t", list)
