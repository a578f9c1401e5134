"""Data sets of Ray as an engine runs them: on the cluster; here are only references to blocks of rows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from orrery.data.passes import Cancelled
from orrery.data.sources.ray import quiet
from orrery.engines.fed import Fed
from orrery.engines.ray_session import speaking
from orrery.engines.ray_tasks import merge, over, passing
from orrery.engines.tasks import Task, shipping

_LOOK_S = 0.05
_SETTLE_S = 10.0
_WIDE = 8
"""Summaries that one task merges, at most."""


def mapped(fed: Fed, task: Task) -> Any:
    """The data set of what a task makes of each block."""
    rows, columns = _narrowed(fed)
    return _map(rows, task, columns)


def shared(rows: Sequence[Fed], workers: int, stop: threading.Event) -> list[list[Any]]:
    """For each worker references to its rows, as Arrow streams; all have about as many."""
    whole: Any = None
    for sort, fed in enumerate(rows):
        chosen, columns = _narrowed(fed)
        if fed.where is not None:
            chosen = _map(chosen, passing(columns.names, fed.where), columns)
        part = _map(chosen.repartition(workers), shipping(sort), columns)
        whole = part if whole is None else whole.union(part)
    dealt: list[list[Any]] = [[] for _ in range(workers)]
    sizes = [0] * workers
    for block, size in run(whole, stop):
        least = sizes.index(min(sizes))
        dealt[least].append(block)
        sizes[least] += size
    return dealt


def run(dataset: Any, stop: threading.Event, *, ordered: bool = False) -> list[tuple[Any, int]]:
    """References to the blocks that come out, and how many bytes each has."""
    found: list[tuple[Any, int]] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with quiet(dataset, ordered=ordered), speaking():
                for bundle in dataset.iter_internal_ref_bundles():
                    sizes = (block.size_bytes or 0 for block in bundle.metadata)
                    found.extend(zip(bundle.block_refs, sizes, strict=True))
                    if stop.is_set():
                        return
        except BaseException as error:  # carried to whoever waits
            raised.append(error)

    thread = threading.Thread(target=work, name="orrery-ray-data", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_S)
        if stop.is_set():
            thread.join(_SETTLE_S)
            raise Cancelled
    if raised:
        raise raised[0]
    return found


def merged(ray: Any, aggregate: Any, blocks: list[Any], stop: threading.Event) -> list[Any]:
    """References to few blocks of summaries, merged in tasks of Ray, a tree of them."""
    task = ray.remote(merge)
    while len(blocks) > _WIDE:
        blocks = [task.remote(aggregate, *blocks[i : i + _WIDE]) for i in range(0, len(blocks), _WIDE)]
        waited(ray, blocks, stop)
    return blocks


def waited(ray: Any, references: list[Any], stop: threading.Event) -> None:
    """Until all are there. Raises Cancelled, and takes them back, where it shall stop."""
    waiting = references
    while waiting:
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_LOOK_S)
        if stop.is_set():
            for each in waiting:
                ray.cancel(each, force=True)
            raise Cancelled


def _narrowed(fed: Fed) -> tuple[Any, Any]:
    """The data set of some columns, and what Orrery knows them as; at least one, which carries the rows."""
    known = fed.source.schema().arrow()
    names = fed.names or known.names[:1]
    columns = pa.schema([known.field(name) for name in names])
    return fed.source.place.select_columns(names), columns


def _map(dataset: Any, task: Task, columns: Any) -> Any:
    return dataset.map_batches(
        over(task, columns), batch_size=None, batch_format="pyarrow", zero_copy_batch=True
    )
