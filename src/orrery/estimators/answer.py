"""From scores to answers: the columns that a prediction adds to its row.

==========  ===========================================  ==============================
target      ``prediction``                               beside it
==========  ===========================================  ==============================
category    the likeliest class, in the target's type    ``probability`` of it, and
                                                         ``probabilities`` of every class
labels      the list of labels of at least one half      ``probabilities`` of every label
number      a double                                     nothing
vector      a list of doubles                            nothing
==========  ===========================================  ==============================

Legend: n rows; scores are [n, width] as a predictor gives them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.features.forms import as_text
from orrery.features.target import Target
from orrery.schema import Kind, parse_type

HALF = 0.5
"""A label is given when its probability is at least this."""


def answer_fields(target: Target) -> list[Any]:
    """The Arrow fields of the answer.

    >>> [f.name for f in answer_fields(Target(name="price", kind="number", type="int64"))]
    ['prediction']
    """
    shares = pa.field("probabilities", pa.struct([(name, pa.float64()) for name in label_names(target)]))
    if target.kind is Kind.CATEGORY:
        value = pa.field("prediction", parse_type(target.type))
        return [value, pa.field("probability", pa.float64()), shares]
    if target.kind is Kind.LABELS:
        return [pa.field("prediction", pa.list_(pa.string())), shares]
    if target.kind is Kind.VECTOR:
        return [pa.field("prediction", pa.list_(pa.float64(), target.width))]
    return [pa.field("prediction", pa.float64())]


def label_names(target: Target) -> list[str]:
    """How the classes or labels are spelt as names."""
    return [as_text(label) for label in target.labels]


def answer_columns(target: Target, scores: NDArray[np.float64]) -> list[Any]:
    """The answer as Arrow arrays, in the order of :func:`answer_fields`."""
    if target.kind is Kind.NUMBER:
        return [pa.array(scores[:, 0])]
    if target.kind is Kind.VECTOR:
        return [pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), target.width)]
    shares = pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(scores[:, j])) for j in range(scores.shape[1])],
        fields=list(answer_fields(target)[-1].type),
    )
    if target.kind is Kind.LABELS:
        return [_chosen_labels(target, scores), shares]
    best = scores.argmax(axis=1)
    classes = pa.array(target.labels, parse_type(target.type))
    return [classes.take(pa.array(best)), pa.array(scores[np.arange(len(best)), best]), shares]


def _chosen_labels(target: Target, scores: NDArray[np.float64]) -> Any:
    chosen = scores >= HALF
    offsets = np.concatenate([[0], chosen.sum(axis=1).cumsum()])
    names = pa.array(label_names(target), pa.string())
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), names.take(pa.array(chosen.nonzero()[1], pa.int64()))
    )


def answer_rows(target: Target, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The answer as plain Python values, a dictionary per row: quick for one row.

    >>> target = Target(name="kind", kind="category", type="string", labels=("cat", "dog"), width=2)
    >>> answer_rows(target, np.array([[0.25, 0.75]]))
    [{'prediction': 'dog', 'probability': 0.75, 'probabilities': {'cat': 0.25, 'dog': 0.75}}]
    """
    if target.kind is Kind.NUMBER:
        return [{"prediction": value} for value in scores[:, 0].tolist()]
    if target.kind is Kind.VECTOR:
        return [{"prediction": row} for row in scores.tolist()]
    names = label_names(target)
    shares = [dict(zip(names, row, strict=True)) for row in scores.tolist()]
    if target.kind is Kind.LABELS:
        return [{"prediction": [n for n in names if p[n] >= HALF], "probabilities": p} for p in shares]
    best = scores.argmax(axis=1).tolist()
    return [
        {"prediction": target.labels[b], "probability": p[names[b]], "probabilities": p}
        for b, p in zip(best, shares, strict=True)
    ]
