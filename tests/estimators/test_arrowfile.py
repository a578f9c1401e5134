"""Arrow files of a stranger: every byte may lie."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import ModelFormatError
from orrery.estimators.arrowfile import read_arrow, write_arrow

TABLE = pa.table(
    {
        "name": ["a", None, "ü"],
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "values": [[1.0], [], [2.0, 3.0]],
        "fixed": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
    }
)


def test_a_table_comes_back_equal() -> None:
    assert read_arrow(write_arrow(TABLE), "t.arrow", shared=True).equals(TABLE)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_files_are_refused(codec: str) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, TABLE.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(TABLE)
    with pytest.raises(ModelFormatError, match="compressed"):
        read_arrow(bytes(sink.getvalue()), "t.arrow")


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(3),
        pa.array([[None], [], []], pa.list_(pa.null())),
        pa.RunEndEncodedArray.from_arrays([3], [1]),
        pa.array([{}, {}], pa.struct([])),
        pa.array([b"", b""], pa.binary(0)),
        pa.array([[[]], []], pa.list_(pa.list_(pa.int8(), 0))),
        pa.array(["a" * 99] * 3).dictionary_encode(),
        pa.array(["a" * 99] * 3, pa.string_view()),
    ],
)
def test_values_that_take_no_room_are_refused(column: pa.Array) -> None:
    with pytest.raises(ModelFormatError, match="never does"):
        read_arrow(write_arrow(pa.table({"a": column})), "t.arrow")


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
@settings(max_examples=300)
def test_altered_bytes_give_an_error_or_a_valid_table(changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(write_arrow(TABLE))
    for place, value in changes:
        content[place % len(content)] = value
    try:
        table = read_arrow(bytes(content[: len(content) - cut % 64]), "t.arrow", shared=True)
    except ModelFormatError:
        return
    table.validate(full=True)
    table.to_pylist()
