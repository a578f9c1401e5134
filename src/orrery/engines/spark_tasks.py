"""What the engine runs in the tasks of a barrier stage of Spark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from orrery.engines.keeper import Post, serve
from orrery.engines.tasks import Batches, Task


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
