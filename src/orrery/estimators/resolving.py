"""Filling in what an estimator leaves open: one look at the table decides kinds and features."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orrery.data.profile import Describe, Profile
from orrery.data.table import Table
from orrery.data.window_step import WindowStep, windows_of
from orrery.data.windows import Windows
from orrery.engines.engine import Engine
from orrery.errors import EmptyTableError, FitError, SettingsError, UnknownColumnError
from orrery.estimators.answer import answer_fields
from orrery.estimators.infer import Inferred, infer
from orrery.estimators.signature import Signature
from orrery.features.feature import Feature
from orrery.features.image import Image
from orrery.features.target import Target, fit_target
from orrery.schema import Kind, Schema

if TYPE_CHECKING:
    from orrery.estimators.estimator import Estimator

_HEAD_ROWS = 20
_LEAST_HELD = 20  # fewer rows held out say too little to stop by


@dataclass(frozen=True)
class Resolved:
    """An estimator with nothing left open, and what was found out on the way."""

    estimator: Estimator
    table: Table
    target: Target
    rows: int
    notes: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns to learn from, in the order of the table."""
        return tuple(
            n for n, k in self.estimator.kinds.items() if k is not Kind.KEY and n != self.target.name
        )

    @cached_property
    def signature(self) -> Signature:
        """What the model will ask for: the columns that its features read."""
        read = {column for feature in self.estimator.features or () for column in feature.columns}
        windows = self.estimator.windows
        if windows is not None:
            read = (read - {*windows.names}) | {*windows.needs}
        schema = self.table.schema
        inputs = schema.select([name for name in schema.names if name in read])
        meant = {name: kind for name, kind in self.estimator.kinds.items() if name in inputs}
        # A key is not learnt from, but says whose events a window counts.
        kinds: dict[str, Kind] = {n: Kind.CATEGORY if k is Kind.KEY else k for n, k in meant.items()}
        return Signature(inputs=inputs.with_kinds(kinds), target=self.target, windows=windows)


def resolve(
    estimator: Estimator, table: Table, *, validated: bool = False, engine: Engine | None = None
) -> Resolved:
    """Everything inferred; ``validated`` where other rows are given to stop early by.

    Raises DataError, TargetError, FitError, SettingsError.
    """
    table, windows = _with_windows(estimator, table)
    _check_names(estimator, table.schema)
    profile = table.aggregate(Describe.of(table.empty().schema), engine)
    _check_rows(profile.rows)
    aside = {*estimator.ignore, *([estimator.weight] if estimator.weight else [])} - {estimator.target}
    head = table.head(_HEAD_ROWS).to_arrow()
    inferred = infer(table.schema, profile, estimator.target, estimator.kinds, aside, head)
    target = fit_target(table, estimator.target, inferred.kinds[estimator.target], engine=engine)
    features = estimator.features
    if features is None:
        _check_inputs(inferred, estimator.target, target)
        features = estimator.learner.features(
            _learnt_from(table.schema, inferred, target.name), profile, target
        )
    if not features:
        raise FitError(
            f"The learner {estimator.learner.kind!r} finds nothing to learn from in columns of the kinds "
            f"{sorted({k.value for n, k in inferred.kinds.items() if n != target.name})}.",
            hint="Choose another learner, or pass features=.",
        )
    features = tuple(_sized(feature, profile) for feature in features)
    rows = profile.rows - (0 if validated else held_rows(estimator, profile.rows))
    settled = estimator.replace(
        windows=windows if windows is not None and _reads(features, windows) else None,
        kinds={**estimator.kinds, **inferred.kinds},
        features=features,
        learner=estimator.learner.filled(rows, features),
        ignore=(*estimator.ignore, *(n for n in inferred.left_out if n not in estimator.ignore)),
    )
    return Resolved(settled, table, target, profile.rows, tuple(inferred.notes))


def _with_windows(estimator: Estimator, table: Table) -> tuple[Table, Windows | None]:
    """The rows with the windows that the estimator asks for, or those that they have."""
    windows = estimator.windows or _still_there(windows_of(table.steps), table.schema.names)
    if windows is None or set(windows.names) <= set(table.schema.names):
        return table, windows
    return Table(table.source, (*table.steps, WindowStep(windows))), windows


def _still_there(windows: Windows | None, have: Collection[str]) -> Windows | None:
    """The windows of a table whose columns are there, as are those that they are computed from."""
    left = [] if windows is None else [window for window in windows.windows if window.name in have]
    if windows is None or not left:
        return None
    found = windows.replace(windows=tuple(left))
    return found if set(found.needs) <= set(have) else None


def _reads(features: Iterable[Feature], windows: Windows) -> bool:
    return any(column in windows.names for feature in features for column in feature.columns)


def held_rows(estimator: Estimator, rows: int) -> int:
    """How many rows are held out to stop early by; none where they would say too little."""
    held = round(rows * estimator.validation_share)
    return held if estimator.learner.holds_out and held >= _LEAST_HELD else 0


def _sized(feature: Feature, profile: Profile) -> Feature:
    return feature.sized(profile[feature.columns[0]].sizes) if isinstance(feature, Image) else feature


def check_columns(names: Iterable[str], schema: Schema) -> None:
    """Raises UnknownColumnError for the first name that the table lacks."""
    for name in names:
        if name not in schema:
            raise UnknownColumnError(name, schema.names)


def _check_names(estimator: Estimator, schema: Schema) -> None:
    # What is not learnt from may be gone when a model's estimator is fitted again on other rows.
    meant = [name for name, kind in estimator.kinds.items() if kind is not Kind.KEY]
    check_columns([estimator.target, *meant, *([estimator.weight] if estimator.weight else [])], schema)
    if estimator.target in estimator.ignore:
        raise SettingsError(f"The target {estimator.target!r} is in ignore=.", hint="Take it out of one.")


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise EmptyTableError(
            "There are no rows to learn from.",
            hint="Check the query, the file or the split that gave this table.",
        )
    if rows == 1:
        raise FitError("There is one row only; nothing can be learnt from it.", hint="Two are the least.")


def _learnt_from(schema: Schema, inferred: Inferred, target: str) -> Schema:
    """The columns for a learner to choose features for, their kinds known; neither target nor keys."""
    wanted = {n for n, kind in inferred.kinds.items() if kind is not Kind.KEY and n != target}
    known = schema.with_kinds(inferred.kinds)
    return Schema(fields=tuple(field for field in known.each() if field.name in wanted))


def _check_inputs(inferred: Inferred, name: str, target: Target) -> None:
    inputs = [n for n, kind in inferred.kinds.items() if n != name and kind is not Kind.KEY]
    if not inputs:
        why = " ".join(inferred.notes) or f"{name!r} is the only column."
        raise FitError(
            f"There is no column to learn from. {why}",
            hint="Say what a column means with kinds={...}, or add columns.",
        )
    taken = [field.name for field in answer_fields(target) if field.name in inputs]
    if taken:
        raise SettingsError(
            f"The column {taken[0]!r} has the name that the predictions will have.",
            hint=f"Rename it, or leave it out with ignore=({taken[0]!r},).",
        )
