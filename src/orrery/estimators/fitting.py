"""A fit from end to end: hold rows out, learn the features, encode once, learn the predictor."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orrery import settings
from orrery.data.split import Part
from orrery.data.table import Table
from orrery.engines.engine import Engine
from orrery.errors import FitError
from orrery.estimators.example import take_example
from orrery.estimators.leaks import find_leaks
from orrery.estimators.lineage import lineage_of
from orrery.estimators.model import Model
from orrery.estimators.resolving import Resolved, held_rows
from orrery.features.plan import FeaturePlan
from orrery.learners.crew import GangCrew
from orrery.learners.learner import Learner, Predictor
from orrery.schema import Kind
from orrery.spec import stable_key
from orrery.training.events import Ended, Event, Observer, observe_all
from orrery.training.exchange.choice import Exchanging
from orrery.training.rows import Rows
from orrery.training.world import World

_SAMPLE_ROWS = 1_000  # of the first rows, from which the examples are taken


@dataclass
class _Notes:
    """An observer that keeps what the learner says it tried."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, event: Event) -> Literal["stop"] | None:
        if isinstance(event, Ended):
            self.lines = list(event.notes)
        return None


def fit_model(
    resolved: Resolved,
    *,
    validation: Table | None,
    engine: Engine | None,
    crew: GangCrew | None,
    exchange: Exchanging,
    observers: Sequence[Observer],
    folder: Path | None,
) -> Model:
    """The model of a resolved estimator."""
    started = time.perf_counter()
    if crew is not None:
        crew.check()
    estimator, notes = resolved.estimator, _Notes()
    train, held = _hold_out(resolved, validation, engine)
    plan = FeaturePlan.fit(estimator.features or (), train, engine)
    rows = Rows(plan, resolved.target, train, held, estimator.weight, estimator.seed)
    run = folder or settings.home() / "runs" / _run_key(resolved, validation)
    observe = observe_all([notes, *observers])

    world = World(device=settings.device(), seed=estimator.seed, folder=run, exchange=exchange, crew=crew)
    try:
        predictor = _learn(estimator.learner, rows, world, observe)
    except OSError as error:
        raise FitError(
            f"The run could not be kept in {str(run)!r}: {error.strerror or error}.",
            hint="Set ORRERY_HOME, or pass folder=, to a place that can be written and has room.",
        ) from error
    if folder is None:
        shutil.rmtree(run, ignore_errors=True)
    # Only the features of the members that a blend kept: the others would be computed for nothing.
    if groups := getattr(predictor, "groups", ()):
        plan = plan.subset(groups)
    leaks = find_leaks(resolved.table, estimator.kinds, resolved.target, engine)
    model = Model(
        estimator,
        resolved.signature,
        plan,
        predictor,
        lineage=lineage_of(resolved.table, estimator, resolved.rows, time.perf_counter() - started),
        notes=[*resolved.notes, *leaks, *notes.lines, *(crew.told() if crew is not None else ())],
    )
    if crew is not None and crew.facts:
        model.lineage["gang"] = crew.facts
    sample = next(iter(train.select(*resolved.signature.whole.names).batches(_SAMPLE_ROWS)))
    model.example = take_example(model, sample)
    return model


def _learn(learner: Learner, rows: Rows, world: World, observe: Observer) -> Predictor:
    """Where all of it is for a gang, its workers read the rows; else this process does."""
    if world.crew is not None and learner.gangs:
        learnt: Predictor = world.crew.fit(learner, rows, world, observe)
        return learnt
    feed = rows.feed()
    try:
        return learner.fit(feed, world, observe)
    finally:
        feed.close()


def _hold_out(
    resolved: Resolved, validation: Table | None, engine: Engine | None
) -> tuple[Table, Table | None]:
    """The rows to learn from, and those to stop early by: the user's, or a share of the table."""
    share = resolved.estimator.validation_share
    if validation is not None:
        return resolved.table, validation
    if not held_rows(resolved.estimator, resolved.rows):
        return resolved.table, None
    stratify = resolved.target.name if resolved.target.kind is Kind.CATEGORY else None
    train, held = resolved.table.split(1.0 - share, stratify=stratify, seed=resolved.estimator.seed)
    for step in train.steps:
        if isinstance(step, Part):
            step.cuts.learn(engine)
    # Equal rows stay together: where few differ, one part may get them all.
    if not held.head(1).count() or not train.head(1).count():
        return resolved.table, None
    return train, held


def _run_key(resolved: Resolved, validation: Table | None) -> str:
    held: Any = None if validation is None else validation.fingerprint()
    estimator = resolved.estimator
    return stable_key(estimator.key(), estimator.learner.code(), resolved.table.fingerprint(), held)
