from __future__ import annotations

import pyarrow as pa
import pytest

from orrery.data.payloads.payload import Payload, payload_of
from orrery.data.payloads.plain import Bytes, Text
from orrery.errors import SchemaError, SettingsError


def test_bytes_are_as_they_were() -> None:
    codec = Bytes().codec("t", list)
    messages = [b"\xff\x00", b"", None]
    decoded = codec.decode(messages)
    assert decoded.batch.to_pylist() == [{"value": m} for m in messages]
    assert codec.encode(decoded.batch) == [b"\xff\x00", b"", b""]


def test_text_is_utf8_or_a_fault() -> None:
    decoded = Text().codec("t", list).decode(["é 城".encode(), b"\xff", b"x"])
    assert decoded.batch.to_pylist() == [{"value": "é 城"}, {"value": "x"}]
    assert decoded.faults[1] == ("value", "\\xff", "is not UTF-8")
    with pytest.raises(SchemaError, match="a column 'value'"):
        Text().codec("t", list).encode(pa.record_batch({"a": [1]}))


def test_a_payload_is_said_in_three_ways() -> None:
    for said in ("text", {"kind": "text"}, Text()):
        assert payload_of(said) == Text()
    with pytest.raises(SettingsError, match=r"no payload of kind 'jsn'.*Did you mean 'json'"):
        payload_of("jsn")
    with pytest.raises(SettingsError, match="'avsc'"):
        payload_of({"kind": "avro", "asvc": "x"})
    with pytest.raises(SettingsError, match="A payload is not int"):
        payload_of(3)  # type: ignore[arg-type]
    assert sorted(Payload.kinds()) == ["arrow", "avro", "bytes", "json", "protobuf", "text"]
