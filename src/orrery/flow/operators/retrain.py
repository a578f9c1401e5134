"""Learn again, from old rows and new ones."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.estimators.model import Model
from orrery.feedback.retrain import retrain as retrain_model
from orrery.flow.operator import OUTSIDE, Context, operator


@operator(changes="what was recorded since may differ")
def retrain(
    table: Table | None = None,
    new: Table | None = None,
    *,
    name: str,
    trust: bool = False,
    context: Context = OUTSIDE,
) -> Model:
    """Fit the champion's recipe again: old rows, and recorded predictions whose outcome is known.

    Args:
        table: The old rows; those the champion was fitted on, unless given.
        new: The new rows; recorded predictions with their outcomes, unless given.
        name: The published name.
        trust: Whether to use the places and code that a champion names which was not made here.
        context: What the run lends: observers, and a folder for unfinished work.
    """
    return retrain_model(name, table, new=new, observers=context.observers, trust=trust)
