"""Folders named ``column=value``: columns of all rows below, and folders that need not be opened."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.data.table import Table, read
from orrery.errors import SchemaError, SettingsError


@pytest.fixture
def sales() -> Path:
    for year in (2023, 2024):
        for city in ("New%20York", "Oslo", "__HIVE_DEFAULT_PARTITION__"):
            folder = Path(f"sales/year={year}/city={city}")
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"price": [1.0, 2.0 + year]}), folder / "part.parquet")
    return Path("sales")


def test_folders_are_columns(sales: Path) -> None:
    table = read(sales)
    assert [(f.name, f.type) for f in table.schema.fields] == [
        ("price", "double"),
        ("year", "int64"),
        ("city", "string"),
    ]
    assert table.count() == 12
    assert {row["city"] for row in table.to_rows()} == {"New York", "Oslo", None}


def test_folders_that_cannot_match_are_not_opened(sales: Path) -> None:
    table = read(sales).where("year = 2024 and city = 'Oslo' and price > 1.5")
    assert table.to_rows() == [{"price": 2026.0, "year": 2024, "city": "Oslo"}]
    one_row_group = table.source.bytes_read  # type: ignore[attr-defined]
    everything = read(sales)
    everything.to_rows()
    assert one_row_group * 6 == everything.source.bytes_read  # type: ignore[attr-defined]
    assert "there" in str(table.explain())


def test_conditions_on_folders_and_rows_together(sales: Path) -> None:
    found = read(sales).where("price > year and city is not null").select("year").to_rows()
    assert found == [{"year": 2023}] * 2 + [{"year": 2024}] * 2
    assert read(sales).where("city is null or year < 2024").where("1 = 1").count() == 8
    (part, *_) = read(sales).source.partitions()
    rest = [b.num_rows for b in read(sales).source.read(part, ["year"], "year = 2023", start=1)]
    assert sum(rest) == 5


def test_globs_name_columns_too_and_single_files_none(sales: Path) -> None:
    assert read("sales/year=2024/*/part.parquet").schema.names == ("price", "year", "city")
    assert read("sales/year=*/city=Oslo/part.parquet").schema.names == ("price", "year", "city")
    assert read("sales/year=2024/city=Oslo/part.parquet").schema.names == ("price",)


def test_the_plan_and_the_fingerprint_know_the_folders(sales: Path) -> None:
    table = read(sales)
    assert Table.from_dict(table.to_dict()).to_rows() == table.to_rows()
    before = table.fingerprint()
    (sales / "year=2024").rename(sales / "year=2025")
    assert read(sales).fingerprint() != before


def test_csv_and_words_in_folders() -> None:
    for value in ("1", "x"):
        Path(f"csv/kind={value}").mkdir(parents=True)
        Path(f"csv/kind={value}/a.csv").write_text("a,b\n1,2\n")
    assert read("csv").to_rows() == [{"a": 1, "b": 2, "kind": "1"}, {"a": 1, "b": 2, "kind": "x"}]


def test_folders_of_different_columns_are_told(sales: Path) -> None:
    (sales / "month=3").mkdir()
    pq.write_table(pa.table({"price": [1.0]}), sales / "month=3/part.parquet")
    with pytest.raises(SchemaError, match="name the columns"):
        read(sales)


def test_a_glob_inside_a_folder_keeps_the_columns_of_its_whole_path(sales: Path) -> None:
    names = ["price", "year", "city"]
    for place in (
        "sales/year=2024/*/*.parquet",
        "sales/year=2024/city=Oslo/*.parquet",
        "sales/*/*/*.parquet",
    ):
        table = read(place)
        assert table.schema.names == tuple(names)
        assert {row["year"] for row in table.where("year = 2024").to_rows()} == {2024}
    assert read("sales/year=2024/city=Oslo/*.parquet").count() == 2


@pytest.mark.parametrize(
    "words",
    [
        ["01234", "1234", "__HIVE_DEFAULT_PARTITION__", None, "a/b", "..", "%2e%2e", "é", " ", "a=b"],
        ["01234", "1234"],
        ["-0", "1"],
        ["٣", "1"],
    ],
)
def test_texts_in_folders_stay_what_they_are(words: list[str | None]) -> None:
    rows = pa.table({"word": words, "v": range(len(words))})
    read(rows).write("out/", partition_by=["word"])
    found = sorted(read("out/").to_rows(), key=lambda row: row["v"])
    assert [row["word"] for row in found] == words


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_the_type_of_a_folder_can_be_pinned(form: str) -> None:
    """Texts that happen to look like numbers: postal codes, and a day."""
    for code, day in (("10115", "2024-01-01"), ("80331", "2024-02-29")):
        Path(f"t/zip={code}/day={day}").mkdir(parents=True)
        read({"a": [1, 2]}).write(f"t/zip={code}/day={day}/x.{form}")
    assert {f.name: f.type for f in read("t").schema.fields} == {
        "a": "int64",
        "zip": "int64",
        "day": "string",
    }
    types = {"zip": "string", "day": "date32[day]"} | ({"a": "double"} if form == "csv" else {})
    table = read("t", types=types)
    assert {f.name: f.type for f in table.schema.fields} == {"a": "int64", **types}
    found = table.where("zip = '80331' and day > date '2024-01-31'").select("a", "zip").to_rows()
    assert found == [{"a": 1, "zip": "80331"}, {"a": 2, "zip": "80331"}]
    plain = table.source.to_dict()
    assert plain["types"] == types
    assert read(plain.pop("place"), **plain).schema == table.schema
    with pytest.raises(SchemaError, match=r"zip=.* are not all date32"):
        read("t", types={"zip": "date32[day]"}).count()
    if form == "parquet":
        with pytest.raises(SettingsError, match="no option 'types'"):
            read("t", types={"zip": "string", "a": "double"})
