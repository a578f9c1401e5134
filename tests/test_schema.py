"""Types by the names that Arrow prints: all that are stored come back, and nothing else is looked up."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import SchemaError
from orrery.schema import Schema, parse_type

SIMPLE = [
    *[pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()],
    *[pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    *[pa.date32(), pa.date64(), pa.timestamp("us"), pa.timestamp("ns", "Europe/Oslo"), pa.duration("ms")],
    *[pa.timestamp("s", "+02:00"), pa.time32("s"), pa.time64("ns"), pa.month_day_nano_interval()],
    *[pa.binary(5), pa.decimal128(38, -3), pa.decimal256(76, 76), pa.dictionary(pa.int32(), pa.string())],
]


def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    """Lists, structs and maps of types."""
    return (
        inner.map(pa.list_)
        | inner.map(pa.large_list)
        | inner.map(lambda kind: pa.list_(kind, 3))
        | inner.map(lambda kind: pa.map_(pa.string(), kind))
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: pa.struct([(f"a {i}", kind) for i, kind in enumerate(kinds)])
        )
    )


@given(st.recursive(st.sampled_from(SIMPLE), nested, max_leaves=5))
def test_what_arrow_prints_is_read_again(kind: pa.DataType) -> None:
    assert parse_type(str(kind)) == kind


@pytest.mark.parametrize(
    "text",
    [
        *["show_info", "cpu_count", "create_library_symlinks", "Table", "__name__", ""],
        *["timestamp[eon]", "time32[ns]", "decimal128(99, 2)", "decimal128(" + "9" * 5000 + ", 2)"],
        "fixed_size_binary[2000000000]",
        "fixed_size_list<item: int8>[2000000000]",
        "fixed_size_list<item: fixed_size_list<item: int8>[1001]>[1000]",
        "fixed_size_list<item: int8>",
        "list<item: " * 3000 + "int8" + ">" * 3000,
        "struct<" + "a: int8, " * 200_000 + "a: int8>",
        "dictionary<values=string, indices=string, ordered=0>",
        "map<string>",
    ],
    ids=lambda text: str(text)[:40],
)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        parse_type(text)


def test_a_schema_comes_back() -> None:
    schema = pa.schema({str(i): kind for i, kind in enumerate(SIMPLE)})
    assert Schema.of(schema).arrow() == schema
