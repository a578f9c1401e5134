"""How far the rows of today differ from those a model has learnt from."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.feedback.drift import Drift
from orrery.feedback.drift import drift as drift_of
from orrery.flow.operator import operator


@operator(changes="what was recorded since may differ")
def drift(reference: Table | None = None, *, name: str, trust: bool = False) -> Drift:
    """Compare what a published model is asked with the rows it was fitted on, column by column.

    Args:
        reference: The rows to compare with; those the champion was fitted on, unless given.
        name: The published name.
        trust: Whether to read the places that a champion names which was not made here.
    """
    return drift_of(name, reference=reference, trust=trust)
