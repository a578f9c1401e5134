"""Answers as Spark ML has them: numbers as doubles, probabilities as vectors, which its evaluators read.

==========  ===============================================  =======================================
target      ``prediction``                                   ``probability``, ``rawPrediction``
==========  ===============================================  =======================================
category    a double where the classes are numbers or        vectors: probabilities, and their
            booleans, else the class                         natural logarithms
labels      the list of labels of at least one half          likewise, of every label
number      a double                                         none
vector      a vector                                         none
==========  ===============================================  =======================================

``index`` (where it is asked for) is the class's place in the vectors, as a double. Where all classes are
whole numbers from 0, a class's place is the class itself, as Spark ML means it; else the order of
``signature.target.labels``.

Legend: n rows; scores are [n, width] as a predictor gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.estimators.answer import answer_columns, answer_fields
from orrery.estimators.model import Model
from orrery.estimators.spark_worker import storable, storable_type
from orrery.features.target import Target
from orrery.schema import Kind, parse_type

PREDICTION, PROBABILITY, RAW, INDEX = "prediction", "probability", "rawPrediction", "index"

_MOST_WIDTH = 10_000  # of a vector in which classes stand at their own number
_LEAST = np.finfo(np.float64).tiny

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class MlAnswer:
    """The columns of these meanings, in this order."""

    meanings: tuple[str, ...]

    def __call__(self, model: Model, inputs: RecordBatch) -> list[Any]:
        """From the model's own columns of some rows."""
        target, scores = model.signature.target, model.scores(inputs)
        return [_COLUMNS[meaning](target, scores) for meaning in self.meanings]


def meanings(target: Target) -> tuple[str, ...]:
    """What can be asked for, of a target."""
    if target.kind is Kind.CATEGORY:
        return PREDICTION, PROBABILITY, RAW, INDEX
    return (PREDICTION, PROBABILITY, RAW) if target.kind is Kind.LABELS else (PREDICTION,)


def spark_type(target: Target, meaning: str) -> Any:
    """The type of a column in Spark."""
    from pyspark.ml.linalg import VectorUDT  # optional, and there: a session is
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import DoubleType

    if meaning == INDEX or (meaning == PREDICTION and _is_number(target)):
        return DoubleType()
    if meaning == PREDICTION and target.kind is not Kind.VECTOR:
        return from_arrow_type(storable_type(answer_fields(target)[0].type))
    return VectorUDT()


def places(target: Target) -> NDArray[np.int64]:
    """Where each class stands in the vectors.

    >>> places(Target(name="y", kind="category", type="double", labels=(0.0, 2.0), width=2)).tolist()
    [0, 2]
    """
    labels = target.labels
    whole = [isinstance(v, int | float) and float(v).is_integer() and 0 <= v < _MOST_WIDTH for v in labels]
    if labels and all(whole):
        return np.array([int(label) for label in labels], np.int64)
    return np.arange(target.width)


def _is_number(target: Target) -> bool:
    if target.kind is Kind.NUMBER:
        return True
    kind = parse_type(target.type) if target.kind is Kind.CATEGORY else pa.null()
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _prediction(target: Target, scores: Numbers) -> Any:
    if target.kind is Kind.VECTOR:
        return _vectors(scores)
    answer = answer_columns(target, scores)[0]
    if not _is_number(target):
        return storable(answer)
    whole = answer.cast(pa.uint8()) if pa.types.is_boolean(answer.type) else answer
    return whole.cast(pa.float64(), safe=False)


def _probability(target: Target, scores: Numbers) -> Any:
    return _vectors(_placed(target, scores))


def _raw(target: Target, scores: Numbers) -> Any:
    return _vectors(np.log(np.maximum(_placed(target, scores), _LEAST)))


def _index(target: Target, scores: Numbers) -> Any:
    return pa.array(places(target)[scores.argmax(axis=1)].astype(np.float64))


_COLUMNS = {PREDICTION: _prediction, PROBABILITY: _probability, RAW: _raw, INDEX: _index}


def _placed(target: Target, scores: Numbers) -> Numbers:
    """The scores at the places of their classes."""
    where = places(target)
    placed = np.zeros((len(scores), int(where.max()) + 1))
    placed[:, where] = scores
    return placed


def _vectors(rows: Numbers) -> Any:
    """Dense vectors, as Spark ML stores them."""
    count, width = rows.shape
    flat = pa.array(np.ascontiguousarray(rows).ravel())
    values = pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * width, pa.int32()), flat)
    dense = pa.array(np.ones(count, np.int8))
    nothing = pa.nulls(count, pa.int32()), pa.nulls(count, pa.list_(pa.int32()))
    return pa.StructArray.from_arrays([dense, *nothing, values], names=["type", "size", "indices", "values"])
