"""What a report holds: plain values, from which JSON and pages are made."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from orrery.evaluation.scored import Outcome
from orrery.schema import Kind
from orrery.spec import Spec

Points = tuple[tuple[float, float], ...]


class Curve(Spec):
    """One line: of a class, or of one quantity over thresholds."""

    label: str
    points: Points


class ClassFigures(Spec):
    """One class or label: weight in the rows, and how well it is found."""

    label: str
    weight: float
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    average_precision: float | None


class Calibrated(Spec):
    """Bins of equal width in probability: weight, mean probability said, share that came true."""

    weight: tuple[float, ...]
    said: tuple[float, ...]
    came_true: tuple[float, ...]


class NumberFigures(Spec):
    """One number of the outcome."""

    label: str
    rmse: float | None
    mae: float | None
    r2: float | None
    bias: float | None


class Residuals(Spec):
    """Errors of a number, from all rows or from a fair sample of them."""

    rows: int
    complete: bool
    points: Points
    """Truth and prediction of some rows."""
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    """Weight of errors (prediction minus truth) between the edges."""
    quantiles: dict[str, float]
    """Share of the rows, as text -> their error is at most this far from zero."""


class Slice(Spec):
    """The rows of one value of a column."""

    value: str
    rows: int
    metrics: dict[str, float]
    exact: bool = True
    """Whether AUC and so on are free of rounding; a slice keeps fewer different scores than the whole."""


class Picture(Spec):
    """A picture of a bad row, small enough for a page, as base64."""

    picture: str


class BadRow(Spec):
    """One of the worst rows."""

    loss: float
    truth: str
    predicted: str
    likely: tuple[tuple[str, float], ...] = ()
    """The likeliest classes, and the probability given to each; the true one among them."""
    columns: dict[str, Picture | str | int | float | bool | None] = Field(default_factory=dict)


class Findings(Spec):
    """Everything that an evaluation found.

    ``curves`` are named ``roc``, ``pr``, ``gains``, ``ks``, ``threshold``, ``distribution``; with two classes
    the first three have one line, of the positive class.
    """

    format: int = 1
    title: str
    created: str
    kind: Kind
    target: str
    labels: tuple[str | int | float | bool, ...] = ()
    rows: int
    weighted: bool = False
    exact: bool = True
    """Whether curves and what is read from them (AUC …) are free of rounding of the scores."""
    fingerprint: str
    """Of the evaluated rows, whatever their order: equal for equal rows."""
    metrics: dict[str, float]
    undefined: tuple[str, ...] = ()
    """Metrics that these rows cannot tell: one class only, no weight."""
    matrix: tuple[tuple[float, ...], ...] = ()
    confused: tuple[tuple[str, str, float], ...] = ()
    """True class, predicted class, weight: the most frequent mistakes."""
    classes: tuple[ClassFigures, ...] = ()
    curves: dict[str, tuple[Curve, ...]] = Field(default_factory=dict)
    best_gap: tuple[float, float] | None = None
    """The K-S statistic, and the score where it is reached."""
    calibration: Calibrated | None = None
    numbers: tuple[NumberFigures, ...] = ()
    residuals: Residuals | None = None
    slices: dict[str, tuple[Slice, ...]] = Field(default_factory=dict)
    worst: tuple[BadRow, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """What was predicted."""
        return Outcome(self.kind, self.labels, self.target)

    def __repr__(self) -> str:
        classes = f" of {len(self.labels)}" if self.labels else ""
        known = ", ".join(f"{name} {value:.4g}" for name, value in list(self.metrics.items())[:3])
        figures = f"; {known}" if known else ""
        return (
            f"{type(self).__name__}({self.target!r}: {self.kind.value}{classes}, {self.rows:,} rows{figures})"
        )

    def __str__(self) -> str:
        return repr(self)
