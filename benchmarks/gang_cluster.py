"""The same gang here and on Spark, with two executors of this machine: start, first epoch, later ones."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import orrery as ory
from benchmarks import harness
from orrery.engines.engine import Engine
from orrery.engines.job import Gang
from orrery.engines.local import Local

LATER_GOAL, FIRST_GOAL = 1.1, 1.5
EPOCHS, ROWS, NUMBERS, BATCH = 4, 16_384, 16, 1_024


def train(worker: Any) -> list[float]:
    """A network by hand; the moment when each epoch was done."""
    import torch
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = [nn.Linear(NUMBERS, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1)]
    net = DistributedDataParallel(nn.Sequential(*layers))
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    ends = []
    for _ in worker.epochs(EPOCHS):
        for batch in worker.batches(BATCH):
            x = torch.stack([torch.from_numpy(batch[f"x{i}"]) for i in range(NUMBERS)], 1).float()
            loss = (net(x)[:, 0] - torch.from_numpy(batch["y"]).float()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append(time.time())
    return ends


def epochs(table: Any, engine: Engine) -> tuple[float, float]:
    """Seconds from the call to the end of the first epoch, and of each one afterwards."""
    began = time.time()
    found = ory.gang(train, workers=2, table=table, engine=engine)
    ends = [max(each) for each in zip(*found, strict=True)]
    return ends[0] - began, (ends[-1] - ends[0]) / (EPOCHS - 1)


@contextmanager
def session() -> Iterator[Any]:
    """Two executors of one core each, which find this program's modules."""
    from pyspark.sql import SparkSession

    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    paths = os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",
        "spark.executorEnv.PYTHONPATH": paths,
    }
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("orrery-bench")
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    try:
        yield made
    finally:
        made.stop()


def start(engine: Engine) -> float:
    """Seconds of a gang of two that does nothing, the second of its kind."""
    engine.submit(engine.plan(Gang(len_of, 2))).result()
    return harness.seconds(lambda: engine.submit(engine.plan(Gang(len_of, 2))).result())


def len_of(member: Any) -> int:
    """The least that a worker can do."""
    return int(member.size)


def measure() -> list[dict[str, Any]]:
    """Spark beside this machine; then Ray, where it is installed."""
    from orrery.engines.spark import Spark

    local = Local(threads=2)
    with tempfile.TemporaryDirectory() as folder, session() as spark:
        path = f"{folder}/rows.parquet"
        draw = np.random.default_rng(0)
        columns = {f"x{i}": draw.normal(size=ROWS) for i in range(NUMBERS)}
        pq.write_table(pa.table({**columns, "y": draw.normal(size=ROWS)}), path)
        engine = Spark(spark)
        start_s = start(engine)  # its executors have loaded Python, and a fork server each
        pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
        epochs(spark.read.parquet(path), engine), epochs(path, local)
        for _ in range(3):
            pairs.append((epochs(spark.read.parquet(path), engine), epochs(path, local)))
        found = [
            _ratio("first epoch on Spark, with its feed", [(a[0], b[0]) for a, b in pairs], FIRST_GOAL),
            _ratio("each later epoch on Spark", [(a[1], b[1]) for a, b in pairs], LATER_GOAL),
            _alone("start of a gang of 2 on Spark, second", start_s),
        ]
    return found + _ray()


def _ray() -> list[dict[str, Any]]:
    from orrery.extras import available

    if not available("ray"):
        return []
    from orrery.engines.find import engine_of

    engine = engine_of("ray")
    return [_alone("start of a gang of 2 on Ray, second", start(engine))]


def _ratio(name: str, pairs: list[tuple[float, float]], goal: float) -> dict[str, Any]:
    ours, here = iter([a for a, _ in pairs]), iter([b for _, b in pairs])
    who, runs = "the same gang here", len(pairs)
    return harness.paired(name, ours.__next__, here.__next__, unit="s", who=who, goal=goal, runs=runs)


def _alone(name: str, seconds: float) -> dict[str, Any]:
    return harness.paired(name, lambda: seconds, lambda: 0.0, unit="s", who="", runs=1)
