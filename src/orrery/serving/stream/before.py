"""What happened before each message: looked up in their order, and kept for those to come.

A message counts where its time, its key and its numbers can be read, also where it is a dead letter for
another reason: it happened. One that is given again is a repeat, by the id that the model's windows name, or
else by where the message stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.payloads.payload import Fault
from orrery.data.windows import Windows
from orrery.errors import ServingError
from orrery.features.past import values_of
from orrery.serving.past import PastStore
from orrery.serving.route import Live
from orrery.serving.stream.broker import Message
from orrery.serving.stream.form import each_answered


def look_before(
    past: PastStore,
    windows: Windows,
    columns: Mapping[str, Sequence[Any]],
    parts: Sequence[range],
    ids: Sequence[str],
) -> tuple[dict[str, list[Any]], dict[int, Fault]]:
    """The windows of all rows, and the messages that cannot be read, by number.

    ``parts`` are the rows of each message, one behind the other; ``ids`` has one for each row. Raises
    ServingError where nothing can be kept: that is no message's fault.
    """
    found: dict[str, list[Any]] = {name: [None] * len(ids) for name in windows.names}

    def look(low: int, high: int) -> Sequence[None]:
        rows = slice(parts[low].start, parts[high - 1].stop)
        own = {name: columns[name][rows] for name in windows.needs}
        seen = past.observe(windows, own, rows.stop - rows.start, ids=ids[rows])
        for name, values in seen.items():
            found[name][rows] = values
        return [None] * (high - low)

    return found, each_answered(len(parts), look, raises=ServingError).faults


def rows_before(
    past: PastStore,
    live: Live,
    batch: RecordBatch,
    whose: dict[int, range],
    messages: Sequence[Message],
) -> tuple[RecordBatch, tuple[str, ...], dict[int, range], dict[int, Fault]]:
    """A batch with what happened before its rows, if the model reads it and they do not bring it.

    ``whose`` has the rows of each message that could be read. Returns the batch and the names of the columns
    that were added; the rows of each message again, without those that cannot be read; and these.
    """
    signature = live.runner.signature
    windows, have = signature.windows, batch.schema.names
    if windows is None or not set(windows.needs) <= set(have) or not signature.lacks_windows(have):
        return batch, (), whose, {}  # what lacks is told with the answer
    ids = [name for i, rows in whose.items() for name in row_ids(messages[i].id, len(rows))]
    columns = {name: values_of(batch.column(name)) for name in windows.needs}
    seen, wrong = look_before(past, windows, columns, list(whose.values()), ids)
    for window in windows.windows:
        batch = batch.append_column(window.name, pa.array(seen[window.name], window.type))
    if not wrong:
        return batch, windows.names, whose, {}
    numbers = list(whose)
    faults = {numbers[n]: fault for n, fault in wrong.items()}
    good = {i: rows for i, rows in whose.items() if i not in faults}
    batch = batch.take(pa.array([row for rows in good.values() for row in rows], pa.int64()))
    start = 0
    for i, rows in good.items():
        good[i] = range(start, start + len(rows))
        start += len(rows)
    return batch, windows.names, good, faults


def row_ids(message: str, rows: int) -> list[str]:
    """The ids of a message's rows: its own; of several, each has a number behind it.

    >>> row_ids("t/0/7", 1), row_ids("t/0/7", 2)
    (['t/0/7'], ['t/0/7/0', 't/0/7/1'])
    """
    return [message] if rows == 1 else [f"{message}/{i}" for i in range(rows)]
