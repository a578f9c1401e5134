from __future__ import annotations

import datetime as dt
import json
import pickle
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orrery.data.payloads.payload import Codec, payload_of
from orrery.data.payloads.protobuf import Protobuf
from orrery.errors import SchemaError, SourceError

F = descriptor_pb2.FieldDescriptorProto
IMPORTS = [timestamp_pb2, struct_pb2, wrappers_pb2]


def field(number: int, name: str, kind: int, type_name: str | None = None, **more: Any) -> Any:
    label = more.pop("label", F.LABEL_OPTIONAL)
    return F(name=name, number=number, type=kind, label=label, type_name=type_name, **more)


def descriptors() -> Any:
    """shop.proto, as protoc --include_imports writes it; protoc itself is not needed."""
    shop = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
    shop.dependency.extend(module.DESCRIPTOR.name for module in IMPORTS)
    state = shop.enum_type.add(name="State")
    for i, name in enumerate(("NEW", "PAID")):
        state.value.add(name=name, number=i)
    order = shop.message_type.add(name="Order")
    line = order.nested_type.add(name="Line")
    line.field.extend([field(1, "sku", F.TYPE_STRING), field(2, "count", F.TYPE_SINT32)])
    entry = order.nested_type.add(name="NotesEntry")
    entry.options.map_entry = True
    entry.field.extend(
        [field(1, "key", F.TYPE_STRING), field(2, "value", F.TYPE_MESSAGE, ".shop.Order.Line")]
    )
    many = F.LABEL_REPEATED
    order.field.extend(
        [
            field(1, "id", F.TYPE_UINT64),
            field(2, "name", F.TYPE_STRING, oneof_index=0, proto3_optional=True),
            field(3, "state", F.TYPE_ENUM, ".shop.State"),
            field(4, "lines", F.TYPE_MESSAGE, ".shop.Order.Line", label=many),
            field(5, "best", F.TYPE_MESSAGE, ".shop.Order.Line"),
            field(6, "notes", F.TYPE_MESSAGE, ".shop.Order.NotesEntry", label=many),
            field(7, "at", F.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
            field(8, "weight", F.TYPE_MESSAGE, ".google.protobuf.DoubleValue"),
            field(9, "extra", F.TYPE_MESSAGE, ".google.protobuf.Struct"),
            field(10, "tags", F.TYPE_BYTES, label=many),
            field(11, "ok", F.TYPE_BOOL),
        ]
    )
    order.oneof_decl.add(name="_name")
    tree = shop.message_type.add(name="Tree")
    tree.field.extend([field(1, "left", F.TYPE_MESSAGE, ".shop.Tree")])
    found = descriptor_pb2.FileDescriptorSet()
    found.file.append(shop)
    for module in IMPORTS:
        module.DESCRIPTOR.CopyToProto(found.file.add())
    return found


def order_class() -> Any:
    """Protobuf's own class, to compare with."""
    pool = descriptor_pool.DescriptorPool()
    for one in reversed(descriptors().file):
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    path = tmp_path / "shop.desc"
    path.write_bytes(descriptors().SerializeToString())
    return Protobuf(descriptors=str(path), message="shop.Order").codec("orders", list)


ROW: dict[str, Any] = {
    "id": 2**64 - 1,
    "name": "",
    "state": "PAID",
    "lines": [{"sku": "a", "count": -2}, {"sku": "", "count": 0}],
    "best": {"sku": "b", "count": 1},
    "notes": [("k", {"sku": "n", "count": 3})],
    "at": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    "weight": 0.0,
    "extra": '{"a": [1.0, null]}',
    "tags": [b"x", b""],
    "ok": True,
}


def test_types_keep_their_meaning(codec: Codec) -> None:
    line = pa.struct({"sku": pa.string(), "count": pa.int32()})
    assert codec.schema == pa.schema(
        {
            "id": pa.uint64(),
            "name": pa.string(),
            "state": pa.string(),
            "lines": pa.list_(line),
            "best": line,
            "notes": pa.map_(pa.string(), line),
            "at": pa.timestamp("ns", "UTC"),
            "weight": pa.float64(),
            "extra": pa.string(),
            "tags": pa.list_(pa.binary()),
            "ok": pa.bool_(),
        }
    )


def test_a_message_is_a_row_and_comes_back(codec: Codec) -> None:
    order = order_class()(id=2**64 - 1, name="", state=1, weight={"value": 0}, tags=[b"x", b""], ok=True)
    order.lines.add(sku="a", count=-2)
    order.lines.add()
    order.best.sku, order.best.count = "b", 1
    order.notes["k"].sku, order.notes["k"].count = "n", 3
    order.at.FromDatetime(ROW["at"])
    order.extra.update({"a": [1, None]})
    message = order.SerializeToString(deterministic=True)
    decoded = codec.decode([message])
    assert decoded.faults == {}
    assert decoded.batch.to_pylist() == [ROW]
    assert codec.encode(decoded.batch) == [message]
    assert pickle.loads(pickle.dumps(codec)).decode([message]).batch == decoded.batch


def test_what_was_not_set_is_null_where_that_can_be_told(codec: Codec) -> None:
    unset = {"name": None, "best": None, "at": None, "weight": None, "extra": None}
    rows = codec.decode([b"", None]).batch.to_pylist()
    assert rows[0] == {"id": 0, "state": "NEW", "lines": [], "notes": [], "tags": [], "ok": False, **unset}
    assert rows[1] == dict.fromkeys(rows[0])
    assert codec.encode(codec.decode([b""]).batch) == [b""]


def test_an_unknown_number_of_an_enumeration_stays_one(codec: Codec) -> None:
    message = order_class()(state=77).SerializeToString()
    assert codec.decode([message]).batch.column("state").to_pylist() == ["77"]
    assert codec.encode(codec.decode([message]).batch) == [message]


def test_hostile_bytes_are_faults_at_once(codec: Codec) -> None:
    deep = b""
    for _ in range(20_000):
        deep = b"\x4a" + _varint(len(deep)) + deep if len(deep) < 60_000 else deep
    began = time.monotonic()
    decoded = codec.decode(
        [
            b"\xff" * 100,
            b"\x12\xff\xff\xff\xff\x0f",
            b"\x12\x02\xff\xfe",
            deep,
            b"\x3a\x0b\x08" + b"\xff" * 8 + b"\x7f",
        ]
    )
    assert time.monotonic() - began < 2
    assert {0, 1, 2} <= set(decoded.faults)
    assert all("shop.Order" in f.reason or "timestamp" in f.reason for f in decoded.faults.values())


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


DESCRIPTORS = descriptors().SerializeToString()


@example([(DESCRIPTORS.index(b"\x03key") + 1, ord("c"))])
@given(st.lists(st.tuples(st.integers(0, len(DESCRIPTORS) - 1), st.integers(0, 255)), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_a_descriptor_does_harm(changes: list[tuple[int, int]]) -> None:
    data = bytearray(DESCRIPTORS)
    for place, value in changes:
        data[place] = value
    Path("damaged.desc").write_bytes(data)
    with suppress(SourceError, SchemaError):
        codec = Protobuf(descriptors="damaged.desc", message="shop.Order").codec("t", list)
        codec.decode([b"", b"\x08\x01\x12\x01x", DESCRIPTORS[:40]])


@given(message=st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_do_harm(codec: Codec, message: bytes) -> None:
    decoded = codec.decode([message])
    assert decoded.batch.num_rows + len(decoded.faults) == 1


def test_what_is_wrong_with_the_descriptors_is_told(tmp_path: Path) -> None:
    path = tmp_path / "shop.desc"
    found = descriptors()
    path.write_bytes(found.SerializeToString())
    with pytest.raises(
        SchemaError, match=r"no message 'shop.Ordr'; it has 'shop.Order', .*Did you mean 'shop.Order'"
    ):
        Protobuf(descriptors=str(path), message="shop.Ordr").codec("t", list)
    with pytest.raises(SchemaError, match=r"'shop.Tree' holds itself"):
        Protobuf(descriptors=str(path), message="shop.Tree").codec("t", list)
    path.write_bytes(b"no descriptors")
    with pytest.raises(SourceError, match="not a whole set of descriptors"):
        Protobuf(descriptors=str(path), message="shop.Order").codec("t", list)
    lacking = descriptor_pb2.FileDescriptorSet()
    lacking.file.add(name="a.proto", dependency=["other.proto"])
    path.write_bytes(lacking.SerializeToString())
    with pytest.raises(SourceError, match=r"lacks 'other.proto'.*--include_imports"):
        Protobuf(descriptors=str(path), message="shop.Order").codec("t", list)


def test_a_message_of_endlessly_many_fields_is_refused(tmp_path: Path) -> None:
    laughs = descriptor_pb2.FileDescriptorProto(name="laughs.proto", package="l", syntax="proto3")
    for i in range(12):
        kind = (F.TYPE_MESSAGE, f".l.M{i - 1}") if i else (F.TYPE_STRING, None)
        laughs.message_type.add(name=f"M{i}").field.extend(field(n + 1, f"f{n}", *kind) for n in range(10))
    path = tmp_path / "laughs.desc"
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[laughs]).SerializeToString())
    with pytest.raises(SchemaError, match=r"'l.M11' has more than 20,000 fields"):
        Protobuf(descriptors=str(path), message="l.M11").codec("t", list)


def test_a_row_that_does_not_fit_is_told(codec: Codec) -> None:
    for row in ({"id": -1}, {"nope": 1}, {"state": "LOST"}):
        with pytest.raises(SchemaError, match=r"cannot be written as shop.Order"):
            codec.encode(pa.RecordBatch.from_pylist([row]))


def test_settings_are_plain_values() -> None:
    payload = Protobuf(descriptors="a.desc", message="shop.Order")
    assert payload_of(json.loads(json.dumps(payload.to_dict()))) == payload


LINES = st.fixed_dictionaries({"sku": st.text(), "count": st.integers(-(2**31), 2**31 - 1)})
ROWS = st.fixed_dictionaries(
    {
        "id": st.integers(0, 2**64 - 1),
        "name": st.none() | st.text(),
        "state": st.sampled_from(["NEW", "PAID"]),
        "lines": st.lists(LINES, max_size=3),
        "best": st.none() | LINES,
        "at": st.none()
        | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1), timezones=st.just(dt.UTC)),
        "weight": st.none() | st.floats(allow_nan=False),
    }
)


@given(rows=st.lists(ROWS, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back_from_their_messages(codec: Codec, rows: list[dict[str, Any]]) -> None:
    names = [name for name in codec.schema.names if name in ROW and (not rows or name in rows[0])]
    schema = pa.schema([codec.schema.field(name) for name in names])
    decoded = codec.decode(codec.encode(pa.RecordBatch.from_pylist(rows, schema)))
    assert decoded.faults == {}
    assert decoded.batch.select(names).to_pylist() == rows
