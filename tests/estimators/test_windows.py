"""Windows travel with the model: tables, frames and rows are answered alike, and a fit again has them too."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pytest

import orrery as ory
from orrery.data.table import Table
from orrery.errors import SchemaError, SettingsError
from orrery.estimators.model import Model

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WINDOWS = (
    ory.Window(how="count", over="1h", by="card"),
    ory.Window(how="sum", of="eur", over="1h", by="card"),
    ory.Window(how="max", of="eur", over="1d", by=("card", "shop")),
)
NAMES = [window.name for window in WINDOWS]


def payments() -> list[dict[str, Any]]:
    drawn = random.Random(0)
    spent: dict[int, float] = {}
    rows = []
    for i in range(400):
        card, eur = drawn.randrange(5), round(drawn.expovariate(1 / 40), 2)
        label = "odd" if spent.get(card, 0.0) > 300 else "usual"
        spent[card] = spent.get(card, 0.0) * 0.7 + eur
        rows.append({"id": i, "card": card, "shop": f"s{i % 7}", "eur": eur, "y": label})
    return [{**row, "time": START + dt.timedelta(seconds=97 * i)} for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def table() -> Table:
    return ory.read(payments()).windows(*WINDOWS, on="time", id="id")


@pytest.fixture(scope="module")
def model(table: Table) -> Model:
    return ory.fit(table, "y", learner="linear", ignore=("id", "time"))


def test_the_model_asks_for_events_and_reads_windows(model: Model) -> None:
    assert set(model.signature.inputs.names) == {"id", "card", "shop", "eur", "time"}
    assert [name for name in NAMES if name in model.plan.inputs] == NAMES
    assert model.estimator.windows == model.signature.windows


def test_tables_frames_and_rows_are_answered_alike(model: Model, table: Table, tmp_path: Path) -> None:
    rows = payments()
    said = [row["probability"] for row in model.predict(table).to_rows()]
    bare = ory.read(rows)
    assert [row["probability"] for row in model.predict(bare).to_rows()] == said
    assert model.predict(bare).schema.names == (*bare.schema.names, *model.signature.outputs.names)
    assert model.predict(bare.to_pandas())["probability"].tolist() == said
    assert model.predict(bare.to_arrow())["probability"].to_pylist() == said
    again = ory.load(model.save(tmp_path / "model.zip"))
    assert [row["probability"] for row in again.predict(rows)] == said
    assert again.evaluate(bare).metrics == model.evaluate(table).metrics


def test_a_fit_again_computes_the_windows_or_takes_those_of_the_rows(model: Model, table: Table) -> None:
    for rows in (ory.read(payments()), ory.read(table.to_arrow())):
        again = model.estimator.fit(rows)
        assert again.signature == model.signature
        assert again.predict(payments()[:50]) == model.predict(payments()[:50])


def test_windows_that_are_not_learnt_from_stay_behind(table: Table) -> None:
    assert ory.fit(table, "y", learner="linear", ignore=("id", "time", *NAMES)).signature.windows is None
    asked = table.sql("select * from this where eur > 1")
    assert ory.fit(asked, "y", learner="linear", ignore=("id", "time")).signature.windows is None


def test_what_is_wrong_is_said(model: Model, table: Table) -> None:
    with pytest.raises(SettingsError, match="windows twice"):
        ory.fit(table.windows(ory.Window(how="count", over="2h", by="shop"), on="time"), "y")
    with pytest.raises(SchemaError, match=f"have the windows '{NAMES[0]}', and lack '{NAMES[1]}'"):
        model.predict(table.without(*NAMES[1:]))


def test_windows_that_were_not_selected_are_not_computed(table: Table) -> None:
    assert ory.fit(table.select("eur", "y"), "y", learner="linear").signature.windows is None
    some = table.select("id", "card", "time", "eur", NAMES[0], "y")
    found = ory.fit(some, "y", learner="linear", ignore=("id", "time"))
    assert found.signature.windows is not None
    assert found.signature.windows.names == (NAMES[0],)
    without_key = ory.fit(table.select("eur", NAMES[0], "y"), "y", learner="linear").signature
    assert (without_key.windows, without_key.inputs.names) == (None, ("eur", NAMES[0]))
