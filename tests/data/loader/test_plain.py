"""Plain pages are read as Arrow reads them, or left to Arrow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.loader.columns import layout
from orrery.data.loader.pages import Values, pages_of
from orrery.data.loader.plain import Plain
from orrery.data.table import read
from orrery.errors import SourceError

PLAIN: dict[str, Any] = {"compression": "none", "use_dictionary": False}
KINDS = ("float32", "float64", "int32", "uint32", "int64", "uint64")
ROWS = 3000


def table(*, nullable: bool = False) -> Any:
    chance = np.random.default_rng(1)
    columns = {f"{kind}{i}": chance.integers(0, 1000, ROWS).astype(kind) for kind in KINDS for i in range(3)}
    raw = chance.integers(0, 255, (ROWS, 7), np.uint8)
    arrays = [pa.array(values) for values in columns.values()]
    arrays.append(pa.array([row.tobytes() for row in raw], pa.binary(7)))
    names = [*columns, "bytes"]
    fields = [pa.field(n, a.type, nullable=nullable) for n, a in zip(names, arrays, strict=True)]
    return pa.table(arrays, schema=pa.schema(fields))


def loaded(path: Path, whole: Any, span: tuple[int, int], group: int = 0) -> dict[str, Any] | None:
    """What a span of a row group holds, by part; None where it is left to Arrow."""
    footer = pq.read_metadata(path)
    plain = Plain([path], [footer])
    found = layout(whole.schema, (), set(), {})
    out = {part.key: np.zeros(span[1] - span[0] + 1, part.record) for part in found.dense}
    places = np.arange(span[1] - span[0])[::-1]
    done = plain.load((0, group), span, found, out, places, 0)
    plain.close()
    if not done:
        return None
    made: dict[str, Any] = {}
    for part in found.dense:
        values = out[part.key][:-1][::-1].copy().view(part.dtype).reshape(-1, *part.shape)
        made |= (
            {part.key: values} if part.key in ("bytes", "x") else dict(zip(part.names, values.T, strict=True))
        )
    return made


@settings(max_examples=25, deadline=None)
@given(
    st.integers(200, ROWS), st.integers(500, 5000), st.booleans(), st.tuples(st.floats(0, 1), st.floats(0, 1))
)
def test_plain_pages_hold_what_arrow_reads(
    tmp_path_factory: pytest.TempPathFactory,
    group_rows: int,
    page_bytes: int,
    nullable: bool,
    ends: tuple[float, float],
) -> None:
    path = tmp_path_factory.mktemp("plain") / "rows.parquet"
    whole = table(nullable=nullable)
    pq.write_table(
        whole, path, row_group_size=group_rows, data_page_size=page_bytes, write_batch_size=64, **PLAIN
    )
    low, high = sorted(int(end * group_rows) for end in ends)
    found = loaded(path, whole, (low, high))
    assert found is not None
    for name, values in found.items():
        expected = whole.column(name).slice(low, high - low).to_pylist()
        actual = [v.tobytes() for v in values] if name == "bytes" else values.tolist()
        assert expected == actual


@pytest.mark.parametrize(
    "told",
    [
        {"compression": "snappy"},
        {"use_dictionary": True},
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"},
    ],
)
def test_all_else_is_left_to_arrow(tmp_path: Path, told: dict[str, Any]) -> None:
    whole = table().select(["float320", "float321"])
    pq.write_table(whole, tmp_path / "rows.parquet", **{**PLAIN, **told})
    assert loaded(tmp_path / "rows.parquet", whole, (0, ROWS)) is None


def test_missing_values_are_left_to_arrow(tmp_path: Path) -> None:
    whole = pa.table({"a": pa.array([1.0, None, 3.0])})
    pq.write_table(whole, tmp_path / "rows.parquet", **PLAIN)
    assert loaded(tmp_path / "rows.parquet", whole, (0, 3)) is None


def test_other_types_than_the_tables_are_left_to_arrow(tmp_path: Path) -> None:
    pq.write_table(table().select(["int320"]), tmp_path / "rows.parquet", **PLAIN)
    other = pa.schema([pa.field("int320", pa.uint32(), nullable=False)]).empty_table()
    assert loaded(tmp_path / "rows.parquet", other, (0, ROWS)) is None


@given(st.binary(max_size=80))
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_headers_that_are_believed(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("plain") / "page"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert pages_of(file.fileno(), (0, len(data)), Values(1000, 8)) is None


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 40),
    rows=st.integers(1, 400),
    page_bytes=st.integers(64, 5000),
    nullable=st.tuples(st.booleans(), st.booleans()),
    extension=st.booleans(),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_lists_of_one_length_hold_what_arrow_reads(
    tmp_path_factory: pytest.TempPathFactory,
    length: int,
    rows: int,
    page_bytes: int,
    nullable: tuple[bool, bool],
    extension: bool,
    ends: tuple[float, float],
) -> None:
    path = tmp_path_factory.mktemp("lists") / "rows.parquet"
    whole = listed(np.arange(rows * length, dtype=np.float32), length, nullable, extension=extension)
    pq.write_table(whole, path, data_page_size=page_bytes, write_batch_size=64, **PLAIN)
    low, high = sorted(int(end * rows) for end in ends)
    found = loaded(path, whole, (low, high))
    assert found is not None
    expected = np.arange(low * length, high * length, dtype=np.float32)
    assert np.array_equal(found["x"].reshape(-1), expected)


def listed(values: Any, length: int, nullable: tuple[bool, bool], *, extension: bool = False) -> Any:
    inner = pa.field("item", pa.float32(), nullable=nullable[0])
    column: Any = pa.FixedSizeListArray.from_arrays(pa.array(values), type=pa.list_(inner, length))
    if extension:
        kind = pa.fixed_shape_tensor(pa.float32(), (length,))
        plain = pa.FixedSizeListArray.from_arrays(pa.array(values), length)
        column = pa.ExtensionArray.from_storage(kind, plain)
    return pa.table([column], schema=pa.schema([pa.field("x", column.type, nullable=nullable[1])]))


def test_lists_with_something_missing_are_left_to_arrow(tmp_path: Path) -> None:
    kind = pa.list_(pa.float32(), 2)
    for i, rows in enumerate(([[1.0, 2.0], None], [[1.0, None], [3.0, 4.0]])):
        whole = pa.table({"x": pa.array(rows, kind)})
        pq.write_table(whole, tmp_path / f"{i}.parquet", **PLAIN)
        assert loaded(tmp_path / f"{i}.parquet", whole, (0, 2)) is None


def test_lists_of_other_lengths_than_were_told_are_left_to_arrow(tmp_path: Path) -> None:
    """As many values as there should be, but the lists are uneven: what no honest writer makes."""
    inner = pa.field("item", pa.float32(), nullable=False)
    column = pa.array([[1.0], [2.0, 3.0, 4.0]] * 20, pa.list_(inner))
    pq.write_table(
        pa.table([column], schema=pa.schema([pa.field("x", column.type, nullable=False)])),
        tmp_path / "rows.parquet",
        **PLAIN,
    )
    footer = pq.read_metadata(tmp_path / "rows.parquet")
    chunk = footer.row_group(0).column(0)
    span = (chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size)
    with (tmp_path / "rows.parquet").open("rb") as file:
        assert pages_of(file.fileno(), span, Values(80, 4, optional=True, listed=2)) is None


CHECKED: dict[str, Any] = {"write_page_checksum": True}


@pytest.mark.parametrize(
    "told",
    [
        PLAIN,
        {"compression": "none", "use_dictionary": True},
        {"compression": "zstd", "use_dictionary": False},
        {"compression": "zstd", "use_dictionary": True, "data_page_version": "2.0"},
    ],
)
@pytest.mark.parametrize("keep_bytes", [0, 1 << 20])
@pytest.mark.parametrize("rows", [20, 3000])
def test_a_page_that_is_damaged_is_an_error_and_not_other_rows(
    tmp_path: Path, told: dict[str, Any], keep_bytes: int, rows: int
) -> None:
    """Whole pages and parts of them, of one row group of many; in its values or its header."""
    path = tmp_path / "rows.parquet"
    pq.write_table(table().slice(0, rows), path, row_group_size=rows // 2, **told, **CHECKED)
    good = path.read_bytes()
    footer = pq.read_metadata(path)
    chunk = footer.row_group(1).column(footer.num_columns - 1)
    last = chunk.data_page_offset + chunk.total_compressed_size
    if chunk.has_dictionary_page:
        last = chunk.dictionary_page_offset + chunk.total_compressed_size
    for at in (last - 1, last - 40, last - chunk.total_compressed_size // 3):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        for buffer_bytes in (10_000, 1 << 20):
            loader = read(str(path)).loader(7, buffer_bytes=buffer_bytes, keep_bytes=keep_bytes)
            with loader, pytest.raises(SourceError, match=r"rows\.parquet, row group 1"):
                list(loader)
    path.write_bytes(good)
    assert sum(len(batch["bytes"]) for batch in read(str(path)).loader(7)) == rows


def test_pages_are_held_against_their_checksums_in_every_epoch(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(table(), path, row_group_size=500, **PLAIN, **CHECKED)
    state = path.stat()
    loader = read(str(path)).loader(7, buffer_bytes=10_000)
    assert sum(len(batch["bytes"]) for batch in loader) == ROWS
    data = bytearray(path.read_bytes())
    data[pq.read_metadata(path).row_group(2).column(0).data_page_offset + 100] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(SourceError, match=r"row group 2.*checksum"):
        list(loader)


def test_lists_with_checksums_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    values = np.arange(4000, dtype=np.float32)
    pq.write_table(listed(values, 8, (True, True)), path, data_page_size=1000, **PLAIN, **CHECKED)
    assert sum(float(b["x"].sum()) for b in read(str(path)).loader(7)) == float(values.sum())
    data = bytearray(path.read_bytes())
    data[pq.read_metadata(path).row_group(0).column(0).data_page_offset + 3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"row group 0.*checksum"):
        list(read(str(path)).loader(7))


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(table(), path, **PLAIN)
    loader = read(str(path)).loader(100, form="numpy")
    assert len(loader) == ROWS // 100
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"rows\.parquet"):
        list(loader)
