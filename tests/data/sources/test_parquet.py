"""Parquet: only what is needed is read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.data.table import read
from orrery.errors import SchemaError, SourceError


@pytest.fixture
def wide() -> Path:
    """Forty columns of 20,000 random numbers, in 10 row groups, sorted by ``id``."""
    rng = np.random.default_rng(0)
    columns = {f"c{i}": rng.random(20_000) for i in range(39)}
    pq.write_table(pa.table({"id": np.arange(20_000), **columns}), "wide.parquet", row_group_size=2_000)
    return Path("wide.parquet")


def test_three_columns_of_forty_are_under_a_tenth_of_the_bytes(wide: Path) -> None:
    table = read(wide)
    list(table.batches(columns=["c1", "c2", "c3"]))
    assert 0 < table.source.bytes_read < 0.1 * wide.stat().st_size  # type: ignore[attr-defined]


def test_row_groups_that_cannot_match_are_left_out(wide: Path) -> None:
    one, all_of_it = read(wide).where("id >= 2000 and id < 2010 and c1 < 2"), read(wide)
    assert [row["id"] for row in one.select("id").to_rows()] == list(range(2000, 2010))
    all_of_it.to_arrow()
    assert one.source.bytes_read < 0.15 * all_of_it.source.bytes_read  # type: ignore[attr-defined]
    assert "there" in str(one.explain())


def test_counting_reads_nothing(wide: Path) -> None:
    table = read(wide)
    assert table.count() == 20_000
    assert table.source.bytes_read == 0  # type: ignore[attr-defined]


def test_broken_files_are_told(wide: Path) -> None:
    data = wide.read_bytes()
    wide.write_bytes(data[:-100])
    with pytest.raises(SourceError, match=r"wide\.parquet"):
        read(wide).count()
    wide.write_bytes(data[:1000] + bytes(len(data) - 3000) + data[-2000:])
    with pytest.raises(SourceError, match=r"wide\.parquet"):
        read(wide).to_arrow()


def test_files_of_a_folder_must_agree() -> None:
    Path("d").mkdir()
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), "d/1.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": pa.array([2], pa.int32())}), "d/2.parquet")
    assert read("d").to_rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    pq.write_table(pa.table({"c": [1]}), "d/3.parquet")
    with pytest.raises(SchemaError, match=r"3.parquet has the columns"):
        read("d").count()


def test_a_page_that_is_damaged_is_told() -> None:
    read(pa.table({"a": range(20_000)})).write("x.parquet")
    data = bytearray(Path("x.parquet").read_bytes())
    data[data.find(b"\x28\xb5\x2f\xfd") + 20_000] ^= 1  # in the values, behind where a page begins
    Path("x.parquet").write_bytes(data)
    with pytest.raises(SourceError, match=r"x\.parquet cannot be read.*(CRC|checksum)"):
        read("x.parquet").to_rows()


def test_a_footer_whose_columns_are_broken_is_told() -> None:
    """One of them is what it says of levels, where Arrow would end the program."""
    pq.write_table(pa.table({"a": [[1], [2, 3]]}), "x.parquet")
    data = Path("x.parquet").read_bytes()
    begins = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    found = set()
    for place in range(begins, len(data) - 8):
        broken = bytearray(data)
        broken[place] ^= 0x10
        Path("y.parquet").write_bytes(broken)
        with suppress(SourceError):
            try:
                read("y.parquet").to_rows()
            except SourceError as error:
                found.add("histogram" in str(error))
                raise
    assert True in found
