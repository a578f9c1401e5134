"""Outcomes: what really happened, kept by the id of the prediction until somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orrery.data.table import Table, read
from orrery.errors import EmptyTableError, FeedbackError
from orrery.feedback.join import champion_of
from orrery.serving.record import write_outcomes


def outcomes(name: str, rows: Table | Sequence[Mapping[str, Any]] | object) -> int:
    """Keep what happened after predictions of a model; returns how many outcomes were kept.

    ``rows`` is anything that :func:`orrery.read` takes, with a column ``id`` (of the prediction) and one
    named like the target. Of several outcomes of one id the last counts.
    Raises UnknownColumnError, TargetError.
    """
    table = rows if isinstance(rows, Table) else read(rows)
    _, model = champion_of(name)
    target = model.signature.target
    found = table.select("id", target.name).to_arrow()
    if not found.num_rows:
        raise EmptyTableError(f"There are no outcomes of {name!r} to keep.")
    target.encode(found.column(target.name).combine_chunks())  # raises for what the model cannot mean
    try:
        return write_outcomes(name, found)
    except OSError as error:
        raise FeedbackError(
            f"The outcomes of {name!r} cannot be written: {error.strerror or error}.",
            hint="None was kept. Check space and permissions, then tell them again.",
        ) from None
