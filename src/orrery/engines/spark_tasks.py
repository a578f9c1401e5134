"""What the engine runs in the tasks of a barrier stage of Spark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from orrery.engines.keeper import Post, serve
from orrery.engines.tasks import Batches, Task, shipping


def reading(fed: Any, workers: int) -> Task:
    """The rows that a worker is fed, read by the task which will keep it."""

    def run(batches: Batches) -> Iterator[Any]:
        for batch in batches:
            for rank in batch.column(0).to_pylist():
                for sort, rows in enumerate(fed):
                    yield from shipping(sort)(rows.own(rank, workers))

    return run


def keeping(post: Post) -> Task:
    """Keep a worker of a gang; the batches are its rows."""

    def run(batches: Batches) -> Iterator[Any]:
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        rank = context.partitionId()
        if (devices := context.resources().get("gpu")) is not None:  # those that Spark gave to this task
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices.addresses)
        serve(post, rank, batches)
        yield pa.record_batch({"rank": pa.array([rank], pa.int32())})

    return run
