"""Types by the names that Arrow prints: all that are stored come back, and nothing else is looked up."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import SchemaError
from orrery.schema import Field, Kind, Schema, parse_type, type_text

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


STRANGE = [
    *[
        pa.uuid(),
        pa.json_(),
        pa.json_(pa.large_string()),
        pa.bool8(),
        pa.decimal32(5, 2),
        pa.decimal64(9, -1),
    ],
    *[pa.struct([]), pa.run_end_encoded(pa.int32(), pa.string()), pa.list_view(pa.int8())],
    pa.fixed_shape_tensor(pa.float32(), (2, 3)),
    pa.fixed_shape_tensor(pa.uint8(), (2, 3), dim_names=['a "row"', "b, c]"], permutation=[1, 0]),
    pa.map_(pa.string(), pa.int64(), keys_sorted=True),
    pa.dictionary(pa.int8(), pa.list_(pa.string()), ordered=True),
    pa.large_list_view(pa.field("item", pa.int8(), nullable=False)),
]


def named(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    """Members with every name there is, some of which may not be null."""
    name = st.text(max_size=4) | st.sampled_from(["a, b: c", "x<", '"', 'a": int8', " ", "not null", "大小"])
    field = st.builds(
        lambda n, kind, nullable: pa.field(n, kind, nullable or kind == pa.null()), name, inner, st.booleans()
    )
    fields = st.lists(field, min_size=1, max_size=3)
    return (
        nested(inner)
        | field.map(pa.list_)
        | fields.map(pa.struct)
        | field.map(lambda f: pa.map_(pa.string(), f.with_name("value")))
        | fields.map(pa.dense_union)
        | fields.map(lambda f: pa.sparse_union(f, [7 * i for i in range(len(f))]))
    )


@given(st.recursive(st.sampled_from([*SIMPLE, *STRANGE]), named, max_leaves=6))
def test_every_type_comes_back_from_its_text(kind: pa.DataType) -> None:
    text = type_text(kind)
    assert parse_type(text) == kind
    assert type_text(parse_type(text)) == text


def test_a_strangers_extension_type_is_told_by_how_it_is_stored() -> None:
    class Odd(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.list_(pa.int8()), "someone.odd")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

    assert parse_type(type_text(pa.struct([("a", Odd())]))) == pa.struct([("a", pa.list_(pa.int8()))])
    assert Field.of(pa.field("a", Odd())).arrow().type == pa.list_(pa.int8())


def test_a_set_is_another_word_for_labels() -> None:
    assert Field(name="a", type="list<item: string>", kind="set").kind is Kind.LABELS  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *["show_info", "cpu_count", "create_library_symlinks", "Table", "__name__", ""],
        *["timestamp[eon]", "time32[ns]", "decimal128(99, 2)", "decimal128(" + "9" * 5000 + ", 2)"],
        "fixed_size_binary[2000000000]",
        "fixed_size_list<item: int8>[2000000000]",
        "fixed_size_list<item: fixed_size_list<item: int8>[4097]>[4096]",
        "extension<arrow.fixed_shape_tensor[value_type=float, shape=[4097,4096]]>",
        "extension<ray.tensor>",
        "struct<a: int8",
        "struct<a: int8,>",
        "int8, int8",
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
