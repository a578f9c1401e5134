"""A whole table answered: every row once, in order, as online; killed, resumed, refused, set aside."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.serving.conftest import clients, picture

import orrery as ory
from orrery.engines.spark import Spark
from orrery.errors import BadRowError, EngineError, RegistryBusyError, SettingsError, SourceError
from orrery.estimators.model import Model
from orrery.registry.lock import locked
from orrery.serving.batch import loop
from orrery.serving.batch.answering import answer_here
from orrery.serving.batch.batch import batch
from orrery.serving.batch.parts import Parts
from orrery.serving.online.server import serve

ROWS = 300


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orrery.serving.batch.batch._PIECE_ROWS", 64)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    place = tmp_path / "in.parquet"
    pq.write_table(clients(9, ROWS).append_column("id", pa.array(range(ROWS))), place)
    return place


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The piece of a number is answered never."""
    put = Parts.put

    def stopping(self: Parts, at: int, *rest: Any) -> None:
        if at == number:
            raise KeyboardInterrupt
        put(self, at, *rest)

    monkeypatch.setattr(Parts, "put", stopping)


def stopped(
    monkeypatch: pytest.MonkeyPatch, model: Any, table: Any, out: Path, number: int = 3, **settings: Any
) -> None:
    """A batch that came so far."""
    with monkeypatch.context() as patch:
        stop_at(patch, number)
        with pytest.raises(KeyboardInterrupt):
            batch(model, table, out, **settings)
    assert not out.exists()


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl", "out.arrow", "out/"])
def test_every_column_and_row_is_kept_in_its_order(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    done = batch(saved["clients"], table, f"{tmp_path}/{name}")
    assert (done.rows, done.bad, done.resumed) == (ROWS, 0, 0)
    answered = ory.read(f"{tmp_path}/{name}").to_arrow()
    before = pq.read_table(table)
    assert answered.column("id").to_pylist() == list(range(ROWS))
    assert answered.column_names[: len(before.column_names)] == before.column_names
    if name != "out.csv":
        said = Model.load(saved["clients"]).predict(before)
        assert answered.column("probability").to_pylist() == said.column("probability").to_pylist()
    assert left(tmp_path) == sorted(["in.parquet", name.rstrip("/")])


def test_the_bits_are_those_of_the_service(saved: dict[str, Path], table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    batch(saved["clients"], table, out)
    rows = [
        json.loads(json.dumps(row, default=str)) for row in pq.read_table(table).slice(0, 100).to_pylist()
    ]
    with serve(saved["clients"], port=0, wait=False) as service:
        said = httpx.post(f"{service.url}/v1/models/{service.name}:predict", json={"rows": rows}, timeout=60)
    online = [(row["prediction"], row["probability"], row["probabilities"]) for row in said.json()["rows"]]
    answered = pq.read_table(out).slice(0, 100).to_pylist()
    assert [(row["prediction"], row["probability"], row["probabilities"]) for row in answered] == online


def test_a_stopped_call_goes_on_and_ends_the_same(
    saved: dict[str, Path], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    batch(saved["clients"], table, whole)
    stopped(monkeypatch, saved["clients"], table, out)
    asked: list[int] = []
    here = answer_here

    def counting(model: Model) -> Any:
        answer = here(model)
        return lambda pieces: [asked.append(sum(p.num_rows for p in pieces)), answer(pieces)][1]  # type: ignore[func-returns-value]

    monkeypatch.setattr(loop, "answer_here", counting)
    done = batch(saved["clients"], table, out)
    assert (done.resumed, sum(asked)) == (192, ROWS - 192)
    assert out.read_bytes() == whole.read_bytes()
    assert left(tmp_path) == ["in.parquet", "out.parquet", "whole.parquet"]


def test_other_rows_and_other_models_are_refused(
    saved: dict[str, Path], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    stopped(monkeypatch, saved["clients"], table, out)
    with pytest.raises(SettingsError, match=r"the model was .*clients, and is .*clients-2 now"):
        batch(saved["clients-2"], table, out)
    pq.write_table(clients(10, ROWS), table)
    with pytest.raises(SettingsError, match=r"rows are not what they were[\s\S]*--restart"):
        batch(saved["clients"], table, out)
    assert not out.exists()
    done = batch(saved["clients"], table, out, restart=True)
    assert (done.rows, done.resumed) == (ROWS, 0)


@pytest.mark.parametrize("change", ["a value", "fewer", "more"])
def test_rows_without_a_file_are_compared_piece_by_piece(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    out = tmp_path / "out.parquet"
    rows = clients(9, ROWS)
    stopped(monkeypatch, saved["clients"], rows, out)
    changed = {
        "a value": clients(11, ROWS),
        "fewer": rows.slice(0, 100),
        "more": pa.concat_tables([rows] * 2),
    }
    if change == "more":  # rows that were not read yet may be any
        assert batch(saved["clients"], changed[change], out).rows == 2 * ROWS
        return
    with pytest.raises(SettingsError, match="rows are"):
        batch(saved["clients"], changed[change], out)


def test_two_processes_do_not_write_the_same(saved: dict[str, Path], table: Path, tmp_path: Path) -> None:
    with locked(tmp_path / ".out.parquet.parts", "batch"), pytest.raises(RegistryBusyError, match="batch"):
        batch(saved["clients"], table, tmp_path / "out.parquet")


def test_a_wrong_place_is_told_before_the_work(saved: dict[str, Path], table: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="form"):
        batch(saved["clients"], table, tmp_path / "out.xlsx")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "there").touch()
    with pytest.raises(SourceError, match="is there already"):
        batch(saved["clients"], table, f"{tmp_path}/out/")
    assert left(tmp_path) == ["in.parquet", "out"]


def test_bad_rows_stop_it_or_are_set_aside(saved: dict[str, Path], tmp_path: Path) -> None:
    pictures = [b"no picture" if i in (3, 70, 71) else picture(i) for i in range(90)]
    place = tmp_path / "in.arrow"
    ory.read(pa.table({"image": pictures, "n": list(range(90))})).write(place)
    out = tmp_path / "out.parquet"
    with pytest.raises(BadRowError, match="image"):
        batch(saved["digits"], place, out)
    assert not out.exists()
    done = batch(saved["digits"], place, out, on_bad="quarantine")
    assert (done.rows, done.bad) == (87, 3)
    assert pq.read_table(out).column("n").to_pylist() == [i for i in range(90) if i not in (3, 70, 71)]
    assert [row["line"] for row in ory.read(done.bad_to).to_rows()] == [4, 71, 72]


def test_rows_that_cannot_be_read_are_set_aside_with_their_line(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    place, out = tmp_path / "in.csv", tmp_path / "out.csv"
    place.write_text("x\n" + "".join(f"{i}\n" if i != 40 else "forty\n" for i in range(80)))
    table = ory.read(str(place), types={"x": "double"}, on_bad="quarantine")
    done = batch(saved["prices"], table, out, on_bad="quarantine")
    assert (done.rows, done.bad) == (79, 1)
    assert ory.read(done.bad_to).to_rows()[0]["line"] == 42


def test_no_rows_are_answered_with_no_rows(saved: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert batch(saved["clients"], clients(1).slice(0, 0), out).rows == 0
    assert pq.read_table(out).num_rows == 0


KILLED = """
import sys
from orrery.serving.batch import batch as module, parts
module._PIECE_ROWS = 64
put = parts.Parts.put
def slowly(self, number, *rest):
    put(self, number, *rest)
    print(number, flush=True)
    if number == 2:
        sys.stdin.read()
parts.Parts.put = slowly
module.batch(*sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_half_way_it_ends_byte_for_byte_the_same(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    batch(saved["clients"], table, whole)
    command = [sys.executable, "-c", KILLED, str(saved["clients"]), str(table), str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        deadline = time.monotonic() + 120
        while process.stdout.readline().strip() != "2":
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    done = batch(saved["clients"], table, out)
    assert done.resumed == 192
    assert out.read_bytes() == whole.read_bytes()
    assert left(tmp_path) == ["in.parquet", "out.parquet", "whole.parquet"]


def test_windows_are_of_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = dt.datetime(2026, 1, 1)
    paid = [
        {"card": f"c{i % 5}", "time": start + dt.timedelta(minutes=i), "eur": float(i % 7), "bad": i % 7 > 3}
        for i in range(ROWS)
    ]
    spent = ory.Window(how="sum", of="eur", over="2h", by=("card",))
    model = ory.fit(ory.read(paid).windows(spent, on="time"), "bad", learner="linear")
    rows = pa.Table.from_pylist(paid).drop(["bad"])
    out = tmp_path / "out.parquet"
    stopped(monkeypatch, model, rows, out)
    assert batch(model, rows, out).resumed == 192
    said = model.predict(ory.read(rows)).to_arrow()
    assert pq.read_table(out).to_pylist() == said.to_pylist()


@pytest.mark.parametrize("engine", ["local"])
def test_an_engine_gives_the_same_bytes(
    saved: dict[str, Path], table: Path, tmp_path: Path, engine: str
) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    batch(saved["clients"], table, here)
    assert batch(saved["clients"], table, there, engine=engine).rows == ROWS
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.slow
def test_spark_gives_the_same_bytes(
    spark: Any, saved: dict[str, Path], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    batch(saved["clients"], table, here)
    stopped(monkeypatch, saved["clients"], table, there, engine=Spark(spark))
    assert batch(saved["clients"], table, there, engine=Spark(spark)).resumed == 192
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.slow
def test_spark_sets_bad_rows_aside_too(spark: Any, saved: dict[str, Path], tmp_path: Path) -> None:
    pictures = [b"no picture" if i in (3, 70) else picture(i) for i in range(90)]
    rows = pa.table({"image": pictures})
    out = tmp_path / "out.parquet"
    with pytest.raises(EngineError, match="image"):
        batch(saved["digits"], rows, out, engine=Spark(spark))
    done = batch(saved["digits"], rows, out, engine=Spark(spark), on_bad="quarantine")
    assert (done.rows, done.bad) == (88, 2)


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "batch.md"
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        exec(code, {})
    assert "scores.parquet" in left(tmp_path)
