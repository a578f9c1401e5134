"""From finished tallies to findings: curves thinned for drawing, rows made readable."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.data.codecs import image
from orrery.display.tables import picture_type
from orrery.errors import OrreryError
from orrery.evaluation.findings import (
    BadRow,
    Calibrated,
    ClassFigures,
    Curve,
    NumberFigures,
    Picture,
    Points,
    Residuals,
    Slice,
)
from orrery.evaluation.metrics.auc import auc
from orrery.evaluation.metrics.average_precision import average_precision
from orrery.evaluation.metrics.calibration import Reliability
from orrery.evaluation.metrics.confusion import Matrix
from orrery.evaluation.metrics.errors import ErrorSums, root
from orrery.evaluation.metrics.labels import LabelTable
from orrery.evaluation.metrics.lift import gains
from orrery.evaluation.metrics.ranking import Ranking
from orrery.evaluation.sample import Sampled
from orrery.evaluation.scored import Outcome
from orrery.evaluation.tally import read_metrics
from orrery.evaluation.worst import Bad
from orrery.schema import Kind

POINTS = 160
"""Points of a curve, at most about so many."""
DRAWN_CLASSES = 60
"""With more classes there is no matrix, only the most frequent mistakes; lines are drawn of the hardest."""
HARDEST_CLASSES = 8
PICTURE_BYTES, PICTURE_PIXELS = 24 << 10, 160


def class_rows(
    outcome: Outcome, table: Matrix | LabelTable, rankings: list[Ranking]
) -> tuple[ClassFigures, ...]:
    """One line per class or label; with two classes the ranking is that of the second."""
    weights = table.cells.sum(axis=1) if isinstance(table, Matrix) else table.cells[:, 2:].sum(axis=1)
    ranked: list[Ranking | None] = [*rankings]
    if outcome.binary:
        ranked = [None, *rankings]
    columns = zip(
        outcome.labels, weights, table.precisions(), table.recalls(), table.f1s(), ranked, strict=True
    )
    return tuple(
        ClassFigures(
            label=str(label),
            weight=float(weight),
            precision=precision,
            recall=recall,
            f1=f1,
            auc=auc(ranking) if ranking else None,
            average_precision=average_precision(ranking) if ranking else None,
        )
        for label, weight, precision, recall, f1, ranking in columns
    )


def most_confused(outcome: Outcome, matrix: Matrix, most: int = 12) -> tuple[tuple[str, str, float], ...]:
    """The heaviest cells off the diagonal."""
    cells = matrix.cells.copy()
    np.fill_diagonal(cells, 0.0)
    order = np.argsort(-cells, axis=None, kind="stable")[:most]
    pairs = [divmod(int(i), len(cells)) for i in order]
    return tuple(
        (str(outcome.labels[a]), str(outcome.labels[b]), float(cells[a, b]))
        for a, b in pairs
        if cells[a, b] > 0
    )


def thin(x: NDArray[np.float64], y: NDArray[np.float64], most: int = POINTS) -> Points:
    """A curve's points, fewer where they lie close together; the first and the last stay."""
    if len(x) > most:
        spans = [float(np.ptp(v)) or 1.0 for v in (x, y)]
        steps = np.abs(np.diff(x, prepend=x[0])) / spans[0] + np.abs(np.diff(y, prepend=y[0])) / spans[1]
        way = np.cumsum(steps)
        places = np.floor(way / (way[-1] or 1.0) * most)
        keep = np.concatenate([[True], places[1:] != places[:-1]])
        keep[-1] = True
        x, y = x[keep], y[keep]
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True))


def curves(outcome: Outcome, rankings: list[Ranking]) -> dict[str, tuple[Curve, ...]]:
    """ROC, precision-recall and gains of every class that can be ranked; more of them for two classes.

    Of more than DRAWN_CLASSES classes only the HARDEST_CLASSES, those of the least AUC, have lines.
    """
    names = [str(outcome.labels[1])] if outcome.binary else [str(label) for label in outcome.labels]
    ranked = [(name, r) for name, r in zip(names, rankings, strict=True) if r.both]
    if len(names) > DRAWN_CLASSES:
        ranked = sorted(ranked, key=lambda pair: auc(pair[1]) or 0.0)[:HARDEST_CLASSES]
    drawn: dict[str, list[Curve]] = {"roc": [], "pr": [], "gains": []}
    for name, ranking in ranked:
        found, alarms = ranking.found(), ranking.alarms()
        recall, false = found / found[-1], alarms / alarms[-1]
        precision = found / np.maximum(found + alarms, 1e-300)
        picked = gains(ranking) or (recall, recall)
        drawn["roc"].append(Curve(label=name, points=thin(_from0(false), _from0(recall))))
        drawn["pr"].append(
            Curve(label=name, points=thin(_before(recall, 0.0), _before(precision, precision[0])))
        )
        drawn["gains"].append(Curve(label=name, points=thin(*picked)))
    found_curves = {key: tuple(lines) for key, lines in drawn.items() if lines}
    return (
        {**found_curves, **_two_class_curves(rankings[0])}
        if outcome.binary and found_curves
        else found_curves
    )


def _two_class_curves(ranking: Ranking) -> dict[str, tuple[Curve, ...]]:
    """Over the threshold: shares found, precision and F1; and how the scores of both sides are spread."""
    found, alarms = ranking.found(), ranking.alarms()
    recall, false = found / found[-1], alarms / alarms[-1]
    precision = found / np.maximum(found + alarms, 1e-300)
    f1 = 2 * found / (found + alarms + found[-1])
    at = ranking.scores
    ks = {"positive": recall, "negative": false}
    threshold = {"precision": precision, "recall": recall, "f1": f1}
    edges = np.linspace(0, 1, 31)
    spread = {"positive": ranking.positive, "negative": ranking.negative}
    bars = {name: np.histogram(at, edges, weights=w)[0] / w.sum() for name, w in spread.items()}
    middles = (edges[1:] + edges[:-1]) / 2
    return {
        "ks": tuple(Curve(label=n, points=thin(at[::-1], v[::-1])) for n, v in ks.items()),
        "threshold": tuple(Curve(label=n, points=thin(at[::-1], v[::-1])) for n, v in threshold.items()),
        "distribution": tuple(Curve(label=n, points=thin(middles, v)) for n, v in bars.items()),
    }


def _from0(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return _before(values, 0.0)


def _before(values: NDArray[np.float64], first: float) -> NDArray[np.float64]:
    return np.concatenate([[first], values])


def calibrated(found: Reliability) -> Calibrated:
    """The bins as plain values."""
    return Calibrated(
        weight=tuple(found.weight.tolist()),
        said=tuple(found.said.tolist()),
        came_true=tuple(found.came_true.tolist()),
    )


def number_rows(outcome: Outcome, sums: tuple[ErrorSums, ...]) -> tuple[NumberFigures, ...]:
    """One line per number of the outcome."""
    names = [outcome.name] if outcome.kind is Kind.NUMBER else [str(j) for j in range(len(sums))]
    return tuple(
        NumberFigures(label=n, rmse=root(s.mse()), mae=s.mae(), r2=s.r2(), bias=s.bias())
        for n, s in zip(names, sums, strict=True)
    )


def residuals(sample: Sampled, bins: int = 31, points: int = 700) -> Residuals:
    """How errors are spread: a histogram over the middle 99 %, quantiles, and points to draw."""
    truth, predicted, weight = sample.columns
    errors = predicted - truth
    far = float(np.quantile(np.abs(errors), 0.995)) or float(np.abs(errors).max()) or 1.0
    edges = np.linspace(-far, far, bins + 1)
    counts = np.histogram(np.clip(errors, -far, far), edges, weights=weight)[0]
    return Residuals(
        rows=len(truth),
        complete=sample.complete,
        points=tuple((float(a), float(b)) for a, b in zip(truth[:points], predicted[:points], strict=True)),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        quantiles={
            f"{q:g}": _weighted_quantile(np.abs(errors), weight, q) for q in (0.5, 0.8, 0.9, 0.95, 0.99)
        },
    )


def _weighted_quantile(values: NDArray[np.float64], weight: NDArray[np.float64], share: float) -> float:
    """The smallest value that at least this share of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
    return float(values[order][min(at, len(values) - 1)])


def slices(outcome: Outcome, found: Mapping[str, Any]) -> dict[str, tuple[Slice, ...]]:
    """Every column sliced by: its values with their metrics, most rows first."""
    sliced = {}
    for key, values in found.items():
        if key.startswith("slices:"):
            rows = [
                Slice(
                    value=value,
                    rows=inner["rows"],
                    metrics=known(read_metrics(outcome, inner)),
                    exact=_exact(inner),
                )
                for value, inner in values.items()
            ]
            sliced[key.removeprefix("slices:")] = tuple(sorted(rows, key=lambda s: -s.rows))
    return sliced


def _exact(found: Mapping[str, Any]) -> bool:
    return all(ranking.exact for ranking in found.get("RankingTally", ()))


def known(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Those metrics that the rows could tell."""
    return {name: value for name, value in metrics.items() if value is not None}


def bad_row(outcome: Outcome, bad: Bad) -> BadRow:
    """A bad row in words, its pictures small."""
    truth, predicted = _numbers(bad.truth), _numbers(bad.scores)
    likely: tuple[tuple[str, float], ...] = ()
    names = [str(label) for label in outcome.labels]
    if outcome.kind is Kind.CATEGORY:
        order = np.argsort(-np.array(bad.scores), kind="stable")
        picks = [*order[:3].tolist(), *([bad.truth] if bad.truth not in order[:3] else [])]
        truth, predicted = names[bad.truth], names[int(order[0])]
        likely = tuple((names[i], bad.scores[i]) for i in picks)
    elif outcome.kind is Kind.LABELS:
        truth = ", ".join(n for n, t in zip(names, bad.truth, strict=True) if t > 0.5) or "–"
        predicted = ", ".join(n for n, p in zip(names, bad.scores, strict=True) if p > 0.5) or "–"
    columns = {name: _shown(value) for name, value in bad.columns.items()}
    return BadRow(loss=bad.loss, truth=truth, predicted=predicted, likely=likely, columns=columns)


def _numbers(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    digits = 6 if len(values) == 1 else 3
    return ", ".join(f"{v:.{digits}g}" for v in values[:6]) + (" …" if len(values) > 6 else "")


def _shown(value: Any) -> Picture | str | int | float | bool | None:
    """A value as it may stand in JSON and on a page."""
    if isinstance(value, bytes):
        small = _small_picture(value) if picture_type(value) else b""
        return Picture(picture=base64.b64encode(small).decode()) if small else f"{len(value):,} bytes"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= 160 else f"{text[:159]}…"


def _small_picture(data: bytes) -> bytes:
    """The picture itself if small, else made small; empty if it cannot be read."""
    try:
        height, width, channels = image.size(data)
        if len(data) <= PICTURE_BYTES:
            return data
        scale = min(1.0, PICTURE_PIXELS / max(height, width))
        box = {"height": max(round(height * scale), 1), "width": max(round(width * scale), 1)}
        return image.encode_png(image.decode(data, **box, channels=1 if channels == 1 else 3))
    except OrreryError:
        return b""
