"""Pipes of the shell: the command itself."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orrery as ory
from orrery.serving.stream.stdio_csv import CsvRecords
from orrery.serving.stream.stdio_lines import Lines

ROWS = [
    {"height": 140 + 9 * i, "city": "Lyon" if i % 2 else "北京", "note": f'a "{i}",\nb'} for i in range(9)
]


@pytest.fixture(scope="module")
def model(tall: ory.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tall.save(tmp_path_factory.mktemp("tall") / "tall")


def command(model: Path, *options: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "orrery.cli.main", "stream", "-", str(model), "-", *options]


def piped(model: Path, given: bytes, *options: str) -> tuple[bytes, list[dict[str, str]]]:
    done = subprocess.run(command(model, *options), input=given, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, [json.loads(line) for line in done.stderr.splitlines()]


def test_json_lines(tall: ory.Model, model: Path) -> None:
    lines = [json.dumps(row).encode() for row in ROWS]
    out, dead = piped(model, b"\n".join([*lines[:4], b"", b"rubbish", *lines[4:]]))
    found = [json.loads(line) for line in out.splitlines()]
    expected = tall.predict(ROWS)
    bare = [{k: v for k, v in row.items() if k[0] != "_"} for row in found]
    assert bare == expected
    assert [row["_id"] for row in found] == [f"stdin/{i}" for i in (1, 2, 3, 4, 6, 7, 8, 9, 10)]
    assert {row["_model"] for row in found} == {"tall/0"}
    assert [(letter["id"], letter["message"]) for letter in dead] == [("stdin/5", "rubbish")]


def test_csv(tall: ory.Model, model: Path) -> None:
    text = StringIO()
    to = csv.DictWriter(text, list(ROWS[0]))
    to.writeheader()
    to.writerows(ROWS)
    out, dead = piped(model, text.getvalue().encode() + b"only,two\n", "--payload", "csv")
    found = list(csv.DictReader(StringIO(out.decode(), newline="")))
    expected = tall.predict(ROWS)
    assert [row["note"] for row in found] == [row["note"] for row in ROWS]
    assert [row["prediction"] for row in found] == [row["prediction"] for row in expected]
    assert [float(row["probabilities.yes"]) for row in found] == [r["probabilities"]["yes"] for r in expected]
    assert [letter["message"] for letter in dead] == ["only,two"]


def test_arrow(tall: ory.Model, model: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=4)
    out, dead = piped(model, sink.getvalue().to_pybytes(), "--payload", "arrow")
    found = pa.ipc.open_stream(out).read_all()
    assert found.drop_columns(["_id", "_model"]).to_pylist() == tall.predict(ROWS)
    assert dead == []


def test_each_line_is_answered_at_once_and_sigterm_ends_it_well(model: Path) -> None:
    with subprocess.Popen(command(model), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for height in (150, 190):
            process.stdin.write(b'{"height": %d, "city": "Lyon"}\n' % height)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["height"] == height
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_reader_that_has_seen_enough_ends_it_well(model: Path) -> None:
    read, write = os.pipe()
    line = b'{"height": 150, "city": "Lyon"}\n'
    with subprocess.Popen(
        command(model), stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE
    ) as process:
        os.close(write)
        os.close(read)
        _, said = process.communicate(line, timeout=60)
    assert (process.returncode, said) == (0, b"")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=6).filter(lambda b: b"\n" not in b)), st.integers(1, 9))
def test_lines_end_where_they_end_however_they_come(lines: list[bytes], step: int) -> None:
    text = b"\n".join(lines)
    cutter = Lines()
    found = [line for i in range(0, len(text), step) for line in cutter.cut(text[i : i + step])]
    found += cutter.cut(b"")
    assert found == [line for line in lines if line.strip()]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.text(alphabet='a",\n é', min_size=1, max_size=5), min_size=2, max_size=2)),
    st.booleans(),
)
def test_records_of_csv_are_what_was_written(rows: list[list[str]], is_dos: bool) -> None:
    text = StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n" if is_dos else "\n").writerows(
        [["a", "b"], *rows]
    )
    cutter = CsvRecords()
    data = text.getvalue().encode()
    found = [r for i in range(0, len(data), 7) for r in cutter.cut(data[i : i + 7])] + cutter.cut(b"")
    assert [list(json.loads(record).values()) for record in found] == rows
