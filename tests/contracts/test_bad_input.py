"""Bad input, from end to end: a clear error or a right answer, nothing lost, nothing hanging."""

from __future__ import annotations

import io
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import orrery as ory
from orrery.errors import (
    BadRowError,
    EmptyTableError,
    FitError,
    ModelError,
    SchemaError,
    SettingsError,
    SourceError,
    TargetError,
    UnknownColumnError,
)
from orrery.estimators.model import Model

Rows = list[dict[str, Any]]
LEARNERS = ["linear", "boosted", pytest.param("network", marks=pytest.mark.slow)]


def rows(count: int = 80, **more: Any) -> Rows:
    """Rows that can be learnt from: a number, a category, two classes."""
    rng = np.random.default_rng(2)
    made = []
    for i in range(count):
        x = float(rng.normal())
        made.append({"x": x, "c": "abc"[i % 3], "y": "up" if x + (i % 3 == 0) > 0.4 else "down", **more})
    return made


def fit(data: Any, target: str = "y", learner: str = "linear", **settings: Any) -> Model:
    if learner == "network":
        settings = {"epochs": 3, **settings}
    return ory.fit(data, target, learner=learner, **settings)


# --- tables that cannot be learnt from


@pytest.mark.parametrize("learner", ["linear", "auto"])
def test_an_empty_table(learner: str) -> None:
    with pytest.raises(EmptyTableError, match="no rows"):
        fit(ory.read(rows()).where("x > 1000"), learner=learner)


def test_no_rows_and_no_columns() -> None:
    with pytest.raises((EmptyTableError, UnknownColumnError)):
        fit([])


@pytest.mark.parametrize("learner", ["linear", "auto"])
def test_one_row(learner: str) -> None:
    with pytest.raises(FitError, match="one row only"):
        fit(rows(1), learner=learner)


@pytest.mark.parametrize("learner", ["linear", "boosted", "auto"])
def test_two_rows_are_enough(learner: str) -> None:
    model = fit([{"x": 0.0, "y": "down"}, {"x": 1.0, "y": "up"}], learner=learner)
    assert model.predict({"x": 1.0})["prediction"] in {"up", "down"}


def test_one_column() -> None:
    with pytest.raises(FitError, match=r"no column to learn from.*'y' is the only column"):
        fit([{"y": row["y"]} for row in rows()])


def test_columns_that_say_nothing_are_named() -> None:
    with pytest.raises(FitError, match=r"'k' is left out: it holds one value only"):
        fit([{"k": 1, "y": row["y"]} for row in rows()])


@pytest.mark.parametrize("learner", ["linear", "boosted", "auto"])
def test_one_class_only(learner: str) -> None:
    with pytest.raises(TargetError, match="'up'"):
        fit([{**row, "y": "up"} for row in rows()], learner=learner)


def test_a_target_with_missing_values_says_how_to_leave_them_out() -> None:
    gaps = [{**row, "y": None if i % 10 == 0 else row["y"]} for i, row in enumerate(rows())]
    with pytest.raises(TargetError, match="missing in 8 of 80") as caught:
        fit(gaps)
    assert '"y" is not null' in str(caught.value)
    assert fit(ory.read(gaps).where('"y" is not null')).lineage["rows"] == 72


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_target_that_is_not_finite(value: float) -> None:
    with pytest.raises(TargetError, match=r"NaN or infinity|missing"):
        fit([{**row, "y": value if i == 5 else i / 3} for i, row in enumerate(rows())])


def test_a_target_all_missing() -> None:
    with pytest.raises(TargetError):
        fit([{**row, "y": None} for row in rows()])


@pytest.mark.parametrize(("wrong", "right"), [("lable", "label"), ("Label", "label"), ("labels", "label")])
def test_a_wrong_label_name_lists_the_close_ones(wrong: str, right: str) -> None:
    data = [{"x": row["x"], "label": row["y"]} for row in rows()]
    with pytest.raises(UnknownColumnError, match=f"Did you mean '{right}'"):
        fit(data, wrong)


@pytest.mark.parametrize("where", ["ignore", "weight", "kinds"])
def test_other_wrong_names_are_told_too(where: str) -> None:
    value: Any = {"ignore": ("xx",), "weight": "xx", "kinds": {"xx": "number"}}[where]
    with pytest.raises(UnknownColumnError, match="'xx'"):
        fit(rows(), **{where: value})


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(SettingsError, match="weight"):
        fit([{**row, "w": weight if i == 3 else 1.0} for i, row in enumerate(rows())], weight="w")


def test_a_column_called_like_a_prediction() -> None:
    with pytest.raises(SettingsError, match="'prediction'"):
        fit([{**row, "prediction": row["x"]} for row in rows()])
    assert fit([{**row, "prediction": row["x"]} for row in rows()], ignore=("prediction",))


# --- values that are hard to learn from


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_column_all_missing_is_left_out_and_told(learner: str) -> None:
    model = fit(rows(gone=None), learner=learner)
    assert "'gone' is left out: it is missing in every row." in model.notes
    assert "gone" not in model.signature.inputs
    assert model.predict({"x": 1.0, "c": "a"})["prediction"] == "up"


@pytest.mark.parametrize("learner", LEARNERS)
def test_nan_infinity_and_extremes_in_columns(learner: str) -> None:
    odd = [math.nan, math.inf, -math.inf, None, 1e308, -1e308, 5e-324]
    train = [{**row, "z": odd[i] if i < len(odd) else row["x"]} for i, row in enumerate(rows())]
    model = fit(train, learner=learner)
    answers = model.predict([{"x": value, "c": "a", "z": other} for value in odd for other in odd])
    for answer in answers:
        shares = list(answer["probabilities"].values())
        assert all(0 <= p <= 1 for p in shares)
        assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("learner", LEARNERS)
def test_an_unseen_category_gets_an_answer(learner: str) -> None:
    model = fit(rows(), learner=learner)
    answers = model.predict([{"x": 0.5, "c": c} for c in ("a", "never seen", "", None, "🎉" * 100)])
    assert all(answer["prediction"] in {"up", "down"} for answer in answers)


NAMES = [
    "with space",
    " ",
    "quote'",
    'double"',
    "back`tick",
    "semi;colon -- drop table",
    "名字",
    "🎉",
    "a/b",
    "a,b",
    "{x}",
    "%s",
    "line\nbreak",
    "select",
    "x" * 300,
    "#1",
]


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("saved", ["model", "model.zip"])
def test_names_of_every_sort(tmp_path: Path, learner: str, saved: str) -> None:
    """As columns, as the target, and as classes."""
    rng = np.random.default_rng(0)
    data = []
    for i in range(90):
        row: dict[str, Any] = {name: float(rng.normal()) for name in NAMES}
        row['c\'at "é"'] = NAMES[i % 3]
        data.append({**row, "the 'target', \"真\"": NAMES[int(row["🎉"] > 0) + int(row["名字"] > 0) + 9]})
    target = "the 'target', \"真\""
    model = fit(data, target, learner)
    asked = [{k: v for k, v in row.items() if k != target} for row in data]
    answers = model.predict(asked)
    assert {a["prediction"] for a in answers} <= set(NAMES)
    again = Model.load(model.save(tmp_path / saved))
    assert again.predict(asked) == answers
    assert model.predict(ory.read(asked)).to_rows() == answers
    assert model.evaluate(data).rows == 90


@pytest.mark.slow
def test_ten_thousand_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 10_000)), columns=[f"column {i}" for i in range(10_000)])
    frame["y"] = np.where(frame["column 7"] > 0, "up", "down")
    model = fit(frame, alpha=1.0)
    assert len(model.signature.inputs) == 10_000
    answered = model.predict(frame)
    assert (answered["prediction"] == frame["y"]).mean() > 0.9
    assert Model.load(model.save(tmp_path / "wide")).predict(frame.head(3)).shape == (3, 10_004)


def test_a_label_that_leaks_is_flagged() -> None:
    leaky = [{**row, "paid": 1.0 if row["y"] == "up" else 0.0} for row in rows(200)]
    model = fit(leaky)
    assert [note for note in model.notes if note.startswith("'paid' alone foretells 'y'")]


# --- rows that cannot be answered


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    before = os.environ.get("ORRERY_HOME")
    os.environ["ORRERY_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield fit(rows())
    os.environ.pop("ORRERY_HOME")
    if before is not None:
        os.environ["ORRERY_HOME"] = before


def test_a_column_absent_at_prediction(model: Model) -> None:
    with pytest.raises(
        UnknownColumnError, match="needs the columns 'x', 'c'; the rows have 'x', 'd', and lack 'c'"
    ):
        model.predict(pd.DataFrame({"x": [1.0], "d": ["a"]}))
    with pytest.raises(UnknownColumnError, match="'c'"):
        model.predict(ory.read([{"x": 1.0}]))


def test_an_extra_column_is_kept(model: Model) -> None:
    answered = model.predict(pd.DataFrame({"id": [7], "x": [1.0], "c": ["a"], "y": ["?"]}))
    assert list(answered.columns) == ["id", "x", "c", "y", "prediction", "probability", "probabilities"]
    assert answered["id"].tolist() == [7]


@pytest.mark.parametrize("value", ["high", [1.0], {"a": 1}, b"\x00"])
def test_a_wrong_type_names_column_and_value(model: Model, value: Any) -> None:
    with pytest.raises((SchemaError, BadRowError), match="'x'"):
        model.predict([{"x": 1.0, "c": "a"}, {"x": value, "c": "a"}])
    with pytest.raises((SchemaError, BadRowError), match="'x'"):
        model.predict(pd.DataFrame({"x": [value], "c": ["a"]}))


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def pictures() -> Rows:
    return [{"picture": png(i % 2 * 200 + i % 20), "kind": "light" if i % 2 else "dark"} for i in range(60)]


@pytest.mark.slow
def test_a_corrupt_picture_among_good_ones(tmp_path: Path, pictures: Rows) -> None:
    broken = png(7)[:40]
    with pytest.raises(BadRowError, match="'picture'"):
        fit([*pictures, {"picture": broken, "kind": "dark"}], "kind", "network")
    model = fit(pictures, "kind", "network", epochs=8)
    asked = [{"picture": row["picture"]} for row in pictures[:4]]
    with pytest.raises(BadRowError, match="'picture'") as caught:
        model.predict([*asked[:3], {"picture": broken}, asked[3]])
    assert "3" in f"{caught.value}"
    assert len(model.predict(asked)) == 4
    assert model.predict({"picture": None})["prediction"] in {"light", "dark"}


# --- places that fail


def test_a_place_that_cannot_be_written_is_told(model: Model) -> None:
    for place in ("/proc/model", "/proc/model.zip"):
        with pytest.raises(ModelError, match="could not be saved"):
            model.save(place)


@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_told(pictures: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_HOME", "/proc/orrery")
    with pytest.raises(FitError, match="cannot be written"):
        fit(pictures, "kind", "network")
    assert fit(rows(), learner="linear")  # which keeps nothing there


FULL_DISK = """
import os, resource, sys
import orrery as ory
model = ory.Model.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    model.save(sys.argv[2])
except ory.errors.ModelError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["copy", "copy.zip"])
def test_a_full_disk_leaves_no_half_model(tmp_path: Path, model: Model, name: str) -> None:
    model.save(tmp_path / "model")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "model"), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "could not be saved" in done.stdout, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == ["model"]


def test_a_source_that_ends_half_way(tmp_path: Path) -> None:
    """A file that is cut between two passes over it: an error of the source, not half a model."""
    path = tmp_path / "rows.parquet"
    ory.read(rows(5000)).write(path)
    table = ory.read(str(path))
    assert table.count() == 5000
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SourceError, match=r"rows\.parquet"):
        fit(table)


def test_a_database_that_goes_away_half_way(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as database:
        database.execute("create table rows (x real, c text, y text)")
        values = [(row["x"], row["c"], row["y"]) for row in rows()]
        database.executemany("insert into rows values (?, ?, ?)", values)
    database.close()
    table = ory.read(f"sqlite:///{path}", query="select * from rows")
    model = fit(table)
    path.unlink()
    with pytest.raises(SourceError):
        fit(table)
    with pytest.raises(SourceError):
        model.predict(table).to_rows()
