"""Arrow and ORC: only what is needed is read; broken files are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pytest

from orrery.data.table import read
from orrery.errors import SchemaError, SourceError

WIDE = pa.table({f"c{i}": np.random.default_rng(i).random(20_000) for i in range(40)})


@pytest.fixture(params=["wide.arrow", "wide.feather", "wide.arrows", "wide.orc"])
def wide(request: pytest.FixtureRequest) -> Path:
    """Forty columns of 20,000 random numbers."""
    path = Path(request.param)
    if path.suffix == ".orc":
        orc.write_table(WIDE, str(path))
    elif path.suffix == ".feather":
        feather.write_feather(WIDE, str(path))
    else:
        with (pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream)(path, WIDE.schema) as out:
            out.write_table(WIDE)
    return path


def test_three_columns_of_forty_are_under_a_tenth_of_the_bytes(wide: Path) -> None:
    table = read(wide)
    assert table.select("c7", "c1", "c3").to_arrow() == WIDE.select(["c7", "c1", "c3"])
    assert 0 < table.source.bytes_read < 0.1 * wide.stat().st_size  # type: ignore[attr-defined]


def test_broken_files_are_told(wide: Path) -> None:
    data = wide.read_bytes()
    for broken in (data[:-3000], data[:20], b"", b"\xff" * 100):
        wide.write_bytes(broken)
        with pytest.raises(SourceError, match=f"wide.{wide.suffix[1:]}"):
            read(wide).to_arrow()


def test_files_of_a_folder_must_agree() -> None:
    Path("d").mkdir()
    orc.write_table(pa.table({"a": [1], "b": ["x"]}), "d/1.orc")
    orc.write_table(pa.table({"b": ["y"], "a": pa.array([2], pa.int32())}), "d/2.orc")
    assert read("d").to_rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    orc.write_table(pa.table({"c": [1]}), "d/3.orc")
    with pytest.raises(SchemaError, match=r"3.orc has the columns"):
        read("d").count()


def test_arrow_batches_that_lead_out_of_their_memory_are_told() -> None:
    rows = pa.table({"l": [[1], [2, 3], [4]]})
    with pa.ipc.new_file("x.arrow", rows.schema) as out:
        out.write_table(rows)
    data = Path("x.arrow").read_bytes()
    ends = np.array([0, 1, 3, 4], np.int32).tobytes()
    assert data.count(ends) == 1
    wrong = np.array([0, 1 << 30, 3, 4], np.int32).tobytes()
    Path("x.arrow").write_bytes(data.replace(ends, wrong))
    with pytest.raises(SourceError, match=r"x\.arrow cannot be read as Arrow"):
        read("x.arrow").to_rows()
