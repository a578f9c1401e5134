"""CSV: types, spellings, encodings; bad rows with their place; counts that add up."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.table import read
from orrery.errors import (
    BadRowError,
    OrreryError,
    SchemaError,
    SettingsError,
    SourceError,
    UnknownColumnError,
)


def written(text: str, name: str = "t.csv") -> str:
    Path(name).write_bytes(text.encode())
    return name


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "+2", " 3 ", ""], "int64"),
        (["1", "2.5", "NA", "-1e3"], "double"),
        (["007", "120"], "string"),
        (["true", "False", ""], "bool"),
        (["2020-01-02", ""], "date32[day]"),
        (["2020-01-02 10:00:00", "2020-01-02T10:00:00.5"], "timestamp[us]"),
        (["2020-01-02T10:00:00Z", "2020-01-02T10:00:00+02:00"], "timestamp[us, tz=UTC]"),
        (["1", "x"], "string"),
        (["", ""], "string"),
        ([str(2**63)], "uint64"),
        ([str(2**64 + 1)], "string"),
        (["NA"], "string"),
    ],
)
def test_types_are_found(cells: list[str], kind: str) -> None:
    table = read(written("k,v\n" + "".join(f"1,{cell}\n" for cell in cells)))
    assert table.schema["v"].type == kind
    assert table.count() == len(cells)


def test_kinds_and_types_pin_columns() -> None:
    place = written("a,b,c\n1,2,3\n4,5,6\n")
    table = read(place, kinds={"a": "text", "b": "number"}, types={"c": "float32"})
    assert [f.type for f in table.schema.fields] == ["string", "int64", "float"]
    with pytest.raises(UnknownColumnError):
        read(place, types={"d": "string"}).count()
    with pytest.raises(SettingsError, match="cannot become"):
        read(place, types={"c": "list<item: int64>"}).count()


def test_a_bad_cell_stops_with_file_line_column_and_value() -> None:
    lines = ["id,note", *[f'{i},"two\nlines"' for i in range(30)], "", "x17,y", "31,z"]
    with pytest.raises(BadRowError) as caught:
        read(written("\n".join(lines))).count()
    assert str(caught.value).startswith("t.csv:63: column 'id': 'x17' is not int64.")


def test_ragged_rows_and_bad_bytes_are_bad_rows() -> None:
    text = b"a,b\n1,x\n2\n3,y,z\n4,\xff\n5,w\n"
    Path("t.csv").write_bytes(text)
    table = read("t.csv", on_bad="quarantine")
    assert table.to_rows() == [{"a": 1, "b": "x"}, {"a": 5, "b": "w"}]
    assert [(r["line"], r["column"], r["value"]) for r in table.quarantined().to_rows()] == [
        (3, None, "2"),
        (4, None, "3,y,z"),
        (5, "b", "\\xff"),
    ]
    with pytest.raises(BadRowError, match=r"t.csv:3"):
        read("t.csv").count()


ROW = st.sampled_from(
    ["{i},{i}.5,ok\n", "{i},bad,ok\n", "{i}\n", '{i},1.0,"a\n""b"""\n', "\n", "{i},2,\n", "x,1,ok\n"]
)


@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(ROW, max_size=30))
def test_counts_always_add_up(kinds: list[str]) -> None:
    rows = [kind.format(i=i) for i, kind in enumerate(kinds)]
    table = read(
        written("id,size,note\n" + "".join(rows), "p.csv"),
        types={"id": "int64", "size": "double", "note": "string"},
        on_bad="quarantine",
    )
    real = [row for row in rows if row != "\n"]
    good = [row for row in real if "bad" not in row and row.count(",") == 2 and not row.startswith("x")]
    assert table.count() == len(good)
    assert table.select("note").count() == len(good)
    assert table.count() + table.quarantined().count() == len(real)
    text = Path("p.csv").read_text().split("\n")
    for row in table.quarantined().to_rows():
        assert row["value"] in text[row["line"] - 1]


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "latin-1", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings(encoding: str, packed: bool) -> None:
    word = "é" if encoding == "latin-1" else "汉字"
    data = f"{word};b\n{word * 3};1\n".encode(encoding)
    name = "t.csv.gz" if packed else "t.csv"
    Path(name).write_bytes(gzip.compress(data) if packed else data)
    table = read(name, encoding=encoding.removesuffix("-sig"), delimiter=";")
    assert table.to_rows() == [{word: word * 3, "b": 1}]


def test_headers() -> None:
    place = written("1,2\n3,4\n")
    assert read(place, header=False).to_rows()[0] == {"column_1": 1, "column_2": 2}
    assert read(place, header=["x", "y"]).to_rows()[1] == {"x": 3, "y": 4}
    assert read(written("a,\n1,2\n")).schema.names == ("a", "column_2")
    assert read(written("a\tb\n1\t2\n", "t.tsv")).to_rows() == [{"a": 1, "b": 2}]
    assert read(written("a\n1\n\n3\n")).to_rows() == [{"a": 1}, {"a": None}, {"a": 3}]


@pytest.mark.parametrize(
    ("data", "options", "error", "says"),
    [
        (b"", {}, SourceError, "is empty"),
        (b"a,a\n1,2\n", {}, SchemaError, "same name: 'a'"),
        (b"a\n1\n", {"delimiter": ";;"}, SettingsError, "one character"),
        (b"a\n1\n", {"encoding": "klingon"}, SettingsError, "no encoding"),
        (b"\xff\xfe,b\n1,2\n", {}, SourceError, "Say it with encoding="),
        ("größe,b\n1,2\n".encode("latin-1"), {}, SourceError, "encoding=: perhaps 'latin-1'"),
        ("价格,b\n1,2\n".encode("gbk"), {}, SourceError, "encoding=: perhaps 'gbk'"),
        ("价格,b\n1,2\n".encode("utf-16"), {}, SourceError, "encoding=: perhaps 'utf-16'"),
        ("a,b\nZoë,2\n".encode("latin-1"), {}, BadRowError, "'a'.*not UTF-8.*perhaps 'latin-1'"),
        ("a,b\nZoë,2\n".encode("latin-1"), {"encoding": "gbk"}, SourceError, "perhaps 'latin-1'"),
        (b"a;b\n1;2\n", {}, SchemaError, "parted by ';'.*delimiter=\";\""),
        (b"a\tb\n1\t2\n", {}, SchemaError, r'delimiter="\\t"'),
        (b"a\n1\n", {"on_bad": "ignore"}, SettingsError, "'stop', 'quarantine'"),
        (b"a\n1\n", {"delimeter": ","}, SettingsError, "Did you mean 'delimiter'"),
    ],
)
def test_what_cannot_be_read_is_told(
    data: bytes, options: dict[str, Any], error: type[OrreryError], says: str
) -> None:
    Path("t.csv").write_bytes(data)
    with pytest.raises(error, match=says):
        read("t.csv", **options).count()


def test_one_column_may_be_named_so_if_that_is_said() -> None:
    assert read(written("a;b\n1\n"), delimiter=",").to_rows() == [{"a;b": 1}]
    assert read(written("a;b\n1;2\n"), delimiter=";").to_rows() == [{"a": 1, "b": 2}]


def test_a_file_cut_short_is_told() -> None:
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(9999)))
    Path("t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match="cut short"):
        read("t.csv.gz").count()


def test_files_of_a_folder_must_agree() -> None:
    Path("d").mkdir()
    written("a,b\n1,x\n", "d/1.csv")
    written("a,b\n2,y\n", "d/2.csv")
    assert [r["a"] for r in read("d").to_rows()] == [1, 2]
    assert read("d/*.csv").count() == 2
    written("a,c\n2,y\n", "d/3.csv")
    with pytest.raises(SchemaError, match=r"3.csv has the columns"):
        read("d").count()


def test_blocks_of_a_large_file_are_one_table() -> None:
    rows = [f'{i},"{"x" * 90}"' for i in range(120_000)]
    rows[110_000] = "oops,y"
    table = read(written("a,b\n" + "\n".join(rows)), on_bad="quarantine")
    assert table.count() == 119_999
    assert table.quarantined().to_rows()[0]["line"] == 110_002
    assert table.select("a").where("a > 119990").count() == 9


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\r\nb", 'a\n"b",c\n\nd', "plain"])
def test_names_with_line_ends_are_names(name: str) -> None:
    rows = pa.table({"id": [1, 2, 3], name: [1.5, 2.5, None], f"{name}2": ["x", "y\nz", "w"]})
    read(rows).write("x.csv")
    assert read("x.csv").to_arrow() == rows


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_bad_row_behind_names_with_line_ends_is_told_by_its_line(end: str) -> None:
    Path("x.csv").write_bytes(f'id,"a{end}b"\n1,2\n1,2,3\n4,5\n'.encode())
    with pytest.raises(BadRowError, match=r"x\.csv:4"):
        read("x.csv").to_rows()
    assert read("x.csv", on_bad="quarantine").to_rows() == [
        {"id": 1, f"a{end}b": 2},
        {"id": 4, f"a{end}b": 5},
    ]


def test_whole_numbers_of_one_file_are_double_where_another_has_fractions() -> None:
    Path("many").mkdir()
    Path("many/a.csv").write_text("a,b\n1,2\n")
    Path("many/b.csv").write_text("b,a\n4.5,3\n")
    table = read("many")
    assert [str(field.type) for field in table.schema.fields] == ["int64", "double"]
    assert table.to_rows() == [{"a": 1, "b": 2.0}, {"a": 3, "b": 4.5}]
    Path("many/c.csv").write_text("a,b\n5,six\n")
    with pytest.raises(BadRowError, match="'six' is not double"):
        read("many").to_rows()
    Path("many/b.csv").unlink()
    with pytest.raises(BadRowError, match=r"'six' is not int64[.]"):
        read("many").to_rows()


def test_a_fraction_that_comes_late_is_told_with_the_type_that_reads_it() -> None:
    place = written("a,b\n" + "1,2\n" * 100_000 + "3,4.5\n")
    with pytest.raises(BadRowError, match=r"'4.5' is not int64; types=\{\"b\": \"double\"\} reads it"):
        read(place).to_rows()
    assert read(place, types={"b": "double"}).where("a = 3").to_rows() == [{"a": 3, "b": 4.5}]


def test_long_whole_numbers_are_never_rounded() -> None:
    Path("x.csv").write_text(f"a,b,c\n{2**53 + 1},{2**53 + 1},{2**64}\n{2**64 - 1},1.5,{2**64 + 1}\n")
    table = read("x.csv")
    assert [field.type for field in table.schema.fields] == ["uint64", "string", "string"]
    assert table.to_rows()[0] == {"a": 2**53 + 1, "b": str(2**53 + 1), "c": str(2**64)}
    with pytest.raises(BadRowError, match=f"'{2**53 + 1}' is not double"):
        read("x.csv", types={"b": "double"}).to_rows()


def test_long_whole_numbers_of_json_lines_are_never_rounded() -> None:
    Path("x.jsonl").write_text(f'{{"a": {2**64 - 1}}}\n{{"a": 3}}\n')
    assert read("x.jsonl").to_rows() == [{"a": 2**64 - 1}, {"a": 3}]
