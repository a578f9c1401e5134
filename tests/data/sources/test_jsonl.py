"""JSON lines: types over all lines, bad lines with their place."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orrery.data.table import read
from orrery.errors import BadRowError, SchemaError, SourceError

GOOD: list[dict[str, Any]] = [
    {"a": i, "s": f"t{i}", "l": [1.5, i], "o": {"k": "v"}, "b": i % 2 == 0} for i in range(40)
]


def written(lines: list[str], name: str = "t.jsonl") -> str:
    data = "\n".join(lines).encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson.gz"])
def test_types_and_rows(name: str) -> None:
    table = read(written([json.dumps(row) for row in GOOD], name))
    assert [f.type for f in table.schema.fields] == [
        "int64", "string", "list<item: double>", "struct<k: string>", "bool",
    ]  # fmt: skip
    assert table.to_rows() == GOOD


def test_bad_lines_stop_or_are_set_aside() -> None:
    bad = [
        '{"a": "no"}',
        "{cut",
        "[1]",
        '{"new": 1}',
        '{"a": 1e400}',
        '{"a": 99999999999999999999}',
        "\udcff",
    ]
    lines = [json.dumps(row) for row in GOOD]
    data = "\n".join([*lines, "", *bad]).encode("utf-8", "surrogateescape")
    Path("t.jsonl").write_bytes(data)
    table = read("t.jsonl", types={"a": "int64"}, on_bad="quarantine")
    aside = table.quarantined().to_rows()
    assert [row["line"] for row in aside] == [42, 43, 44, 46, 47, 48]
    assert aside[0] == {
        "place": "t.jsonl",
        "line": 42,
        "column": "a",
        "value": "no",
        "reason": "is not int64",
    }
    assert table.count() + len(aside) == len(GOOD) + len(bad)
    with pytest.raises(BadRowError, match=r"t.jsonl:42: column 'a': 'no' is not int64"):
        read("t.jsonl", types={"a": "int64"}).count()


def test_missing_keys_are_missing_values() -> None:
    assert read(written(['{"a": 1}', '{"b": null}', '{"b": "x"}'])).to_rows() == [
        {"a": 1, "b": None},
        {"a": None, "b": None},
        {"a": None, "b": "x"},
    ]


def test_columns_of_several_sorts_are_told_and_can_be_decided() -> None:
    place = written(['{"a": 1}', '{"a": "x"}'])
    with pytest.raises(SchemaError, match="1 int, 1 text"):
        read(place).count()
    assert [r["a"] for r in read(place, types={"a": "string"}).to_rows()] == ["1", "x"]
    times = written(['{"at": "2020-01-02T03:04:05"}'])
    assert read(times, kinds={"at": "datetime"}).schema["at"].type == "timestamp[us]"


def test_deep_nesting_is_a_bad_line() -> None:
    place = written(['{"a": 1}', "[" * 200_000])
    assert read(place, on_bad="quarantine").quarantined().count() == 1


def test_nothing_to_read_is_told() -> None:
    with pytest.raises(SchemaError, match="no JSON object"):
        read(written([""])).count()
    with pytest.raises(SourceError, match="no file"):
        read("absent.jsonl").count()


def test_dates_are_read_as_dates_where_all_are() -> None:
    rows = [
        {"day": "2024-01-02", "at": "2024-01-02T03:04:05.5", "utc": "2024-01-02T03:04:05Z", "text": "2"},
        {"day": None, "at": "2024-02-02 00:00:00", "utc": "2024-01-02T03:04:05+02:00", "text": "soon"},
    ]  # fmt: skip
    place = written([json.dumps(row) for row in rows])
    table = read(place)
    types = ["date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]", "string"]
    assert [field.type for field in table.schema.fields] == types
    first, second = table.to_rows()
    assert first["day"] == dt.date(2024, 1, 2)
    assert second["utc"] == dt.datetime(2024, 1, 2, 1, 4, 5, tzinfo=dt.UTC)
    assert read(place, types={"day": "string"}).to_rows()[0]["day"] == "2024-01-02"
    assert read(place, kinds={"day": "category"}).schema["day"].type == "string"


def test_numbers_and_words_are_no_dates() -> None:
    rows = [{"year": "2024", "code": "20240102", "word": "may"}] * 3
    assert {f.type for f in read(written([json.dumps(row) for row in rows])).schema.fields} == {"string"}


def test_a_day_that_is_none_is_a_bad_row() -> None:
    lines = [json.dumps({"day": f"2024-01-{i:02}"}) for i in range(1, 29)]
    place = written([*lines, '{"day": "soon"}'])
    assert read(place).schema["day"].type == "string"
    table = read(place, types={"day": "date32"}, on_bad="quarantine")
    assert (table.count(), table.quarantined().to_rows()[0]["line"]) == (28, 29)


def test_no_rows_have_the_columns_that_are_named() -> None:
    rows = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})
    read(rows).write("x.jsonl")
    assert read("x.jsonl", types={"a": "int64", "b": "string"}).to_arrow() == rows
    with pytest.raises(SchemaError, match="types="):
        read("x.jsonl").count()
