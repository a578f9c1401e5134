"""Plain pages are read as Arrow reads them, or left to Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.loader.columns import layout
from orrery.data.loader.plain import Plain, pages_of
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
        made |= {part.key: values} if part.key == "bytes" else dict(zip(part.names, values.T, strict=True))
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
        assert pages_of(file.fileno(), (0, len(data)), 1000, 8) is None


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(table(), path, **PLAIN)
    loader = read(str(path)).loader(100, form="numpy")
    assert len(loader) == ROWS // 100
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"rows\.parquet"):
        list(loader)
