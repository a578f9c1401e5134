"""A program on a cluster of two executors, each a process of its own; prints what it found, as JSON lines.

A process has one Spark at a time, and the tests' own runs in one JVM with them: so this is a program.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from tests.engines.visits import fitted, frame_of, rows, weights

import orrery as ory
from orrery.engines.engine import Member
from orrery.engines.gang import Limits
from orrery.engines.job import Gang
from orrery.engines.spark import Spark
from orrery.errors import OrreryError

_SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
}


def session() -> Any:
    """Two executors of one core each."""
    from pyspark.sql import SparkSession

    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("orrery-cluster")
    for name, value in {**_SETTINGS, "spark.executorEnv.PYTHONPATH": ":".join(sys.path)}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def told(name: str, work: Callable[[], Any]) -> None:
    """Print what a scenario found, or its error; and how long it took."""
    began = time.monotonic()
    try:
        found: dict[str, Any] = {"found": work()}
    except OrreryError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    line = json.dumps({"name": name, "seconds": time.monotonic() - began, **found})
    sys.__stdout__.write(line + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def executors() -> list[psutil.Process]:
    """The JVMs that run tasks."""
    return [child for child in psutil.Process().children(recursive=True) if _runs_tasks(child)]


def _runs_tasks(process: psutil.Process) -> bool:
    """False also for a process that ended between being listed and being asked."""
    try:
        return "CoarseGrainedExecutorBackend" in " ".join(process.cmdline()[:40])
    except psutil.NoSuchProcess:  # also what a zombie raises
        return False


def ranks(engine: Spark) -> Any:
    """Rank, size, and the parent of each worker's fork server."""

    def task(member: Member) -> tuple[int, int, int]:
        return member.rank, member.size, psutil.Process().ppid()

    first = time.monotonic()
    engine.submit(engine.plan(Gang(task, 2))).result(120)
    second = time.monotonic()
    found = engine.submit(engine.plan(Gang(task, 2))).result(120)
    return {"ranks": found, "first_s": second - first, "second_s": time.monotonic() - second}


def too_many(engine: Spark) -> Any:
    """Four workers where two could start."""
    return str(engine.plan(Gang(print, 4)))


def equal(spark: Any, engine: Spark) -> float:
    """How far the weights are from those of this machine's gang."""
    frame = frame_of(spark, rows(), 5)
    there, here = weights(fitted(frame, engine=engine)), weights(fitted(frame))
    return float(abs(there - here).max())


def net(worker: Any, pause_s: float = 0.02) -> dict[str, Any]:
    """A network by hand: sums of all rows it saw, and its weights at the end."""
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    module = torch.nn.Linear(2, 1)
    shared, seen = DistributedDataParallel(module), 0
    if worker.restored is not None:
        module.load_state_dict({name: worker.restored[name] for name in ("weight", "bias")})
        seen = int(worker.restored["seen"])
    optimizer = torch.optim.SGD(shared.parameters(), 0.1)
    for epoch in worker.epochs(4):
        for batch in worker.batches(50):
            x = torch.stack([torch.from_numpy(batch[name]) for name in ("x", "z")], 1).float()
            y = torch.tensor([float(kind == "yes") for kind in batch["kind"]])
            loss = (
                torch.nn.functional.binary_cross_entropy_with_logits(shared(x)[:, 0], y, reduction="sum") / 50
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(y)
            worker.report(epoch=epoch, pid=os.getpid())
            time.sleep(pause_s)
        worker.save({**module.state_dict(), "seen": seen})
    return {"seen": seen, "weights": module.weight.detach().ravel().tolist()}


def killed(spark: Any, engine: Spark) -> Any:
    """An executor is killed in the third epoch; what comes of it, beside a run that nobody disturbs."""
    frame = frame_of(spark, rows(), 3)
    heard: list[Any] = []
    done = {"killed": False}

    def report(rank: int, values: Any) -> None:
        if values["epoch"] == 2 and not done["killed"]:
            done["killed"] = True
            executors()[0].send_signal(signal.SIGKILL)
            heard.append(time.monotonic())
        elif done["killed"] and values["epoch"] >= 2 and len(heard) == 1 and values["pid"] not in pids:
            heard.append(time.monotonic())
        if not done["killed"]:
            pids.add(values["pid"])

    pids: set[float] = set()
    with tempfile.TemporaryDirectory() as folder:
        calm = ory.gang(net, workers=2, table=frame, engine=engine, folder=f"{folder}/calm")
        rough = ory.gang(
            net, workers=2, table=frame, engine=engine, folder=f"{folder}/rough", on_report=report, restarts=2
        )
    return {"calm": calm, "rough": rough, "recovery_s": heard[1] - heard[0] if len(heard) > 1 else None}


def counted(worker: Any) -> dict[str, Any]:
    """Three epochs; saves after each batch, and tells how many rows of each epoch all have seen so far."""
    from torch import distributed

    kept = worker.restored or {"sizes": [], "seen": [0, 0, 0]}
    sizes, seen = [*kept["sizes"], worker.world], list(kept["seen"])
    for epoch in worker.epochs(3):
        for batch in worker.batches(50):
            count = torch.tensor([float(len(batch["x"]))])
            distributed.all_reduce(count)
            seen[epoch] += int(count)
            worker.report(epoch=epoch, world=worker.world)
            time.sleep(0.05)
            worker.save({"sizes": sizes, "seen": seen})
    return {"sizes": sizes, "seen": seen}


def elastic(spark: Any, engine: Spark) -> Any:
    """An executor is killed in the second epoch; the gang goes on with the other."""
    frame, done = frame_of(spark, rows(), 3), {"killed": False}

    def report(rank: int, values: Any) -> None:
        if values["epoch"] == 1 and not done["killed"]:
            done["killed"] = True
            executors()[0].send_signal(signal.SIGKILL)

    return ory.gang(counted, workers=2, elastic=(1, 2), table=frame, engine=engine, on_report=report)


def apart(spark: Any, engine: Spark) -> Any:
    """Not one row of the frame is lost, whoever reads it."""
    frame = frame_of(spark, rows(), 4)

    def sums(worker: Any) -> tuple[int, float]:
        found = [batch["x"] for batch in worker.batches(64)]
        return sum(map(len, found)), float(sum(each.sum() for each in found))

    return ory.gang(sums, workers=2, table=frame, engine=engine)


def left() -> Any:
    """What is left of gangs: folders."""
    return sorted(path.name for path in Path(tempfile.gettempdir()).glob("orrery-gang-*"))


def main() -> int:
    """All scenarios, or those that are named."""
    warnings.simplefilter("ignore")
    spark = session()
    engine = Spark(spark, limits=Limits(stopped_s=2.0))
    scenarios: dict[str, Callable[[], Any]] = {
        "too_many": lambda: too_many(engine),
        "ranks": lambda: ranks(engine),
        "apart": lambda: apart(spark, engine),
        "killed": lambda: killed(spark, engine),
        "elastic": lambda: elastic(spark, engine),
        "equal": lambda: equal(spark, engine),
        "left": left,
    }
    for name, work in scenarios.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            told(name, work)
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
