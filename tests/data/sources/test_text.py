"""Plain text: one row per line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from orrery.data.table import Table, read
from orrery.errors import BadRowError, SourceError

LINES = ["\ufefffirst".removeprefix("\ufeff"), "", "  third 城市 ", "last, without an end"]


@pytest.fixture(params=["rows.txt", "rows.log", "rows.txt.gz"])
def table(request: pytest.FixtureRequest) -> Table:
    data = ("\ufeff" + "\r\n".join(LINES)).encode()
    Path(request.param).write_bytes(gzip.compress(data) if request.param.endswith(".gz") else data)
    return read(request.param)


def test_every_line_is_a_row_empty_ones_too(table: Table) -> None:
    assert table.to_rows() == [{"text": text, "line": i} for i, text in enumerate(LINES, 1)]
    assert table.count() == 4
    assert [f.type for f in table.schema.fields] == ["string", "int64"]


def test_columns_conditions_and_queries(table: Table) -> None:
    assert table.where("text like '%城市%'").select("line").to_rows() == [{"line": 3}]
    assert table.sql("select max(line) as n from this").to_rows() == [{"n": 4}]


def test_a_file_is_read_on_from_any_row(table: Table) -> None:
    (part,) = table.source.partitions()
    for start in range(6):
        found = [n for b in table.source.read(part, ["line"], "line <> 2", start) for n in b[0].to_pylist()]
        assert found == [1, 3, 4][start:]


def test_the_fingerprint_is_of_the_lines_and_the_plan_reads_them_again(table: Table) -> None:
    assert Table.from_dict(table.to_dict()).to_rows() == table.to_rows()
    before = table.fingerprint()
    Path("other.txt").write_text("x")
    assert read("other.txt").fingerprint() != before


def test_lines_of_another_encoding_are_bad_rows_or_recoded() -> None:
    Path("mixed.txt").write_bytes(b"good\n" + "城市\n".encode("gbk") + b"good again\n")
    with pytest.raises(BadRowError, match="is not utf-8"):
        read("mixed.txt").to_rows()
    table = read("mixed.txt", on_bad="quarantine")
    assert [row["line"] for row in table.to_rows()] == [1, 3]
    assert [row["line"] for row in table.quarantined().to_rows()] == [2]
    Path("gbk.txt").write_bytes("城市\n".encode("gbk"))
    assert read("gbk.txt", encoding="gbk").to_rows() == [{"text": "城市", "line": 1}]


def test_files_of_a_folder_follow_each_other_and_may_be_empty() -> None:
    Path("logs").mkdir()
    for name, text in (("a.log", "1\n2\n"), ("b.log", ""), ("c.log", "3\n")):
        Path("logs", name).write_text(text)
    assert [row["text"] for row in read("logs").to_rows()] == ["1", "2", "3"]


def test_a_torn_file_is_told() -> None:
    Path("torn.txt.gz").write_bytes(gzip.compress(b"x\n" * 10_000)[:-10])
    with pytest.raises(SourceError, match=r"torn\.txt\.gz"):
        read("torn.txt.gz").count()
