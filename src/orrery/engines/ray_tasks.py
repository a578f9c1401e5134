"""What the engine runs in tasks of Ray: keepers of workers, calls, and functions of blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from orrery.data.rows import narrowed
from orrery.data.sources.ray import stored
from orrery.engines.keeper import Post, serve
from orrery.engines.tasks import Batches, Task, merging, packed
from orrery.extras import require

_ANSWER: dict[str, Any] = {"number": pa.int64(), "answer": pa.binary()}


def keep(post: Post, rank: int, blocks: Sequence[Any]) -> None:
    """Keep a worker of a gang; ``blocks`` are references to its rows."""
    ray = require("ray", "A worker on Ray")
    serve(post, rank, (batch for block in blocks for batch in ray.get(block).to_batches()))


def call(task: Callable[[Any], Any], item: Any) -> bytes:
    """What the task makes of an item, or how it failed."""
    return packed(lambda: task(item))


def merge(aggregate: Any, *blocks: Any) -> Any:
    """The summaries in some blocks, merged, as one block."""
    summaries = (batch for block in blocks if block.num_rows for batch in block.to_batches())
    return pa.Table.from_batches(merging(aggregate)(summaries), pa.schema(_ANSWER))


def over(task: Task, columns: Any) -> Callable[[Any], Iterator[Any]]:
    """A function of batches as one of Ray's blocks, whose columns are made what Orrery knows them as."""

    def run(block: Any) -> Iterator[Any]:
        for batch in task(stored(block, columns).to_batches()):
            yield pa.Table.from_batches([batch])

    return run


def passing(names: Sequence[str], where: str) -> Task:
    """The rows for which a condition holds."""

    def run(batches: Batches) -> Iterator[Any]:
        return narrowed(iter(batches), names, None, where)

    return run
