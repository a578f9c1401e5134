"""Files on HDFS over WebHDFS: globs, folders, writing, logins, what goes wrong."""

from __future__ import annotations

import getpass
import json
from contextlib import suppress
from uuid import uuid4

import pyarrow as pa
import pytest
from tests.servers.hadoop import Hadoop

from orrery.data.table import Table, read
from orrery.errors import SettingsError, SourceError


@pytest.fixture
def folder(hadoop: Hadoop, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of its own; the connection ``hadoop`` says who asks."""
    login = hadoop.url.replace("://", f"://{getpass.getuser()}@")
    monkeypatch.setenv("ORRERY_CONNECTION__HADOOP", login)
    return f"{hadoop.url}/{uuid4().hex}"


def test_folders_globs_and_hive_folders(folder: str) -> None:
    rows = {"a": [1, 2, 3], "b": ["x", None, "z"]}
    for year in (2023, 2024):
        read(rows).write(f"{folder}/year={year}/part.parquet?connection=hadoop")
    for place in (folder, f"{folder}/", f"{folder}/*/part.parquet"):
        table = read(place, connection="hadoop").where("year = 2024")
        assert table.select("a", "year").to_rows() == [{"a": a, "year": 2024} for a in rows["a"]]
    assert Table.from_dict(json.loads(json.dumps(table.to_dict()))).count() == 3


def test_files_appear_whole_and_replace_others(folder: str, hadoop: Hadoop) -> None:
    place = f"{folder}/deep/er/x.csv.gz?connection=hadoop"
    assert read({"a": [1]}).write(place).to_rows() == [{"a": 1}]
    assert read({"a": [2, 3]}).write(place).to_rows() == [{"a": 2}, {"a": 3}]

    def fail(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise RuntimeError("stop")
        return batch

    with pytest.raises(RuntimeError):
        read({"a": [1]}).map(fail, pa.schema({"a": pa.int64()})).write(place)
    inner = folder.removeprefix(hadoop.url)
    assert [name.rpartition("/")[2] for name in hadoop.system().find(inner)] == ["x.csv.gz"]
    assert read(place).count() == 2


def test_shards(folder: str) -> None:
    table = read({"a": list(range(100))}).write(f"{folder}/out/?connection=hadoop", rows_per_file=30)
    assert [row["a"] for row in table.to_rows()] == list(range(100))
    with pytest.raises(SourceError, match="is there already"):
        read({"a": [1]}).write(f"{folder}/out/?connection=hadoop")


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_a_file_that_changes_while_it_is_read_is_told(folder: str, form: str) -> None:
    place = f"{folder}/x.{form}?connection=hadoop"
    words = [[f"{word}{n:06}" for n in range(40_000)] for word in "ab"]
    source = read({"w": words[0]}).write(place, row_group_bytes=50_000).source
    seen: set[str] = set()

    def run() -> None:
        changed = False
        for part in source.partitions():
            for batch in source.read(part, ["w"]):
                seen.update(text[0] for text in batch.column(0).to_pylist())
                if not changed:
                    read({"w": words[1]}).write(place, row_group_bytes=50_000)
                changed = True

    with suppress(SourceError):
        run()
        assert form == "csv"  # which was one answer: all of the old file
    assert seen == {"a"}


def test_what_goes_wrong_is_told(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"no file at webhdfs://.*none\.parquet"):
        read(f"{folder}/none.parquet", connection="hadoop").count()
    with pytest.raises(SettingsError, match="another server"):
        read("webhdfs://elsewhere:1/x.parquet", connection="hadoop").count()
    monkeypatch.setenv("ORRERY_CONNECTION__HADOOP", "webhdfs://me@127.0.0.1:1?token=abc123")
    with pytest.raises(SourceError, match=r"webhdfs://127\.0\.0\.1:1/x\.parquet") as told:
        read("webhdfs://127.0.0.1:1/x.parquet", connection="hadoop").count()
    assert "abc123" not in str(told.value)
