"""The past beside a service: what it computes is what a table of the past gives, whatever arrives how."""

from __future__ import annotations

import datetime as dt
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import orrery as ory
from orrery.data.windows import Windows
from orrery.errors import BadRowError, ServingError
from orrery.serving.past import PastStore

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WINDOWS = Windows(
    on="time",
    id="id",
    arrival="arrival",
    late="10min",
    windows=(
        ory.Window(how="count", over="1h", by="card"),
        ory.Window(how="sum", of="eur", over="1h", by="card"),
        ory.Window(how="mean", of="eur", over="10min", by="card"),
        ory.Window(how="max", of="eur", over="1h", by=("card", "shop")),
        ory.Window(how="distinct", of="shop", over="1h", by="card", column="shops"),
        ory.Window(how="last", of="eur", over="1h", by="shop"),
    ),
)


def payments(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Card payments as they arrive: one in twenty late, some of these too late, one in thirty sent again."""
    drawn = random.Random(seed)
    sent: list[dict[str, Any]] = []
    for i in range(rows):
        row = {
            "id": str(i),
            "card": f"c{drawn.randrange(max(rows // 50, 2))}",
            "shop": f"s{drawn.randrange(20)}",
            "eur": round(drawn.expovariate(1 / 40), 2),
            "time": START + dt.timedelta(milliseconds=rows // 10 * i % 997 + 1_700 * i),
        }
        if drawn.random() < 0.05:
            row["time"] -= dt.timedelta(seconds=drawn.randrange(1_200))
        sent.append(dict(sent[drawn.randrange(len(sent))]) if sent and drawn.random() < 0.03 else row)
    return [{**row, "arrival": i} for i, row in enumerate(sent)]


def offline(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    told = WINDOWS.to_dict() | {"windows": None}
    del told["windows"]
    table = ory.read(rows).windows(*WINDOWS.windows, **told).to_arrow()
    return {name: table.column(name).to_pylist() for name in WINDOWS.names}


def online(past: PastStore, rows: list[dict[str, Any]], at_once: int = 1) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in WINDOWS.names}
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        columns = {name: [row[name] for row in part] for name in WINDOWS.needs}
        columns["time"] = [row["time"].isoformat() for row in part]
        for name, values in past.observe(WINDOWS, columns, len(part)).items():
            found[name] += values
    return found


def test_a_service_computes_what_a_table_of_the_past_gives(tmp_path: Path) -> None:
    rows = payments(3_000)
    expected = offline(rows)
    assert sum(value is None for value in expected["count_1h_by_card"]) > 10  # some came too late
    with PastStore("one", tmp_path) as one, PastStore("many", tmp_path) as many:
        assert online(one, rows) == expected
        assert online(many, rows, at_once=61) == expected
        assert one.late == many.late > 0


@pytest.mark.slow
def test_a_hundred_thousand_payments_are_equal_on_both_sides(tmp_path: Path) -> None:
    rows = payments(100_000)
    with PastStore("fraud", tmp_path) as past:
        assert online(past, rows, at_once=100) == offline(rows)


def test_a_table_of_the_past_is_filled_in(tmp_path: Path) -> None:
    rows = payments(2_000)
    expected = offline(rows)
    with PastStore("fraud", tmp_path) as past:
        table = ory.read(rows[:1_500][::-1])
        filled = past.fill(WINDOWS, table)
        assert (filled.rows, filled.before) == (1_500, 0)
        assert 1_300 < filled.kept < 1_500, "some are repeats, some came too late"
        again = past.fill(WINDOWS, table)
        assert (again.rows, again.kept) == (1_500, 0)
        assert again.before > 0
        found = online(past, rows[1_500:])
    assert found == {name: values[1_500:] for name, values in expected.items()}


def test_without_an_id_a_past_is_filled_once(tmp_path: Path) -> None:
    windows = Windows(on="time", windows=(ory.Window(how="count", over="1h", by="card"),))
    table = ory.read(payments(200))
    with PastStore("fraud", tmp_path) as past:
        first = past.fill(windows, table)
        assert first.rows == 200
        assert past.fill(windows, table) == (0, 0, past.holds(windows))


def test_windows_that_look_at_more_than_was_kept_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"time": [START], "card": ["a"], "shop": ["s"], "eur": [5.0]}

    def windows(*own: ory.Window) -> Windows:
        return Windows(on="time", windows=own)

    counts = ory.Window(how="count", over="1h", by="card")
    with PastStore("fraud", tmp_path) as past:
        past.observe(windows(counts), row, 1)
        assert not caplog.messages
        past.observe(windows(counts.replace(over="2h")), row, 1)
        past.observe(windows(counts, ory.Window(how="sum", of="eur", over="1h", by="shop")), row, 1)
    assert [m.split("windows by ")[1].split(" look")[0] for m in caplog.messages] == ["card", "card", "shop"]
    assert "further back" in caplog.messages[0]
    assert "begin empty" in caplog.messages[1]


def test_rows_that_are_only_asked_do_not_count(tmp_path: Path) -> None:
    row = {"time": [START], "card": ["a"], "shop": ["s"], "eur": [5.0], "id": ["1"]}
    later = {**row, "time": [START + dt.timedelta(minutes=1)], "id": ["2"]}
    with PastStore("fraud", tmp_path) as past:
        past.observe(WINDOWS, row, 1, keep=False)
        assert past.observe(WINDOWS, later, 1, keep=False)["count_1h_by_card"] == [0]
        past.observe(WINDOWS, row, 1)
        assert past.observe(WINDOWS, later, 1, keep=False)["count_1h_by_card"] == [1]


def test_what_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {
        "time": [START, "soon"],
        "card": ["a"] * 2,
        "shop": ["s"] * 2,
        "eur": [5.0] * 2,
        "id": ["1"] * 2,
    }
    with PastStore("fraud", tmp_path) as past:
        with pytest.raises(BadRowError, match="'soon' cannot be read as time"):
            past.observe(WINDOWS, rows, 2)
        later = {
            name: [START + dt.timedelta(minutes=1) if name == "time" else values[0]]
            for name, values in rows.items()
        }
        assert past.observe(WINDOWS, later, 1)["count_1h_by_card"] == [0]
    (tmp_path / "file").write_text("")
    with pytest.raises(ServingError, match="cannot be kept"), PastStore("x", tmp_path / "file") as past:
        past.observe(WINDOWS, later, 1)


_KILLED = """
import sys
from pathlib import Path
from tests.serving.test_past import WINDOWS, payments, online
from orrery.serving.past import PastStore
past = PastStore("fraud", Path(sys.argv[1]))
rows = payments(2_000)
for i in range(0, 1_000, 10):
    online(past, rows[i : i + 10], at_once=10)
    print(i + 10, flush=True)
"""


@pytest.mark.slow
def test_what_happened_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    rows = payments(2_000)
    killed = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert killed.stdout is not None
    done = 0
    deadline_s = time.monotonic() + 120
    while done < 300 and time.monotonic() < deadline_s:
        done = int(killed.stdout.readline())
    killed.send_signal(signal.SIGKILL)
    with killed:
        done = max([done, *map(int, killed.stdout.read().split())])
    # What was being kept when it died is a repeat when it comes again.
    with PastStore("fraud", tmp_path) as past:
        found = online(past, rows[done:], at_once=10)
    expected = offline(rows)
    assert found == {name: values[done:] for name, values in expected.items()}


def test_two_processes_share_what_happened(tmp_path: Path) -> None:
    rows = payments(400)
    expected = offline(rows)
    found: dict[str, list[Any]] = {name: [] for name in WINDOWS.names}
    with PastStore("fraud", tmp_path) as one, PastStore("fraud", tmp_path) as other:
        for i, row in enumerate(rows):
            for name, values in online(one if i % 3 else other, [row]).items():
                found[name] += values
    assert found == expected


def test_the_page_about_windows_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "concepts" / "windows.md"
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        exec(compile(code, str(page), "exec"), names)
    said = capsys.readouterr()
    assert '"id": "x1"' in said.out
    assert "of 500 rows count now, 0 events were kept before" in said.err


def test_a_clock_that_is_wrong_does_not_silence_a_key(tmp_path: Path) -> None:
    row: dict[str, list[Any]] = {name: ["1"] for name in WINDOWS.needs}
    with PastStore("fraud", tmp_path) as past:
        past.observe(WINDOWS, {**row, "time": ["9999-01-01T00:00:00Z"]}, 1)
        past.observe(WINDOWS, {**row, "time": [START]}, 1)
        later = {**row, "id": ["2"], "time": [START + dt.timedelta(minutes=1)]}
        assert past.observe(WINDOWS, later, 1)["count_1h_by_card"] == [1]
        assert past.early == 1


def test_a_file_that_is_damaged_is_told(tmp_path: Path) -> None:
    with PastStore("fraud", tmp_path) as past:
        past.path.parent.mkdir(parents=True)
        past.path.write_bytes(b"no database" * 500)
        with pytest.raises(ServingError, match="cannot be kept for 'fraud'") as found:
            past.holds(WINDOWS)
    assert found.value.hint.startswith("The file is damaged")
