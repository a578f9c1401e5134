"""The number that a row has in the table which the user gave, though a part of that table is being read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orrery.data.split import Part
from orrery.data.steps import Step
from orrery.data.table import Table
from orrery.errors import BadRowError
from orrery.training.stretches import Stretch, Stretches


def renumber(error: BadRowError, table: Table) -> None:
    """Count an error's row, so far one of ``table``, in what that is a part of: of a split, of a gang's rows.

    Costs a pass over the rows before it; they are read for their numbers alone.
    """
    if error.row is None:
        return
    number, steps = error.row, table.steps
    if steps and isinstance(part := steps[-1], Part):
        steps = steps[:-1]
        number = _before_the_split(Table(table.source, steps), part, number)
    error.row = number + _of_others(table, steps)
    error.pointer = f"row {error.row}"


def _before_the_split(whole: Table, part: Part, number: int) -> int:
    """Where the row with a number in a part stands in the whole."""
    first, left = 0, number
    deciding = list(part.cuts.shares.reads(whole.empty().schema))
    for batch in whole.batches(columns=deciding):
        found = np.flatnonzero(part.cuts.parts(batch) == part.index)
        if left < len(found):
            return first + int(found[left])
        first, left = first + batch.num_rows, left - len(found)
    return number


def _of_others(table: Table, steps: Sequence[Step]) -> int:
    """How many rows the workers before this one were dealt."""
    source = table.source
    if not isinstance(source, Stretches) or not source.stretches:
        return 0
    own = source.stretches[0]
    before = [Stretch(p) for p in source.source.partitions() if p.index < own.partition.index]
    before.append(Stretch(own.partition, 0, own.start))
    return Table(Stretches(source.source, source.where, before), steps).count()
