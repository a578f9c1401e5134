"""Gangs that change their size: on with those that are left, and others in at the next checkpoint."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import orrery as ory
from orrery.engines.engine import Engine
from orrery.engines.forks import FORKS
from orrery.engines.lives import checked
from orrery.engines.local import Local
from orrery.engines.ray import Ray
from orrery.engines.spark import Spark
from orrery.errors import SettingsError, SlotsError, WorkerError
from orrery.training.events import Event, Started, Step
from orrery.training.worker import Worker


def on_ray(ray_node: Any) -> Engine:
    """That of the tests' own node, which this program is connected to."""
    assert ray_node.is_initialized()
    return Ray()


ENGINES: dict[str, Callable[[Callable[[str], Any]], Engine]] = {
    "local": lambda ask: Local(threads=3),
    "ray": lambda ask: on_ray(ask("ray_node")),
    "spark": lambda ask: Spark(ask("spark")),
}
ROWS, BATCH = 401, 80


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param](request.getfixturevalue)


def visits(worker: Worker, killed: Path) -> dict[str, Any]:
    """Two epochs; saves after each batch, with how often all saw each row. The last of three is killed once.

    What was seen is saved, and not reported: of a gang that ends by a kill, some reports are never heard.
    """
    import torch

    kept = worker.restored or {"sizes": [], "seen": torch.zeros(2, ROWS), "steps": 0}
    sizes, steps = [*kept["sizes"], worker.world], int(kept["steps"])
    begun, seen = steps, torch.as_tensor(kept["seen"]).clone()
    for epoch in worker.epochs(2):
        for batch in worker.batches(BATCH):
            here = torch.zeros(ROWS)
            here[torch.as_tensor(batch["x"]).long()] = 1.0
            torch.distributed.all_reduce(here)
            seen[epoch] += here
            if worker.rank == 2 and steps == 7 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1
            worker.save({"sizes": sizes, "seen": seen, "steps": steps})
    return {"sizes": sizes, "begun": begun, "seen": seen.tolist()}


def test_a_gang_goes_on_with_two_of_three_and_takes_the_third_in_again(
    engine: Engine, tmp_path: Path
) -> None:
    def task(worker: Worker) -> dict[str, Any]:
        return visits(worker, tmp_path / "killed")

    rows = {"x": np.arange(ROWS, dtype=np.float32)}
    done = ory.gang(task, workers=3, elastic=(1, 3), table=rows, engine=engine, folder=tmp_path / "run")
    assert [one["sizes"] for one in done] == [[3, 2, 3]] * 3
    assert all(one["begun"] >= 7 for one in done)
    assert all(one["seen"] == [[1.0] * ROWS] * 2 for one in done), "each row once in each epoch"


def table(rows: int) -> dict[str, Any]:
    draw = np.random.default_rng(rows)
    x = draw.normal(size=(rows, 2))
    return {"x": x[:, 0], "z": x[:, 1], "y": np.where(x.sum(1) > 0, "up", "down")}


def kill_a_worker() -> None:
    assert FORKS._server is not None
    os.kill(max(child.pid for child in psutil.Process(FORKS._server.pid).children()), signal.SIGKILL)


@pytest.mark.parametrize("exchange", ["allreduce", {"kind": "average", "every": 3}, "sharded"])
def test_a_fit_goes_on_with_those_that_are_left(exchange: Any) -> None:
    killed: list[int] = []
    begun: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, Started):
            begun.append(event.resumed_at_step)
        if isinstance(event, Step) and event.step >= 10 and not killed:
            killed.append(event.step)
            kill_a_worker()

    recipe = {"checkpoint_s": 0.0, "epochs": 12, "batch_size": 64}
    settings: dict[str, Any] = {"learner": "network", "width": 8, "depth": 1, "validation_share": 0.0}
    model = ory.fit(
        table(ROWS),
        "y",
        engine=Local(threads=3),
        workers=3,
        elastic=(1, 3),
        exchange=exchange,
        recipe=recipe,
        observers=[watch],
        **settings,
    )
    facts = model.lineage["gang"]
    assert facts["rows_per_epoch"] == [ROWS]
    assert facts["workers"] == 3
    assert len(begun) == 3
    assert any("started again with 2 workers" in note for note in model.notes)
    assert any("went on with 3 workers" in note for note in model.notes)
    answers = [row["prediction"] for row in model.predict([{"x": 1.0, "z": 1.0}, {"x": -1.0, "z": -1.0}])]
    assert answers == ["up", "down"]


def test_an_exchange_that_cannot_change_its_size_says_so() -> None:
    with pytest.raises(SettingsError, match=r"elastic=\(1, 3\) does not go with .*powersgd"):
        ory.fit(
            table(60),
            "y",
            learner="network",
            engine=Local(threads=3),
            workers=2,
            elastic=(1, 3),
            exchange={"kind": "allreduce", "compression": "powersgd"},
        )


def test_one_worker_may_be_all_that_is_left(tmp_path: Path) -> None:
    """Where others have taken the slot of the one that was lost, it goes on alone."""

    def task(worker: Worker) -> int:
        marker = worker.folder / "killed"
        if worker.rank == 1 and not marker.exists():
            marker.parent.mkdir(exist_ok=True)
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return worker.world

    assert ory.gang(task, workers=2, elastic=(1, 2), engine=Local(threads=2), folder=tmp_path / "run") == [1]


def test_fewer_than_the_least_are_not_enough() -> None:
    def task(worker: Worker) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"(?s)Worker \d of 2 .*started again 1 times; no more"):
        ory.gang(task, workers=2, elastic=(2, 2), engine=Local(threads=2), restarts=1)


def test_a_worker_without_rows_takes_part(engine: Engine) -> None:
    """Two rows for three workers: nobody waits for ever, and each row is seen once."""

    def seen(worker: Worker) -> list[float]:
        return [float(x) for _ in worker.epochs(2) for batch in worker.batches(1) for x in batch["x"]]

    found = ory.gang(seen, workers=3, table={"x": np.array([1.0, 2.0])}, engine=engine)
    assert sorted(x for rows in found for x in rows) == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("elastic", [(2, 1), (0, 2), (1,), 3, (3, 4), (1.0, 2), "12"])
def test_a_wrong_range_is_told(elastic: Any) -> None:
    with pytest.raises(SettingsError, match="least and the most workers"):
        checked(elastic, 2)


def test_auto_takes_all_slots_that_are_free() -> None:
    assert ory.gang(lambda worker: worker.world, workers="auto", engine=Local(threads=3)) == [3, 3, 3]
    with pytest.raises(SlotsError):
        ory.gang(lambda worker: worker.world, workers=4, elastic=(1, 5), engine=Local(threads=3))
