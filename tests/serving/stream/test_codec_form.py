"""Avro, Protobuf, Arrow and JSON to another: through Arrow batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from tests.servers.registry import registry

import orrery as ory
from orrery.data.payloads import arrow as arrow_payload
from orrery.data.payloads.payload import payload_of
from orrery.errors import SettingsError
from orrery.serving.route import Route
from orrery.serving.stream.broker import Message, Wiring
from orrery.serving.stream.codec_form import CodecForm
from orrery.serving.stream.form import Scored, form_of

RECORD: dict[str, Any] = {
    "type": "record",
    "name": "person",
    "fields": [
        {"name": "height", "type": "double"},
        {"name": "city", "type": ["null", "string"]},
        {"name": "n", "type": "long"},
    ],
}
ROWS = [{"height": 140.0 + 30 * i, "city": None if i == 1 else "Lyon", "n": i} for i in range(4)]


def scored(model: ory.Model, texts: Sequence[bytes | None], tagged: bool = False, **payloads: Any) -> Scored:
    form = form_of(Wiring.from_dict(payloads), tagged)
    if isinstance(form, CodecForm):
        form.open()
    with Route(model) as route:
        return form.score(route.live, [Message(text, f"t/{i}") for i, text in enumerate(texts)])


def avro(row: dict[str, Any], schema: Any = RECORD) -> bytes:
    file = BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), row)
    return file.getvalue()


def batch_of(rows: list[dict[str, Any]]) -> bytes:
    columns: list[Any] = [("height", pa.float64()), ("city", pa.string()), ("n", pa.int64())]
    schema = pa.schema(columns)
    (text,) = arrow_payload.encode(pa.RecordBatch.from_pylist(rows, schema))
    return text


def test_avro_in_and_out_by_a_registry(tall: ory.Model) -> None:
    with registry() as server:
        number = server.add("people", RECORD)
        head = b"\0" + number.to_bytes(4, "big")
        payload = {"kind": "avro", "registry": server.url, "subject": "people"}
        to = {"kind": "avro", "registry": server.url, "subject": "answers"}
        texts = [head + avro(row) for row in ROWS]
        found = scored(tall, [*texts, b"rubbish", None], payload=payload, to_payload=to)
        codec = payload_of(to).codec("answers", list)
        values = [value for i in range(4) for value in found.values[i]]
        answers = codec.decode(values).batch.to_pylist(maps_as_pydicts="strict")
    assert answers == tall.predict(ROWS)
    assert list(found.faults) == [4]
    assert found.values[5] == (None,), "a deleted key"


def test_arrow_messages_hold_any_number_of_rows(tall: ory.Model) -> None:
    texts = [batch_of(ROWS[:3]), b"rubbish", batch_of([]), batch_of(ROWS[3:])]
    found = scored(tall, texts, tagged=True, payload="arrow")
    assert list(found.faults) == [1]
    opened = [pa.ipc.open_stream(found.values[i][0] or b"").read_all().to_pylist() for i in (0, 2, 3)]
    assert [len(rows) for rows in opened] == [3, 0, 1]
    bare = [{k: v for k, v in row.items() if k[0] != "_"} for rows in opened for row in rows]
    assert bare == tall.predict(ROWS)
    assert [row["_id"] for rows in opened for row in rows] == ["t/0", "t/0", "t/0", "t/3"]
    assert list(found.recorded().ids) == ["t/0/0", "t/0/1", "t/0/2", "t/3"]
    assert [row["n"] for row in found.last(2)] == [2, 3]


def test_protobuf_is_answered_in_json(tall: ory.Model, tmp_path: Path) -> None:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    message = file.message_type.add(name="Person")
    for number, (name, kind) in enumerate({"height": 1, "city": 9, "n": 3}.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=1)
    place = tmp_path / "p.desc"
    place.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    payload = {"kind": "protobuf", "descriptors": str(place), "message": "p.Person"}
    rows = [{**row, "city": "Lyon"} for row in ROWS]
    codec = payload_of(payload).codec("t", list)
    texts = codec.encode(pa.RecordBatch.from_pylist(rows, codec.schema))
    found = scored(tall, [*texts, b"\xff"], payload=payload)
    assert [json.loads(found.values[i][0] or b"") for i in range(4)] == tall.predict(rows)
    assert list(found.faults) == [4]


def test_a_row_that_the_model_cannot_read_is_its_messages_fault(tall: ory.Model) -> None:
    strange = {**RECORD, "fields": [{"name": "height", "type": "string"}, *RECORD["fields"][1:]]}
    texts = [avro({**ROWS[0], "height": text}, strange) for text in ("150", "high", "180.5")]
    found = scored(tall, texts, payload={"kind": "avro", "avsc": strange}, to_payload="json")
    assert [json.loads(found.values[i][0] or b"")["prediction"] for i in (0, 2)] == ["no", "yes"]
    assert list(found.faults) == [1]
    assert "'high'" in found.faults[1].reason


def test_json_may_be_answered_in_arrow_and_arrow_in_nothing_else(tall: ory.Model) -> None:
    texts = [json.dumps(row).encode() for row in ROWS]
    found = scored(tall, texts, payload="json", to_payload="arrow")
    rows = [pa.ipc.open_stream(value or b"").read_all().to_pylist() for (value,) in found.values]
    assert [row for one in rows for row in one] == tall.predict(ROWS)
    with pytest.raises(SettingsError, match="many rows"):
        scored(tall, [], payload="arrow", to_payload="json")
