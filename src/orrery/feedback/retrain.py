"""Retraining: the champion's own recipe on its old rows and on what happened since.

The new rows are kept in a file, ``<home>/feedback/<name>/learnt/<fingerprint>.parquet``, so that the model's
lineage names rows that can be read again. The next retraining begins from the same old rows and takes all
that is known by then: no row is learnt from twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from orrery import settings
from orrery.data.table import Table
from orrery.errors import FeedbackError
from orrery.estimators.lineage import plan_of
from orrery.estimators.model import Model
from orrery.feedback.drift import fitted_on, lineage_table
from orrery.feedback.join import champion_of, feedback
from orrery.schema import parse_type
from orrery.training.events import Observer


def retrain(
    name: str,
    table: Table | None = None,
    *,
    new: Table | None = None,
    observers: Sequence[Observer] = (),
    trust: bool = False,
) -> Model:
    """Fit the champion's estimator again, on the old rows and the new ones together.

    ``table`` holds the old rows, by default those that the first champion of its line was fitted on, read
    again where they lie; ``new`` the new ones, by default every recorded prediction whose outcome is known.
    The model is not published: :func:`orrery.publish` compares it with the champion. ``trust`` is needed for
    a champion that was not made here and names a module of its maker's, or the places of its rows.
    """
    version, champion = champion_of(name)
    champion.trusted |= trust
    old = table if table is not None else old_rows(name, champion)
    columns = [*champion.signature.whole.names, champion.signature.target.name]
    fresh = new if new is not None else feedback(name)
    weight = champion.estimator.weight
    if weight is not None:
        columns.append(weight)
        fresh = _weighted(fresh, weight, parse_type(old.schema[weight].type))
    old, fresh = old.select(*columns), kept(name, fresh.select(*columns))
    model = champion.estimator.fit(old.union(fresh), observers=observers)
    model.lineage |= {"parent": f"models:/{name}/{version}", "old": plan_of(old)}
    return model


def old_rows(name: str, champion: Model) -> Table:
    """The rows before any feedback, read again where they lie. Raises FeedbackError."""
    plan = champion.lineage.get("old")
    try:
        return lineage_table(champion, plan) if isinstance(plan, dict) else fitted_on(champion)
    except FeedbackError as error:
        raise FeedbackError(
            error.message, hint=f'Pass them: ory.retrain("{name}", table), or --data on the command line.'
        ) from None


def kept(name: str, fresh: Table) -> Table:
    """The same rows in a file of their own, written once."""
    place = settings.home() / "feedback" / name / "learnt" / f"{fresh.fingerprint()}.parquet"
    place.parent.mkdir(parents=True, exist_ok=True)
    return fresh.write(place.absolute())


def _weighted(fresh: Table, weight: str, kind: Any) -> Table:
    """What happened since counts like ordinary rows, unless it says otherwise."""
    return fresh if weight in fresh.schema else fresh.map(partial(_with_ones, weight=weight, kind=kind))


def _with_ones(batch: pa.RecordBatch, weight: str, kind: Any) -> pa.RecordBatch:
    return batch.append_column(weight, pa.array([1] * len(batch)).cast(kind))
