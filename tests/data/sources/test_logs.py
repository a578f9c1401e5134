from __future__ import annotations

import bz2
import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.sources import log_lines
from orrery.data.sources.log_lines import Record, records
from orrery.data.sources.logs import Logs
from orrery.data.table import Table, read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError

NUMBER = "n=%{INT:n:int}"


def numbers(table: Table) -> list[int]:
    return [row["n"] for row in table.select("n").to_rows()]


def bad(table: Table) -> list[tuple[int, str]]:
    return [(row["line"], row["value"]) for row in table.quarantined().to_rows()]


def test_lines_are_rows_that_know_their_place() -> None:
    Path("app.log").write_bytes(b"\xef\xbb\xbfn=1\r\n\n  \nn=2")
    table = read("app.log", pattern=NUMBER)
    assert table.to_rows() == [
        {"n": 1, "_line": 1, "_file": "app.log"},
        {"n": 2, "_line": 4, "_file": "app.log"},
    ]
    assert table.where("n > 1").select("_line").to_rows() == [{"_line": 4}]


def test_lines_that_do_not_fit_stop_or_are_kept_aside() -> None:
    Path("app.log").write_bytes(b"n=1\nwhat?\nn=99999999999999999999\nn=\xff\nn=2\n")
    with pytest.raises(BadRowError, match=r"app.log:2: 'what\?' does not fit the pattern"):
        read("app.log", pattern=NUMBER).count()
    table = read("app.log", pattern=NUMBER, on_bad="quarantine")
    assert numbers(table) == [1, 2]
    assert table.count() + table.quarantined().count() == 5
    assert bad(table) == [(2, "what?"), (3, "99999999999999999999"), (4, "n=\\xff")]
    reasons = [row["reason"] for row in table.quarantined().to_rows()]
    assert reasons == ["does not fit the pattern", "is not int64", "is not utf-8"]


def test_rotated_and_compressed_files_are_read_oldest_first() -> None:
    held = {
        "syslog": (b"n=8\n", None),
        "syslog.1": (b"n=7\n", None),
        "syslog.2.gz": (b"n=6\n", gzip.compress),
        "syslog.10.bz2": (b"n=5\n", bz2.compress),
        "syslog-20260102.gz": (b"n=2\n", gzip.compress),
        "syslog-20251231": (b"n=1\n", None),
        "syslog.2026-02-01": (b"n=3\n", None),
    }
    for name, (data, pack) in held.items():
        Path(name).write_bytes(pack(data) if pack else data)
    assert numbers(read("syslog*", pattern=NUMBER)) == [1, 2, 3, 5, 6, 7, 8]
    assert numbers(read("syslog.2.gz", pattern=NUMBER)) == [6]
    Path("logs").mkdir()
    for name in ("b.log", "a.log", "a.log.1", "a.log.2.gz", "not-a-log.bin"):
        data = f"n={len(name)}\n".encode()
        (Path("logs") / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    files = [row["_file"] for row in read("logs", pattern=NUMBER).to_rows()]
    assert files == ["logs/a.log.2.gz", "logs/a.log.1", "logs/a.log", "logs/b.log"]


def test_a_row_may_have_several_lines() -> None:
    Path("app.log").write_text(
        "\nlost\n2026-01-02T03:04:05Z one\n2026-01-02T03:04:06Z two\n"
        "  at a\n\n  at b\n\n2026-01-02T03:04:07Z three\n"
    )
    pattern = "%{TIMESTAMP_ISO8601} %{MULTILINEDATA:text}"
    table = read("app.log", pattern=pattern, begins="%{TIMESTAMP_ISO8601}", on_bad="quarantine")
    assert [(row["_line"], row["text"]) for row in table.to_rows()] == [
        (3, "one"),
        (4, "two\n  at a\n\n  at b"),
        (9, "three"),
    ]
    assert bad(table) == [(2, "lost")]
    assert Table.from_dict(json.loads(json.dumps(table.to_dict()))).to_rows() == table.to_rows()


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "MOST_BYTES", 100_000)
    with Path("app.log").open("wb") as file:
        file.write(b"n=1\n")
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b"\nn=2\nn=" + b"3" * 200_000 + b"\nn=4\n")
    table = read("app.log", pattern=NUMBER, on_bad="quarantine")
    table.schema  # noqa: B018 - compiled before memory is measured
    tracemalloc.start()
    rows = [(row["n"], row["_line"]) for row in table.to_rows()]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == [(1, 1), (2, 3), (4, 5)]
    assert [row["line"] for row in table.quarantined().to_rows()] == [2, 4]
    assert most < 16 << 20


def test_a_record_that_never_ends_does_not_fill_the_memory() -> None:
    blocks = [b"begin\n", *[b"more\n" * 200_000] * 3, b"begin\nend\n"]
    found = [record for some in records(iter(blocks), r"\Abegin") for record in some]
    assert [(record.line, record.fault) for record in found] == [
        (1, f"is longer than {log_lines.MOST_BYTES:,} bytes"),
        (600_002, ""),
    ]


LINES = st.lists(st.sampled_from([b"", b" ", b"a", b"bb\r", b"\xff", b"- c"]), max_size=12)


@given(lines=LINES, cuts=st.lists(st.integers(1, 5), max_size=40), begins=st.sampled_from([None, r"\A- "]))
def test_where_blocks_end_does_not_matter(lines: list[bytes], cuts: list[int], begins: str | None) -> None:
    data = b"\n".join(lines)

    def blocks() -> Iterator[bytes]:
        at = 0
        for size in [*cuts, len(data) + 1]:
            if data[at : at + size]:
                yield data[at : at + size]
            at += size

    found = [record for some in records(blocks(), begins) for record in some]
    whole = [record for some in records(iter([data] if data else []), begins) for record in some]
    assert found == whole
    if begins is None:
        told = [Record(i, line.removesuffix(b"\r")) for i, line in enumerate(lines, 1) if line.strip()]
        assert found == told
    else:
        kept = b" ".join(record.text for record in found)
        assert kept.split() == data.split()


def test_other_encodings() -> None:
    Path("app.log").write_bytes("wo=größe\n".encode("latin-1"))
    pattern = "wo=%{GREEDYDATA:wo}"
    assert read("app.log", pattern=pattern, encoding="latin-1").select("wo").to_rows() == [{"wo": "größe"}]


def test_options_are_written_down() -> None:
    Path("app.log").write_text("id #7\n")
    table = read("app.log", pattern="id %{ID:id}", patterns={"ID": "#\\d"}, on_bad="quarantine")
    plan = json.loads(json.dumps(table.to_dict()))
    assert plan["pattern"] == "id %{ID:id}"
    assert (
        Table.from_dict(plan).to_rows() == table.to_rows() == [{"id": "#7", "_line": 1, "_file": "app.log"}]
    )


def test_without_a_pattern_a_log_is_text_as_ever() -> None:
    Path("app.log").write_text("n=1\nwhat?\n")
    assert read("app.log").to_rows() == [{"text": "n=1", "line": 1}, {"text": "what?", "line": 2}]
    Path("rows.csv").write_text("a\n1\n")
    with pytest.raises(SettingsError, match="has no option 'pattern'"):
        read("rows.csv", pattern=NUMBER)
    with pytest.raises(SourceError, match=r"no file app.lgo.*Did you mean 'app.log'"):
        read("app.lgo", pattern=NUMBER).count()
    with pytest.raises(SchemaError, match=r"\['_line'\]"):
        read("app.log", pattern="%{DATA:_line}").count()


@pytest.mark.skipif(not Path("/var/log/dpkg.log").exists(), reason="this machine has no log of dpkg")
def test_every_line_of_this_machines_package_log_is_a_row() -> None:
    path = Path("/var/log/dpkg.log")
    lines = path.read_text().splitlines()
    table = read(path, pattern="%{DPKG}")
    assert table.count() == len(lines)
    counts = table.sql("select action, count(*) as n from this group by action").to_rows()
    assert {row["action"]: row["n"] for row in counts} == {
        action: sum(line.split()[2] == action for line in lines)
        for action in {line.split()[2] for line in lines}
    }
    planted = [*lines[:50], "2026-01-02 broken", *lines[50:]]
    Path("planted.log").write_text("\n".join(planted))
    kept = read("planted.log", pattern="%{DPKG}", on_bad="quarantine")
    assert kept.count() == len(lines)
    assert bad(kept) == [(51, "2026-01-02 broken")]


@pytest.mark.skipif(not Path("/var/log/apt/history.log").exists(), reason="this machine has no log of apt")
def test_every_entry_of_this_machines_apt_history_is_a_row() -> None:
    path = Path("/var/log/apt/history.log")
    table = read(path, pattern="%{APTHISTORY}")
    assert table.count() == path.read_text().count("Start-Date:")


@pytest.mark.slow
def test_a_hundred_thousand_lines_take_about_a_second() -> None:
    line = '10.0.0.1 - me [10/Oct/2025:13:55:36 -0700] "GET /a?x={} HTTP/1.1" 200 {} "https://e.x/" "M/5"\n'
    Path("access.log").write_text("".join(line.format(i, i) for i in range(100_000)))
    source = read("access.log", pattern="%{COMBINEDAPACHELOG}").source
    assert isinstance(source, Logs)
    began = time.process_time()
    rows = sum(batch.num_rows for part in source.partitions() for batch in source.read(part))
    assert rows == 100_000
    assert time.process_time() - began < 2


def test_reading_can_be_given_up(tmp_path: Path) -> None:
    Path("app.log").write_text("n=1\n" * 200_000)
    batches: Any = read("app.log", pattern=NUMBER).batches(10)
    next(batches)
    batches.close()
    Path("app.log").unlink()
