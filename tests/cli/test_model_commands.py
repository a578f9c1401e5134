"""``data``, ``fit``, ``evaluate``, ``predict``, ``publish``, ``model`` and ``feedback``, on real rows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orrery.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def rows(tmp_path: Path) -> None:
    for name, first, last in (("rows", 0, 120), ("test", 120, 160)):
        lines = [f"{i},{i % 10},{i % 3},{3 * (i % 10) + (i % 3)}" for i in range(first, last)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,rooms,floor,price", *lines]) + "\n")


def answer(words: list[str], capsys: Capture, code: int = 0) -> Any:
    """The JSON that a command prints."""
    assert run([*words, "--output", "json"]) == code
    return json.loads(capsys.readouterr().out)


def fit(to: str = "model", *more: str) -> int:
    return run(
        ["fit", "rows.csv", "--target", "price", "--learner", "linear", "--ignore", "id", "--to", to, *more]
    )


def test_data(capsys: Capture) -> None:
    assert answer(["data", "head", "rows.csv", "-n", "2"], capsys)[1] == {
        "id": 1,
        "rooms": 1,
        "floor": 1,
        "price": 4,
    }
    assert answer(["data", "head", "rows.csv", "--where", "id = 7"], capsys)[0]["rooms"] == 7
    assert [field["name"] for field in answer(["data", "schema", "rows.csv"], capsys)] == [
        "id",
        "rooms",
        "floor",
        "price",
    ]
    profile = answer(["data", "describe", "rows.csv"], capsys)
    assert profile["rows"] == 120
    assert run(["data", "describe", "rows.csv"]) == 0
    assert "120 rows, 4 columns" in capsys.readouterr().err


def test_dates_are_described_as_dates(capsys: Capture) -> None:
    Path("days.csv").write_text("day\n2024-01-01\n2024-03-01\n")
    assert answer(["data", "describe", "days.csv"], capsys)["columns"][0]["dates"]["maximum"] == "2024-03-01"
    assert run(["data", "describe", "days.csv"]) == 0
    assert "2024-01-31" in capsys.readouterr().out  # the mean


def test_a_dry_run_prints_every_setting_and_learns_nothing(capsys: Capture) -> None:
    assert fit("model", "--dry-run") == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert settings["target"] == "price"
    assert settings["learner"]["kind"] == "linear"
    assert settings["features"]
    assert not Path("model").exists()


def test_from_rows_to_a_published_model(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit() == 0
    capsys.readouterr()
    assert answer(["evaluate", "model", "test.csv", "--report", "report.html"], capsys)["r2"] > 0.99
    assert Path("report.html").read_text().startswith("<!doctype html>")
    assert run(["evaluate", "model", "test.csv", "--report", "report.html"]) == 0
    assert "report.html" in capsys.readouterr().out
    assert answer(["predict", "model", "test.csv", "answers.csv"], capsys) == {
        "rows_in": 40,
        "rows": 40,
        "bad": 0,
        "to": "answers.csv",
        "model": "model",
        "resumed": 0,
    }
    monkeypatch.setattr("sys.stdin", io.StringIO('{"rooms": 2, "floor": 1}\n'))
    assert answer(["predict", "model", "-"], capsys)[0]["prediction"] == pytest.approx(7, abs=0.5)
    monkeypatch.setattr("sys.stdin", io.StringIO("{rooms}"))
    assert run(["predict", "model", "-"]) == 3
    assert "Line 1 of the input is not JSON" in capsys.readouterr().err
    assert (
        answer(["publish", "model", "prices", "--note", "the first"], capsys)["decision"]["promoted"] is True
    )
    assert answer(["model", "get", "models:/prices@champion"], capsys)["version"] == 1


def test_versions(capsys: Capture) -> None:
    assert fit() == 0
    for _ in range(2):
        assert run(["publish", "model", "prices", "--test", "test.csv"]) == 0
    capsys.readouterr()
    assert [v["aliases"] for v in answer(["model", "list"], capsys)] == [["champion"], ["challenger"]]
    assert run(["model", "list"]) == 0
    assert "champion" in capsys.readouterr().out
    assert run(["model", "alias", "prices", "champion", "2"]) == 0
    assert run(["model", "alias", "prices", "champion"]) == 2
    capsys.readouterr()
    assert answer(["model", "rollback", "prices"], capsys)["version"] == 1
    assert answer(["model", "describe", "models:/prices/2"], capsys)
    assert run(["model", "get", "models:/prices/2", "--to", "copy"]) == 0
    assert (Path("copy") / "model.json").exists()
    assert run(["model", "get", "models:/prices/2", "--to", "copy"]) == 2
    assert run(["model", "delete", "models:/prices/1", "--yes"]) == 1  # it is the champion
    assert run(["model", "alias", "prices", "challenger", "--remove"]) == 0
    assert run(["model", "delete", "models:/prices/2", "--yes"]) == 0
    capsys.readouterr()
    assert [v["version"] for v in answer(["model", "list"], capsys)] == [1]
    assert len(answer(["feedback", "decisions", "prices"], capsys)) >= 3
    capsys.readouterr()
    assert run(["feedback", "drift", "prices"]) == 1
    assert "No predictions of 'prices' are recorded" in capsys.readouterr().err
    assert run(["feedback", "promote", "prices", "1", "--test", "test.csv"]) == 0


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [("", 2, "Not deleted; add --yes"), ("n\n", 2, "Not deleted."), ("y\n", 0, "Deleted")],
)
def test_nothing_is_deleted_without_a_word(
    said: str, code: int, told: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit() == 0
    assert run(["publish", "model", "prices"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    assert run(["model", "delete", "prices"]) == code
    assert told in capsys.readouterr().err
    assert len(answer(["model", "list"], capsys)) == (0 if code == 0 else 1)


def test_an_unknown_column_is_told_with_a_suggestion(capsys: Capture) -> None:
    assert run(["fit", "rows.csv", "--target", "pricee", "--learner", "linear"]) == 3
    assert "Did you mean 'price'?" in capsys.readouterr().err
