"""A quote that is never closed must not swallow rows in silence."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.sources.csv_quotes import open_quote
from orrery.data.table import read
from orrery.errors import BadRowError, SourceError


def write(text: str, name: str = "rows.csv") -> str:
    data = text.encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


@pytest.mark.parametrize(
    ("text", "rows", "line"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n7,8\n', [("1", "2")], 3),
        ('a,b\n1,2\n3,"4\n5,6\n7,8', [("1", "2")], 3),
        ('a,b\r\n1,2\r\n3,"4\r\n5,6\r\n', [("1", "2")], 3),
        ('a,b\n1,2\n"3,4\n5,6\n7,8\n', [("1", "2")], 3),
        ('a,b\n1,2\n3,"4', [("1", "2")], 3),
        ('a,b\n1,2\n3,"', [("1", "2")], 3),
        ('a,b\n1,2\n"x\ny","4\n5,6\n', [("1", "2")], 4),
        ('a,b\n1,5" x\n3,"4""\n5,6\n', [("1", '5" x')], 3),
        ('a,b\n1,2\n1,2,3\n\n3,"4\n', [("1", "2")], 5),
    ],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_an_open_quote_is_a_bad_row_with_its_line(
    text: str, rows: list[tuple[str, str]], line: int, name: str
) -> None:
    options = {"types": {"a": "string", "b": "string"}}
    with pytest.raises(BadRowError) as caught:
        read(write(text.replace("1,2,3\n", "8,9\n"), name), **options).to_rows()
    assert str(caught.value).startswith(f"{name}:{line}: ") or f"{name}:{line}" in caught.value.pointer
    assert "never closed" in str(caught.value)
    table = read(write(text, name), on_bad="quarantine", **options)
    assert [tuple(row.values()) for row in table.to_rows()] == rows
    bad = table.quarantined().to_rows()
    assert [row["line"] for row in bad if "never closed" in row["reason"]] == [line]
    assert len(bad) == 1 + text.count("1,2,3\n")
    assert table.count() == len(rows)


@pytest.mark.parametrize(
    "text",
    ['a,b\n1,"x\n"\n', 'a,b\n1,""', 'a,b\n1,"x"', 'a,b\n1,x"', 'a,b\n1,"x""\n"\n', 'a\n"x"\n\n"y\n"\n'],
)
def test_closed_quotes_are_no_bad_rows(text: str) -> None:
    expected = list(csv.reader(io.StringIO(text, newline="")))[1:]
    table = read(write(text), types={"b": "string"} if ",b" in text else {})
    assert table.count() == len(expected)


def test_a_header_with_an_open_quote() -> None:
    with pytest.raises(SourceError, match=r"rows.csv:1: The line of names has a quote that is never closed"):
        read(write('a,"b\n1,2\n3,4\n')).schema  # noqa: B018


def test_more_rows_swallowed_than_fit_a_block() -> None:
    place = write('a,b\n1,2\n3,"4\n' + "5,6\n" * 2_500_000)
    with pytest.raises(SourceError, match=r"rows.csv:3: This row has a quote that is never closed"):
        read(place, on_bad="quarantine").to_rows()


@settings(max_examples=150)
@given(st.text('a,"\n', max_size=30))
def test_the_end_is_open_where_the_standard_library_says_so(text: str) -> None:
    lines = io.StringIO(text, newline="").readlines()
    rows = list(csv.reader([*lines, "z"]))
    assert (open_quote(lines, ",", blank=True) is None) == (rows[-1] == ["z"])
