"""The examples that ``--help`` prints are run as they stand, on files of the names that they use."""

from __future__ import annotations

import csv
import gzip
import io
import re
import shlex
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import orrery as ory
from orrery.cli.main import run
from orrery.data.codecs.image import encode_png

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on which no example is broken into two lines."""
    monkeypatch.setenv("COLUMNS", "300")


def examples(command: str, capsys: Capture) -> list[str]:
    """The lines under ``Examples:`` of a command's help."""
    assert run([*command.split(), "--help"]) == 0
    told = capsys.readouterr().out.partition("Examples:")[2]
    lines = [re.sub(r"[│|]?\s*$", "", line).strip(" │") for line in told.splitlines()]
    return [line for line in lines if re.match(r"orrery |echo ", line)]


def call(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run one example; what is piped into it comes from standard input, what it pipes on is dropped."""
    words = shlex.split(line)
    if words[0] == "echo":
        monkeypatch.setattr("sys.stdin", io.StringIO(words[1] + "\n"))
        words = words[words.index("|") + 1 :]
    words = words[: words.index("|")] if "|" in words else words
    assert words[0] == "orrery"
    return run(words[1:])


@pytest.fixture
def files() -> None:
    """Everything that the examples name."""
    rng = np.random.default_rng(0)
    rows = [
        {"rooms": i % 7, "city": ["Lyon", "Oslo"][i % 2], "price": 9.0 * (i % 7) + i % 11} for i in range(80)
    ]
    for name in ("rows", "new", "test"):
        ory.read(rows).write(f"{name}.csv")
    more = [{**row, "postcode": i % 5, "churned": ["no", "yes"][i % 7 > 3]} for i, row in enumerate(rows)]
    ory.read(more).write("rows.parquet")
    ory.read(rows).write("new/a.parquet")
    base = sqlite3.connect("digits.db")
    base.execute("create table digits (image blob, label text)")
    for i in range(40):
        shade = rng.integers(0, 60, (1, 8, 8), np.uint8) + np.uint8(180 * (i % 2))
        base.execute("insert into digits values (?, ?)", (encode_png(shade), str(i % 2)))
    base.commit()
    base.close()


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_the_examples_of_the_help_run(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = examples("fit", capsys)
    assert len(learnt) >= 4
    for line in [*learnt[1:], learnt[0]]:  # the last model is of rows.csv, which the others' examples use
        assert call(line, monkeypatch) == 0, line
    for command in ("publish", "predict", "evaluate"):
        lines = examples(command, capsys)
        assert len(lines) >= 2
        for line in lines:
            assert call(line, monkeypatch) == 0, f"{line}\n{capsys.readouterr().err}"
    assert len(Path("answers.csv").read_text().splitlines()) == 81


@pytest.mark.parametrize("name", ["answers.csv", "answers.csv.gz"])
def test_a_classifier_answers_in_csv(name: str, capsys: Capture) -> None:
    rows = [{"id": i, "size": float(i % 9), "kind": ["a b", "ü"][i % 9 > 4]} for i in range(90)]
    ory.read(rows).write("rows.csv")
    fit = ["fit", "rows.csv", "--target", "kind", "--learner", "linear", "--ignore", "id"]
    assert run(fit) == 0
    assert run(["predict", "model", "rows.csv", "--to", name]) == 0
    data = Path(name).read_bytes()
    text = gzip.decompress(data).decode() if name.endswith(".gz") else data.decode()
    answered = list(csv.DictReader(io.StringIO(text)))
    assert len(answered) == len(rows)
    for row in answered:
        both = {label: float(row[f"probabilities.{label}"]) for label in ("a b", "ü")}
        assert sum(both.values()) == pytest.approx(1.0)
        assert max(both, key=lambda label: both[label]) == row["prediction"]


def test_how_a_file_is_read_can_be_said(capsys: Capture) -> None:
    Path("export.csv").write_bytes("name;size\nZoë;3\n".encode("latin-1"))
    Path("tabs.csv").write_text("a\tb\n1\t2\n")
    (line,) = [line for line in examples("data head", capsys) if "export.csv" in line]
    assert run(shlex.split(line)[1:]) == 0
    assert "Zoë" in capsys.readouterr().out
    assert run(["data", "head", "tabs.csv", "--option", r"delimiter=\t", "--output", "json"]) == 0
    assert '"b": 2' in capsys.readouterr().out
    assert run(["data", "head", "tabs.csv"]) == 3
    assert 'delimiter="\\t"' in capsys.readouterr().err
    assert run(["data", "head", "tabs.csv", "--option", "delimeter=,"]) == 2
