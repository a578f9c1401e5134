"""Learn a model."""

from __future__ import annotations

from typing import Annotated

from orrery.data.table import Table
from orrery.estimators.estimator import fit as fit_model
from orrery.estimators.model import Model
from orrery.features.feature import Feature
from orrery.flow.operator import OUTSIDE, Column, Context, operator
from orrery.learners.learner import Learner


@operator(uses=("numpy", "torch", "lightgbm", "scikit-learn", "onnxruntime"))
def fit(
    table: Table,
    validation: Table | None = None,
    *,
    target: Annotated[str, Column("table")],
    learner: Learner | None = None,
    kinds: Annotated[dict[str, str] | None, Column("table")] = None,
    features: list[Feature] | None = None,
    seed: int = 0,
    workers: int = 1,
    weight: Annotated[str | None, Column("table")] = None,
    ignore: Annotated[list[str] | None, Column("table")] = None,
    context: Context = OUTSIDE,
) -> Model:
    """Learn a model that predicts one column from the others.

    Args:
        table: The rows to learn from.
        validation: Rows to stop by; a part of the table, unless given.
        target: The column to predict.
        learner: auto (unless given), network, boosted or linear; or its kind and settings.
        kinds: What columns mean, where it cannot be told from them: image, category, text …
        features: What to learn from which columns; chosen by the kinds, unless given.
        seed: The same seed gives the same model.
        workers: How many learn together on this machine.
        weight: A column that says how much each row counts.
        ignore: Columns not to learn from.
        context: What the run lends: observers, and a folder for unfinished work.
    """
    return fit_model(
        table,
        target,
        learner=learner or "auto",
        validation=validation,
        kinds=kinds,
        features=features,
        seed=seed,
        workers=workers,
        observers=context.observers,
        folder=context.folder,
        weight=weight,
        ignore=tuple(ignore or ()),
    )
