"""What engines run on the machines of a cluster: functions from Arrow batches to Arrow batches.

What comes back is packed by our own code there, and travels in the cluster's own results.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from orrery.data.sources.handed import Handed
from orrery.data.table import Table
from orrery.engines import freight
from orrery.engines.worker import Failure
from orrery.errors import OrreryError, WorkerError

Batches = Iterable[Any]
Task = Callable[[Batches], Iterator[Any]]

PIECE_BYTES = 16 << 20
"""Rows that travel as one value, at most; but for a single larger row."""


def shipping(sort: int) -> Task:
    """Rows of a frame as Arrow streams, each with the number of its sort; runs where only pyarrow is."""
    piece_bytes = PIECE_BYTES

    def ship(batches: Batches) -> Iterator[Any]:
        import pyarrow

        for batch in batches:
            rows = max(1, piece_bytes * batch.num_rows // max(batch.nbytes, 1))
            for low in range(0, batch.num_rows, rows):
                out = pyarrow.BufferOutputStream()
                with pyarrow.ipc.new_stream(out, batch.schema) as stream:
                    stream.write_batch(batch.slice(low, rows))
                stored = pyarrow.array([out.getvalue().to_pybytes()], pyarrow.binary())
                yield pyarrow.record_batch([pyarrow.array([sort], pyarrow.int32()), stored], ["sort", "rows"])

    return ship


def summarizing(aggregate: Any, columns: Any, names: list[str], where: str | None, steps: Any) -> Task:
    """One summary of a partition's rows."""

    def run(batches: Batches) -> Iterator[Any]:
        def work() -> Any:
            table = Table(Handed("the frame", columns, names, where, lambda: batches), steps)
            summary = aggregate.summarize(table.empty())
            for batch in table.batches():
                summary = aggregate.merge(summary, aggregate.summarize(batch))
            return summary

        yield _answer(0, work)

    return run


def merging(aggregate: Any) -> Task:
    """One summary of several; none of none."""

    def run(batches: Batches) -> Iterator[Any]:
        found: list[bytes] = [part for batch in batches for part in batch.column("answer").to_pylist()]
        failed = [part for part in found if isinstance(freight.unpack(part), Failure)]
        if failed:
            yield _row(0, failed[0])
        elif found:
            yield _answer(0, lambda: merged(aggregate, [freight.unpack(part) for part in found]))

    return run


def merged(aggregate: Any, parts: list[Any]) -> Any:
    """Summaries as one."""
    whole = parts[0]
    for part in parts[1:]:
        whole = aggregate.merge(whole, part)
    return whole


def mapping(
    task: Callable[[Any], Any], columns: Any, names: list[str], where: str | None, steps: Any
) -> Task:
    """What the task makes of each batch."""

    def run(batches: Batches) -> Iterator[Any]:
        table = Table(Handed("the frame", columns, names, where, lambda: batches), steps)
        for batch in table.batches():
            yield _answer(0, partial(task, batch))

    return run


def calling(task: Callable[[Any], Any], items: list[Any]) -> Task:
    """What the task makes of each item; a row holds an item's number."""

    def run(batches: Batches) -> Iterator[Any]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield _answer(number, partial(task, items[number]))

    return run


ANSWER = "number long, answer binary"
"""The columns of what the tasks here give back."""


def _answer(number: int, work: Callable[[], Any]) -> Any:
    return _row(number, packed(work))


def packed(work: Callable[[], Any]) -> bytes:
    """What some work gives, or how it failed."""
    try:
        return freight.pack(work())
    except Exception as error:  # carried to whoever asks for the result
        return failed(error)


def unpacked(answer: bytes, where: str) -> Any:
    """What the work gave. Raises what it raised: ours as it is, any other with its traceback."""
    found = freight.unpack(answer)
    if not isinstance(found, Failure):
        return found
    if isinstance(found.error, OrreryError):
        found.error.add_note(f"on {where}:\n{found.traceback}")
        raise found.error
    error = WorkerError(f"A task on {where} failed: {found.told}\n{found.traceback}")
    raise error from found.error


def failed(error: BaseException) -> bytes:
    """An error on its way."""
    told, text = f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
    try:
        carried = freight.pack(Failure(error, told, text))
        freight.unpack(carried)  # some errors pack, and cannot be unpacked
    except Exception:
        carried = freight.pack(Failure(None, told, text))
    return carried


def _row(number: int, answer: bytes) -> Any:
    return pa.record_batch(
        [pa.array([number], pa.int64()), pa.array([answer], pa.binary())], ["number", "answer"]
    )
