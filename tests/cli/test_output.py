from __future__ import annotations

import datetime as dt
import json
import math
import sys

import pytest
import yaml

from orrery.cli.output import Format, plain, show

Capture = pytest.CaptureFixture[str]
ROWS = [{"a": 1, "b": "x", "c": None}, {"a": 22, "b": "北京", "c": math.nan}]


def test_json_is_json(capsys: Capture) -> None:
    show(ROWS, Format.JSON)
    assert json.loads(capsys.readouterr().out) == [
        {"a": 1, "b": "x", "c": None},
        {"a": 22, "b": "北京", "c": None},
    ]


def test_yaml_is_yaml(capsys: Capture) -> None:
    show({"a": [1, 2], "b": "北京"}, Format.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == {"a": [1, 2], "b": "北京"}


def test_tables_are_aligned(capsys: Capture) -> None:
    show(ROWS, Format.TABLE, columns=["a", "b"])
    assert capsys.readouterr().out.splitlines() == [" a  b", "──  ────", " 1  x", "22  北京"]


def test_no_rows(capsys: Capture) -> None:
    show([], Format.TABLE)
    assert capsys.readouterr().out == "There are none.\n"
    show([], Format.JSON)
    assert capsys.readouterr().out == "[]\n"


def test_pictures_are_not_printed(capsys: Capture) -> None:
    show([{"image": b"\x89PNG1234"}], Format.TABLE)
    assert "PNG (8 bytes)" in capsys.readouterr().out


def test_plain_values() -> None:
    assert plain(dt.datetime(2026, 5, 4, 3, 2, 1)) == "2026-05-04T03:02:01"
    assert plain({1: (math.inf, True)}) == {"1": [None, True]}


def test_a_terminal_gets_lines_that_fit(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{f"column {i}": "x" * 30 for i in range(9)}]
    show(rows, Format.TABLE)
    assert max(map(len, capsys.readouterr().out.splitlines())) > 200
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    show(rows, Format.TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("column 0")
    assert "…" in lines[0]
    assert lines[0].endswith("column 8")
