"""Files appear whole or not at all, and say why they cannot."""

from __future__ import annotations

import datetime as dt
import decimal
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orrery.data.table import read
from orrery.data.writer import write
from orrery.errors import SchemaError, SettingsError, SourceError

SCHEMA = pa.schema([("a", pa.int64())])


def failing(error: Exception) -> Iterator[Any]:
    yield pa.record_batch({"a": [1, 2]})
    raise error


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.csv.gz", "x.jsonl"])
@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), SourceError, "the disk is full"),
        (ValueError("broken"), ValueError, "broken"),
        (KeyboardInterrupt("^C"), KeyboardInterrupt, "C"),
    ],
)
def test_a_broken_write_leaves_the_old_file_and_nothing_else(
    name: str, error: Exception, raised: type[BaseException], says: str
) -> None:
    Path(name).write_text("old")
    with pytest.raises(raised, match=says):
        write(name, SCHEMA, failing(error))
    assert [p.name for p in Path().iterdir()] == [name]
    assert Path(name).read_text() == "old"


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody may write to")
def test_a_read_only_folder_is_told() -> None:
    with pytest.raises(SourceError, match="read-only"):
        read({"a": [1]}).write("/sys/kernel/x.parquet")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SourceError, match="read-only"):
        read({"a": [1]}).write(str(tmp_path / "x.parquet"))


def test_forms_that_cannot_hold_the_rows_say_so() -> None:
    with pytest.raises(SchemaError, match=r"'v' is binary, which CSV cannot hold"):
        read({"v": [b"x"]}).write("x.csv")
    for name in ("x.xlsx", "x.parquet.gz"):
        with pytest.raises(SettingsError, match=r"'\.parquet', '\.csv', '\.csv\.gz'"):
            read({"v": [1]}).write(name)
    assert list(Path().iterdir()) == []


def test_parquet_keeps_types_and_kinds() -> None:
    table = read(
        {
            "d": [decimal.Decimal("1.20"), None],
            "t": pa.array([dt.datetime(2020, 1, 1), None], pa.timestamp("us", "UTC")),
            "l": [["x"], None],
            "b": [b"\x00", None],
        }
    ).with_kinds({"l": "labels"})
    again = table.write("deep/er/x.parquet")
    assert again.schema == table.schema
    assert again.to_rows() == table.to_rows()


def test_jsonl_writes_what_json_has_no_word_for() -> None:
    read({"b": [b"\x00\xff"], "d": [decimal.Decimal("1.20")], "t": [dt.date(2020, 1, 2)]}).write("x.jsonl")
    assert Path("x.jsonl").read_text() == '{"b": "AP8=", "d": "1.20", "t": "2020-01-02"}\n'


@pytest.mark.parametrize("name", ["y.parquet", "y.csv", "y.csv.gz", "y.jsonl"])
def test_other_file_systems(name: str) -> None:
    place = f"memory://shelf/{name}"
    rows = {"a": [1, 2, None], "b": ["x", "y", "z"]}
    assert read(rows).write(place).where("b > 'x'").to_rows() == read(rows).where("b > 'x'").to_rows()
    assert read(f"memory://shelf/*{name[1:]}").count() == 3
    with pytest.raises(SourceError, match="no file"):
        read(f"memory://nowhere/{name}").count()


@pytest.mark.parametrize("kind", [pa.decimal128(5, -2), pa.list_(pa.decimal128(5, -2))])
def test_decimals_of_a_negative_scale_are_refused_by_orc(kind: Any) -> None:
    with pytest.raises(SchemaError, match="negative scale"):
        read(pa.table({"x": pa.array([None, None], kind)})).write("x.orc")
    assert not Path("x.orc").exists()


def test_times_that_orc_cannot_give_again_are_refused() -> None:
    read(pa.table({"t": pa.array([dt.datetime(1700, 1, 1)], pa.timestamp("us"))})).write("x.orc")
    assert read("x.orc").to_rows() == [{"t": dt.datetime(1700, 1, 1)}]
    with pytest.raises(SchemaError, match="ORC cannot hold"):
        read(pa.table({"t": pa.array([dt.datetime(1600, 1, 1)], pa.timestamp("us"))})).write("y.orc")


@pytest.mark.parametrize("ending", ["parquet", "orc", "csv"])
def test_types_that_a_form_cannot_hold_are_told(ending: str) -> None:
    rows = pa.table({"x": pa.array([pa.MonthDayNano([1, 2, 3])], pa.month_day_nano_interval())})
    with pytest.raises(SchemaError, match="cannot hold"):
        read(rows).write(f"x.{ending}")
