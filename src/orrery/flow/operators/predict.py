"""Add predictions to rows."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.estimators.model import Model
from orrery.flow.operator import operator


@operator(lazy=True)
def predict(model: Model, table: Table) -> Table:
    """Add a prediction to each row; all columns, their order and the rows' order stay.

    Args:
        model: The model that predicts.
        table: Rows with the columns that the model has learnt from.
    """
    return model.predict(table)
