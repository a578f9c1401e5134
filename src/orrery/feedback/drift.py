"""Drift: has what arrives become different from what the model was fitted on?

Per column, the population stability index and a test of equal distributions:

- PSI: sum over bins of (a - e) ln(a / e), e and a the shares before and now, ten bins of equal share before
  (Siddiqi, *Credit Risk Scorecards*, 2006, ch. 10). By its custom below 0.1 is stable, above 0.25 is drift.
- numbers: the two-sample Kolmogorov-Smirnov test (Smirnov 1939; asymptotic p-value as in Hodges 1958)
- categories: Pearson's chi-squared test of homogeneity (Pearson 1900)

With many rows a test finds differences that do not matter; the PSI says how large they are. Read both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery import display
from orrery.data.codecs import image
from orrery.data.table import Table
from orrery.errors import BadRowError, FeedbackError
from orrery.estimators.faces import with_windows
from orrery.estimators.model import Model
from orrery.extras import require
from orrery.features.forms import Coded, Form, lift
from orrery.feedback.join import champion_of, predictions
from orrery.schema import Kind
from orrery.spec import Spec

STABLE, DRIFTED = 0.1, 0.25
BY_CHANCE = 0.01
"""A test's p-value from which on a difference may be chance: with few rows the PSI alone cries wolf."""
BINS = 10
TOP = 50
"""Categories told apart; the rest are one."""
MOST_ROWS = 200_000
"""Rows looked at on each side; more are sampled by the hash of the row."""


class ColumnDrift(Spec):
    """How one column changed."""

    column: str
    kind: Kind
    psi: float
    test: str
    statistic: float
    p_value: float
    missing_before: float
    missing_now: float
    verdict: str

    @classmethod
    def of(cls, column: str, kind: Kind, before: Any, now: Any) -> ColumnDrift:
        """Compare one lifted column: floats with NaN for missing, or categories."""
        measure = _numbers if isinstance(before, np.ndarray) else _categories
        psi, test, statistic, p_value = measure(before, now)
        verdict = "drifted" if psi >= DRIFTED else "shifted" if psi >= STABLE else "stable"
        verdict = "stable" if p_value >= BY_CHANCE and _missing(before) == _missing(now) else verdict
        return cls(
            column=column,
            kind=kind,
            psi=psi,
            test=test,
            statistic=statistic,
            p_value=p_value,
            missing_before=_missing(before),
            missing_now=_missing(now),
            verdict=verdict,
        )


class Drift(Spec):
    """Every column's drift, the largest first, and the rows behind it."""

    name: str
    version: int
    rows_before: int
    rows_now: int
    columns: tuple[ColumnDrift, ...]

    def __str__(self) -> str:
        head = (
            f"{self.name} version {self.version}: {self.rows_now} rows now beside {self.rows_before} before"
        )
        lines = [
            f"  {c.column:24.24} {c.verdict:8} PSI {c.psi:7.4f}  {c.test} {c.statistic:.4g}, "
            f"p = {c.p_value:.3g}"
            for c in self.columns
        ]
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        rows = [c.to_dict() for c in self.columns]
        return display.table_html(list(ColumnDrift.model_fields), [list(r.values()) for r in rows])


def drift(name: str, *, reference: Table | None = None, trust: bool = False) -> Drift:
    """Compare what the champion was asked with the rows it was fitted on.

    ``reference`` is by default the table that the champion was fitted on, read again where it lies; of a
    champion that was not made here only with ``trust``.
    Raises FeedbackError where nothing was recorded, or the table cannot be found again.
    """
    version, model = champion_of(name)
    model.trusted |= trust
    now = predictions(name)
    before = reference if reference is not None else fitted_on(model)
    return compare(name, version, model, before, now)


def fitted_on(model: Model) -> Table:
    """The table a model was fitted on, read again where it lies. Raises FeedbackError."""
    return lineage_table(model, model.lineage.get("data"))


def lineage_table(model: Model, plan: object) -> Table:
    """A table that a model's lineage names, if the model was made here. Raises FeedbackError."""
    if not isinstance(plan, dict):
        raise FeedbackError(
            "The rows this model was fitted on lay in memory, and cannot be read again.",
            hint="Pass them: drift(name, reference=table).",
        )
    if not model.trusted:
        raise FeedbackError(
            "The model was not made here: the places that it names are read with trust=True only (--trust on "
            "the command line).",
            hint="Pass the rows: drift(name, reference=table).",
        )
    return Table.from_dict(plan)


def compare(name: str, version: int, model: Model, before: Table, now: Table) -> Drift:
    """The drift of every column that the model reads, windows too, and of what it predicts."""
    old, new = _bounded(with_windows(model, before)), _bounded(now)
    found = []
    for field in model.signature.whole.each():
        kind = field.kind or Kind.CATEGORY
        pair = [_lifted(t, field.name, kind) for t in (old, new)]
        found.append(ColumnDrift.of(field.name, kind, *pair))
    target = model.signature.target
    if target.kind in {Kind.CATEGORY, Kind.NUMBER} and "prediction" in new.schema:
        said = _lifted(new, "prediction", target.kind)
        expected = _lifted(model.predict(old), "prediction", target.kind)
        found.append(ColumnDrift.of("prediction", target.kind, expected, said))
    found.sort(key=lambda c: -c.psi)
    return Drift(
        name=name, version=version, rows_before=old.count(), rows_now=new.count(), columns=tuple(found)
    )


def _bounded(table: Table) -> Table:
    return table if table.count() <= MOST_ROWS else table.sample(rows=MOST_ROWS)


def _lifted(table: Table, column: str, kind: Kind) -> Any:
    """A column as floats (dates in days, brightness, length, level) or as categories."""
    array = table.select(column).to_arrow().column(column)
    if kind is Kind.NUMBER:
        return lift(array, Form.FLOAT, column)
    if kind is Kind.DATETIME:
        days = lift(array, Form.TIME, column)
        return np.where(np.isnat(days), np.nan, days.astype(np.int64) / 86_400e6)
    if kind is Kind.IMAGE:
        return np.fromiter(_brightness(lift(array, Form.BYTES, column)), np.float64)
    if kind is Kind.TEXT:
        return np.array(
            [math.nan if t is None else len(t) for t in lift(array, Form.TEXT, column)], np.float64
        )
    if kind is Kind.VECTOR:
        return np.linalg.norm(lift(array, Form.VECTOR, column), axis=1)
    if kind is Kind.LABELS:
        rows = lift(array, Form.LABELS, column)
        return np.array([math.nan if r is None else len(r) for r in rows], np.float64)
    if kind in _MEASURES:
        form, measure = _MEASURES[kind]
        return np.array([math.nan if row is None else measure(row) for row in lift(array, form, column)])
    if kind is Kind.GEO:
        return lift(array, Form.POINT, column)[:, -1]
    return lift(array, Form.CODED, column)


_MEASURES: dict[Kind, tuple[Form, Callable[[Any], float]]] = {
    Kind.AUDIO: (Form.BYTES, len),
    Kind.VIDEO: (Form.BYTES, len),
    Kind.SERIES: (Form.SERIES, lambda row: float(np.mean(row)) if len(row) else math.nan),
    Kind.TENSOR: (Form.TENSOR, lambda row: float(np.mean(row)) if row.size else math.nan),
    Kind.MAP: (Form.MAP, len),
}
"""Kind -> the form to lift it in, and the one number that stands for a value: its size, level or length."""


def _brightness(pictures: Iterable[bytes | None]) -> Iterator[float]:
    for picture in pictures:
        try:
            yield (
                math.nan
                if picture is None
                else float(image.decode(picture, height=32, width=32, channels=1).mean())
            )
        except BadRowError:
            yield math.nan


def _missing(lifted: Any) -> float:
    gone = lifted.codes < 0 if isinstance(lifted, Coded) else np.isnan(lifted)
    return float(gone.mean()) if len(gone) else 0.0


def _psi(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """From counts per bin. An empty bin counts as half a row, so that the logarithm exists."""
    e, a = (np.maximum(c, 0.5) / max(c.sum(), 1) for c in (before, now))
    return float(((a - e) * np.log(a / e)).sum())


def _numbers(before: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[float, str, float, float]:
    old, new = (np.sort(v[np.isfinite(v)]) for v in (before, now))
    if not old.size or not new.size:
        same = old.size == new.size
        return (0.0 if same else math.inf), "ks", 0.0 if same else 1.0, 1.0 if same else 0.0
    edges = np.unique(np.quantile(old, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (old, new)
    ]
    gone = [np.array([(~np.isfinite(v)).sum()]) for v in (before, now)]
    psi = _psi(*(np.concatenate([c, g]).astype(np.float64) for c, g in zip(counts, gone, strict=True)))
    points = np.concatenate([old, new])
    gaps = (
        np.searchsorted(old, points, side="right") / old.size
        - np.searchsorted(new, points, side="right") / new.size
    )
    statistic = float(np.abs(gaps).max())
    size = old.size * new.size / (old.size + new.size)
    p_value = float(require("scipy.special", "The drift table").kolmogorov(math.sqrt(size) * statistic))
    return psi, "ks", statistic, p_value


def _categories(before: Coded, now: Coded) -> tuple[float, str, float, float]:
    old, new = _counts(before), _counts(now)
    top = sorted(old, key=lambda v: (-old[v], str(v)))[:TOP]
    table = np.array(
        [[c.get(v, 0) for v in top] + [sum(c.values()) - sum(c.get(v, 0) for v in top)] for c in (old, new)]
    )
    table = table[:, table.sum(axis=0) > 0].astype(np.float64)
    psi = _psi(table[0], table[1])
    total = table.sum()
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return psi, "chi2", 0.0, 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    p_value = float(require("scipy.special", "The drift table").chdtrc(table.shape[1] - 1, statistic))
    return psi, "chi2", statistic, p_value


def _counts(coded: Coded) -> dict[str | None, int]:
    counts = np.bincount(coded.codes + 1, minlength=len(coded.values) + 1)
    named: dict[str | None, int] = dict(zip([None, *coded.values], counts.tolist(), strict=True))
    return {value: n for value, n in named.items() if n}
