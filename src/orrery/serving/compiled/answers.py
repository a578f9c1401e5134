"""From scores to answers, with everything that depends on the target alone made before.

Legend: n rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.estimators.answer import HALF, answer_rows, label_names
from orrery.features.target import Target
from orrery.schema import Kind

Answers = list[dict[str, Any]]


def answerer(target: Target) -> Callable[[NDArray[np.float64]], Answers]:
    """What :func:`~orrery.estimators.answer.answer_rows` does, for one target.

    >>> target = Target(name="kind", kind="category", type="string", labels=("cat", "dog"), width=2)
    >>> answerer(target)(np.array([[0.25, 0.75]]))
    [{'prediction': 'dog', 'probability': 0.75, 'probabilities': {'cat': 0.25, 'dog': 0.75}}]
    """
    names = tuple(label_names(target)) if target.kind in {Kind.CATEGORY, Kind.LABELS} else ()
    if target.kind is Kind.CATEGORY and len(set(names)) == len(names):
        return _classes(tuple(target.labels), names)
    if target.kind is Kind.LABELS:
        return _labels(names)
    return lambda scores: answer_rows(target, scores)


def _classes(labels: tuple[Any, ...], names: tuple[str, ...]) -> Callable[[NDArray[np.float64]], Answers]:
    def answers(scores: NDArray[np.float64]) -> Answers:
        rows = scores.tolist()
        # Of one row a list is quicker; where there are NaNs, NumPy decides.
        found = [row.index(max(row)) for row in rows] if sum(map(sum, rows)) < math.inf else None
        best = scores.argmax(axis=1).tolist() if found is None else found
        return [
            {
                "prediction": labels[b],
                "probability": row[b],
                "probabilities": dict(zip(names, row, strict=True)),
            }
            for b, row in zip(best, rows, strict=True)
        ]

    return answers


def _labels(names: tuple[str, ...]) -> Callable[[NDArray[np.float64]], Answers]:
    def answers(scores: NDArray[np.float64]) -> Answers:
        shares = [dict(zip(names, row, strict=True)) for row in scores.tolist()]
        return [{"prediction": [n for n in names if p[n] >= HALF], "probabilities": p} for p in shares]

    return answers
