from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.payloads.json import Json
from orrery.errors import SchemaError

ROWS = [{"id": 1, "at": "2026-01-02T03:04:05Z", "box": {"x": 1.5}}, {"id": None, "at": None, "box": None}]
MESSAGES = [json.dumps(row).encode() for row in ROWS]


def test_columns_are_those_of_the_sample() -> None:
    codec = Json().codec("t", lambda: MESSAGES)
    at = pa.timestamp("us", "UTC")
    assert codec.schema == pa.schema({"id": pa.int64(), "at": at, "box": pa.struct({"x": pa.float64()})})
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert codec.decode(MESSAGES).batch.to_pylist() == [{**ROWS[0], "at": moment}, ROWS[1]]


def test_types_are_pinned_and_name_columns_that_no_sample_has() -> None:
    codec = Json(types={"id": "string", "price": "decimal128(9, 2)"}).codec("t", lambda: [b'{"id": 7}'])
    assert codec.schema == pa.schema({"id": pa.string(), "price": pa.decimal128(9, 2)})
    rows = codec.decode([b'{"id": 7, "price": "1.25"}', b'{"id": "x"}', None]).batch.to_pylist()
    assert rows == [
        {"id": "7", "price": Decimal("1.25")},
        {"id": "x", "price": None},
        {"id": None, "price": None},
    ]


def test_without_a_sample_the_types_are_the_columns() -> None:
    codec = Json(types={"b": "int64", "a": "string"}).codec("t", list)
    assert codec.schema.names == ["b", "a"]
    with pytest.raises(SchemaError, match="holds no JSON object"):
        Json().codec("orders", list)


@pytest.mark.parametrize(
    ("message", "column", "reason"),
    [
        (b"{", None, "is not JSON"),
        (b"", None, "is not JSON"),
        (b"[1]", None, "is not a JSON object"),
        (b"\xff\xfe", None, "is not JSON"),
        (b"[" * 100_000, None, "is not JSON"),
        (b'{"id": ' + b"9" * 100_000 + b"}", None, "is not JSON"),
        (b'{"id": 1, "new": 2}', "new", "is in a column that the sample of messages did not have"),
        (b'{"id": "one"}', "id", "is not int64"),
        (b'{"id": 1.5}', "id", "is not int64"),
        (b'{"box": {"x": 1, "y": 2}}', "box", "has a member 'y'"),
        (b'{"box": 3}', "box", "is not struct"),
        (b'{"sizes": [1, 1.5]}', "sizes", "is not list"),
    ],
)
def test_a_bad_message_is_a_fault_and_the_others_are_rows(
    message: bytes, column: str | None, reason: str
) -> None:
    codec = Json(types={"sizes": "list<item: int64>"}).codec("t", lambda: MESSAGES)
    decoded = codec.decode([MESSAGES[0], message, None])
    assert list(decoded.origin) == [0, 2]
    assert decoded.batch.column("id").to_pylist() == [1, None]
    assert decoded.faults[1].column == column
    assert decoded.faults[1].reason.startswith(reason)


VALUES = {
    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
    "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "s": st.none() | st.text(),
    "l": st.none() | st.lists(st.none() | st.booleans()),
    "m": st.none() | st.fixed_dictionaries({"deep": st.none() | st.dates()}),
}
SCHEMA = pa.schema(
    {
        "i": pa.int64(),
        "f": pa.float64(),
        "s": pa.string(),
        "l": pa.list_(pa.bool_()),
        "m": pa.struct({"deep": pa.date32()}),
    }
)


@given(st.lists(st.fixed_dictionaries(VALUES), max_size=5))
def test_rows_come_back_from_their_messages(rows: list[dict[str, Any]]) -> None:
    codec = Json(types={f.name: str(f.type) for f in SCHEMA if f.name != "m"}).codec(
        "t", lambda: [b'{"m": {"deep": "2026-01-01"}}']
    )
    texts = [
        {**row, "m": row["m"] and {"deep": row["m"]["deep"] and row["m"]["deep"].isoformat()}} for row in rows
    ]
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
    decoded = codec.decode(codec.encode(batch))
    assert decoded.faults == {}
    assert decoded.batch.to_pylist() == texts


@given(st.binary(max_size=60))
def test_no_bytes_do_harm(message: bytes) -> None:
    decoded = Json().codec("t", lambda: MESSAGES).decode([message])
    assert decoded.batch.num_rows + len(decoded.faults) == 1


def test_bytes_are_not_json() -> None:
    codec = Json(types={"b": "binary"}).codec("t", list)
    with pytest.raises(SchemaError, match="JSON has no bytes"):
        codec.encode(pa.record_batch({"b": [b"x"]}))
