"""A past filled from a table before a service answers, by Python and on the command line."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import orrery as ory
from orrery.errors import SettingsError
from orrery.serving.past import PastStore

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ROWS: list[dict[str, Any]] = [
    {
        "id": f"p{n}",
        "card": f"c{n % 3}",
        "eur": 1.0 + n % 11,
        "time": START + dt.timedelta(minutes=n),
        "big": "yes" if n % 11 > 5 else "no",
    }
    for n in range(120)
]


@pytest.fixture(scope="module")
def model() -> ory.Model:
    """Whether a payment is big."""
    table = ory.read(ROWS).windows(ory.Window(how="count", over="1h", by="card"), on="time", id="id")
    return ory.fit(table, "big", learner="linear", ignore=("id", "card", "time"), progress=False)


def counted(name: str, model: ory.Model) -> object:
    """What is known of a card two hours after the first payment."""
    windows = model.signature.windows
    assert windows is not None
    columns = {"id": ["x"], "card": ["c0"], "time": [START + dt.timedelta(hours=2)]}
    with PastStore(name) as past:
        return past.observe(windows, columns, 1, keep=False)["count_1h_by_card"][0]


def test_a_service_knows_what_a_table_holds(
    model: ory.Model, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    for _ in range(2):  # the second time all are repeats
        with ory.serve(model, port=0, wait=False, name="filled", past=ROWS) as service:
            row = {"id": "y", "card": "c0", "eur": 3.0, "time": "2026-01-01T02:00:00Z"}
            with ory.Client(service.url, "filled") as client:
                assert client.predict([row], record=False)[0]["prediction"] in ("yes", "no")
        assert counted("filled", model) == 20
    assert capsys.readouterr().err == ""


def test_a_table_for_a_model_that_reads_no_windows_is_a_mistake() -> None:
    bare = ory.fit([{"x": float(n), "y": n % 2} for n in range(50)], "y", learner="linear", progress=False)
    with pytest.raises(SettingsError, match="no model that reads what happened before"):
        ory.serve(bare, port=0, wait=False, past=ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_line_says_how_many_rows_count(
    model: ory.Model, tmp_path: Path, home: Path, workers: str
) -> None:
    ory.publish(model, "told")
    table = ory.read(ROWS).write(tmp_path / "past.parquet")
    assert table.count() == len(ROWS)
    command = [sys.executable, "-m", "orrery.cli.main", "serve", "models:/told", "--port", "0"]
    command += ["--workers", workers, "--past", "past.parquet"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        said = service.stderr.readline()
        ready = service.stderr.readline()
        service.terminate()
        rest = service.stderr.read()
    assert said == (
        "The past of told (by card) is filled: 120 of 120 rows count now, 0 events were kept before.\n"
    ), rest
    assert "told" in ready
    assert counted("told", model) == 20
