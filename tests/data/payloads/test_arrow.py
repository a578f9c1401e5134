from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from orrery.data.payloads import arrow
from orrery.data.payloads.arrow import Arrow
from orrery.errors import SchemaError

BATCH = pa.record_batch({"id": [1, 2, 3], "name": ["a", None, "é"], "tags": [["x"], [], None]})


def written(batch: Any, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as stream:
        stream.write(batch)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_a_message_holds_any_number_of_rows(compression: str | None) -> None:
    messages = [written(BATCH, compression), written(BATCH.slice(0, 0)), None, *arrow.encode(BATCH.slice(1))]
    codec = Arrow().codec("t", lambda: [written(BATCH)])
    decoded = codec.decode(messages)
    rows = BATCH.to_pylist()
    assert decoded.batch.to_pylist() == [*rows, dict.fromkeys(rows[0]), *rows[1:]]
    assert list(decoded.origin) == [0, 0, 0, 2, 3, 3]
    assert decoded.faults == {}


def test_a_message_of_other_columns_is_a_fault() -> None:
    codec = Arrow().codec("t", lambda: [b"junk", written(BATCH)])
    other = pa.record_batch({"id": ["x"], "name": ["a"], "tags": [["x"]]})
    messages = [
        b"",
        b"junk",
        written(BATCH)[:-40],
        written(BATCH.select(["id"])),
        written(other),
        written(BATCH),
    ]
    decoded = codec.decode(messages)
    assert sorted(decoded.faults) == [0, 1, 2, 3, 4]
    assert "its columns are ['id']" in decoded.faults[3].reason
    assert decoded.batch.to_pylist() == BATCH.to_pylist()


def test_what_a_message_becomes_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    large = pa.record_batch({"zeros": pa.array([0] * (1 << 20), pa.int64())})
    bomb = written(large, "zstd")
    codec = Arrow().codec("t", lambda: [bomb])
    assert len(bomb) < 10_000
    assert codec.size(bomb) == large.nbytes
    monkeypatch.setattr(arrow, "MOST_BYTES", 1 << 20)
    before = pa.total_allocated_bytes()
    decoded = codec.decode([bomb])
    assert decoded.faults[0].reason == "is not Arrow: its rows take more than 1,048,576 bytes"
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_columns_whose_rows_share_bytes_are_refused() -> None:
    for kind in (
        pa.dictionary(pa.int8(), pa.string()),
        pa.string_view(),
        pa.null(),
        pa.list_(pa.string_view()),
    ):
        batch = pa.record_batch([pa.nulls(1, kind)], ["a"])
        with pytest.raises(SchemaError, match="share bytes"):
            Arrow().codec("t", lambda batch=batch: [written(batch)])  # type: ignore[misc]


def test_no_message_no_columns() -> None:
    with pytest.raises(SchemaError, match="and there is none"):
        Arrow().codec("t", list)


def test_bytes_that_were_changed_are_rows_or_a_fault() -> None:
    rng = random.Random(4)
    codec = Arrow().codec("t", lambda: [written(BATCH)])
    for compression in (None, "zstd"):
        good = written(BATCH, compression)
        for _ in range(1_500):
            bad = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                bad[rng.randrange(len(bad))] = rng.randrange(256)
            decoded = codec.decode([bytes(bad)])
            decoded.batch.validate(full=True)
            assert decoded.batch.num_rows == 0 or not decoded.faults
