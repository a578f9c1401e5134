"""Many files at once: whole or not at all, each as large as was said, no row lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.servers.s3 import S3

from orrery.data.table import Table, read
from orrery.errors import SchemaError, SettingsError, SourceError, UnknownColumnError

ROWS = 1000


def rows(count: int = ROWS) -> Table:
    cities = [None if i % 7 == 3 else f"{['Oslo', 'Bergen'][i % 2]}/{i % 3}" for i in range(count)]
    data = {"a": pa.array(range(count), pa.int64()), "year": [2020 + i % 3 for i in range(count)]}
    return read(pa.table({**data, "city": pa.array(cities, pa.string())}))


@pytest.mark.parametrize("form", ["parquet", "csv.zst", "jsonl.xz", "arrow", "feather", "orc", "csv.lz4"])
def test_rows_per_file(form: str) -> None:
    table = rows().write("out/", rows_per_file=300, form=form)
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == [f"part-{i:05}.{form}" for i in range(4)]
    assert [read(f"out/{name}").count() for name in names] == [300, 300, 300, 100]
    assert table.to_rows() == rows().to_rows()


def test_a_pattern_names_the_files_and_sizes_part_them() -> None:
    table = rows().write("out/shard-{000..}.parquet", file_bytes=8_000)
    names = sorted(path.name for path in Path("out").iterdir())
    assert names[:2] == ["shard-000.parquet", "shard-001.parquet"]
    assert len(names) > 3
    assert table.to_rows() == rows().to_rows()
    assert read("out/shard-{000..001}.parquet").count() < ROWS


@pytest.mark.parametrize("sizes", [{}, {"rows_per_file": 40}, {"file_bytes": 2_000}])
def test_folders_by_values(sizes: dict[str, Any]) -> None:
    table = rows().write("out/", partition_by=["year", "city"], **sizes)
    assert (Path("out") / "year=2021" / "city=__HIVE_DEFAULT_PARTITION__").is_dir()
    assert (Path("out") / "year=2020" / "city=Oslo%2F0").is_dir()
    found = sorted(table.to_rows(), key=lambda row: row["a"])
    assert found == [{n: row[n] for n in ("a", "year", "city")} for row in rows().to_rows()]
    assert table.where("city = 'Oslo/0'").count() == rows().where("city = 'Oslo/0'").count()
    if "rows_per_file" in sizes:
        assert max(pq.read_metadata(p).num_rows for p in Path("out").rglob("*.parquet")) == 40


@settings(deadline=None, max_examples=30)
@given(count=st.integers(0, 60), most=st.integers(1, 25), batch=st.integers(1, 30))
def test_every_row_is_written_once(count: int, most: int, batch: int) -> None:
    table = rows(count)
    cut = table.map(lambda b: b, table.schema.arrow())
    place = f"out-{uuid4().hex}/"
    read(pa.Table.from_batches(list(cut.batches(batch)), table.schema.arrow())).write(
        place, rows_per_file=most
    )
    assert read(place).to_arrow().column("a").to_pylist() == list(range(count))
    sizes = [pq.read_metadata(p).num_rows for p in sorted(Path(place).iterdir())]
    assert all(size == most for size in sizes[:-1])


def test_row_groups_are_of_about_8_mib() -> None:
    table = read(pa.table({f"c{i}": np.random.default_rng(i).random(100_000) for i in range(40)}))
    table.write("x.parquet")
    footer = pq.read_metadata("x.parquet")
    sizes = [footer.row_group(i).num_rows * 40 * 8 for i in range(footer.num_row_groups)]
    assert all(7.9 * 2**20 < size <= 8 * 2**20 for size in sizes[:-1]), sizes
    table.write("y.parquet", row_group_bytes=1 << 20)
    assert pq.read_metadata("y.parquet").num_row_groups > 30


def test_kinds_shapes_and_tensors_survive_in_the_footer() -> None:
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [2, 3]),
        pa.array([[1.0] * 6, [2.0] * 6], pa.list_(pa.float32(), 6)),
    )
    table = read(pa.table({"t": tensors, "v": pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float64(), 2))}))
    table = table.with_kinds({"t": "tensor", "v": "vector"})
    for name in ("x.parquet", "x.arrow", "out/"):
        again = table.write(name)
        assert again.schema == table.schema
        assert again.to_arrow() == table.to_arrow()


def test_what_cannot_be_is_told_and_leaves_nothing() -> None:
    table = rows()
    table.write("there/")
    before = sorted(Path("there").iterdir())
    with pytest.raises(SourceError, match="is there already"):
        table.write("there/")
    with pytest.raises(SettingsError, match="is one file"):
        table.write("x.parquet", rows_per_file=3)
    with pytest.raises(SettingsError, match="rows_per_file is 0"):
        table.write("x/", rows_per_file=0)
    with pytest.raises(UnknownColumnError, match="Did you mean 'year'"):
        table.write("x/", partition_by="yaer")
    with pytest.raises(SchemaError, match="cannot name a folder"):
        read({"a": [1], "b": [""]}).write("x/", partition_by="b")
    with pytest.raises(SettingsError, match="no folder of its own"):
        table.write("part-{00..}.parquet")

    def fail(batch: Any) -> Any:
        return batch if batch.num_rows == 0 else 1 / 0

    for form in ("parquet", "csv.gz", "orc", "tar"):
        with pytest.raises(ZeroDivisionError):
            table.map(fail, table.schema).write("x/", rows_per_file=10, form=form)
    assert [path.name for path in Path().iterdir() if path.name != "home"] == ["there"]
    assert sorted(Path("there").iterdir()) == before


def test_an_error_in_the_middle_of_a_thread_stops_all() -> None:
    """CSV cannot hold bytes: told by the thread that writes the first shard."""
    with pytest.raises(SchemaError, match="CSV cannot hold"):
        read({"v": [b"x"] * 50}).write("x/", rows_per_file=1, form="csv")
    assert not Path("x").exists()


KILLED = """
import sys, pyarrow as pa
from orrery.data.table import read
def slow(batch):
    if batch.num_rows:
        print("batch", flush=True)
        sys.stdin.readline()
    return batch
table = read(pa.table({"a": list(range(200_000))}))
table.map(slow, table.schema).write(sys.argv[1], rows_per_file=1000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["out/", "s3"])
def test_a_killed_writer_leaves_nothing_that_is_taken_for_data(
    place: str, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection())
    url = place if place != "s3" else f"s3://lake/{uuid4().hex}/?connection=lake"
    command = [sys.executable, "-c", KILLED, url]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdin is not None
    writer.stdout.readline()
    writer.stdin.write("\n")
    writer.stdin.flush()
    writer.stdout.readline()  # some shards were handed over by now
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and place != "s3":
        if any(Path().glob(".out.*.part/part-*")):
            break
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    with pytest.raises((SourceError, SettingsError), match=r"not finished|does not say|no file|There is no"):
        read(url).count()
    read({"a": [1]}).write("beside/x.parquet")
    assert read(".").count() == 1  # a folder above does not take it either


def test_shards_on_s3_are_all_there_or_told(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection())
    folder = f"s3://lake/{uuid4().hex}"
    table = rows().write(f"{folder}/?connection=lake", rows_per_file=300)
    assert table.to_rows() == rows().to_rows()
    s3.system().pipe_file(f"{folder}/part-09999.parquet", b"of somebody else")
    assert read(f"{folder}/", connection="lake").count() == ROWS
    s3.system().rm_file(f"{folder}/part-00001.parquet")
    with pytest.raises(SourceError, match=r"lacks 'part-00001.parquet'"):
        read(f"{folder}/", connection="lake").count()
    with pytest.raises(SourceError, match="is there already"):
        rows().write(f"{folder}/?connection=lake")
