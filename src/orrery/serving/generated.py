"""Rows that nobody sent: made from what a model has learnt, to prove that two ways of answering are one.

They hold known and unseen values, missing ones and extremes, mixed at random from the seed: the same model
has the same rows each time.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.estimators.model import Model
from orrery.features.category import CategoryTransform
from orrery.features.feature import Transform
from orrery.features.target_mean import TargetMeanTransform
from orrery.features.tfidf import TfidfTransform
from orrery.features.tokens import TokensTransform
from orrery.schema import Field, Kind

SEED = 0
_KNOWN = 200  # values of a vocabulary that are used
_DRAWN = 200  # numbers, dates and texts that are drawn, per column
_MISSING = 0.05  # of the values of a column
_EXTREMES = (0.0, -0.0, 1.0, -1.0, 5e-324, 1e-300, 1e15, -1e15, sys.float_info.max, -sys.float_info.max)
_STRANGE = ("", " ", "never seen before", "北京", "É\u0301", "x" * 300, "null", "1.0", "true", "\u0000")
WRONG: tuple[Any, ...] = (
    "not of this kind", "1e5", "nan", "2020-02-30", 10**400, 2**63, float("inf"), float("nan"), True,
    [1.0, "a", None], [], {"a": 1}, {}, b"\x00\xff", [[1.0, 2.0], [3.0]],
)  # fmt: skip
"""Values of kinds that a column may not have; what a model says of them, its runner says too."""


def generated_batches(model: Model, rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """So many rows of a model's input columns, in batches of ``size``. Needs the model's example rows."""
    draw = np.random.default_rng(SEED)
    example = model.example
    if example is None or len(example) == 0:
        return
    pools = []
    for field in model.signature.whole.each():
        column = example.column(field.name).combine_chunks()
        pools.append(_pool(field, column, _words(model, field.name), draw))
    names = list(model.signature.whole.names)
    for start in range(0, rows, size):
        count = min(size, rows - start)
        yield pa.RecordBatch.from_arrays([_taken(pool, count, draw) for pool in pools], names=names)


def _taken(pool: Any, count: int, draw: np.random.Generator) -> Any:
    places = draw.integers(0, len(pool), count)
    gone = draw.random(count) < _MISSING
    return pool.take(pa.array(places, pa.int64(), mask=gone))


def _pool(field: Field, kept: Any, words: Sequence[str], draw: np.random.Generator) -> Any:
    """The values that a column may take, in its own type: those of the example, and made ones that fit."""
    if isinstance(kept.type, pa.ExtensionType):
        return kept
    made = [*kept.to_pylist(), *_made(field, kept, words, draw)]
    pieces = [kept]
    try:
        pieces.append(pa.array(made, kept.type))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pieces += [found for value in made if (found := _fitting(value, kept.type)) is not None]
    return pa.concat_arrays(pieces)


def _fitting(value: object, kind: Any) -> Any:
    try:
        return pa.array([value], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _made(field: Field, kept: Any, words: Sequence[str], draw: np.random.Generator) -> list[Any]:
    """Values that were drawn, for the kinds of which any value can be read."""
    if pa.types.is_boolean(kept.type):
        return [True, False]
    if pa.types.is_integer(kept.type) or pa.types.is_floating(kept.type):
        return _numbers(kept, draw)
    if pa.types.is_temporal(kept.type) and not pa.types.is_time(kept.type):
        return _moments(kept.type, draw)
    if field.kind is Kind.TEXT:
        return _texts([*words, *_STRANGE], draw)
    if pa.types.is_string(kept.type) or pa.types.is_large_string(kept.type):
        return [*words, *_STRANGE] if field.kind is Kind.CATEGORY else []
    if field.kind is Kind.VECTOR:
        return _vectors(kept, draw)
    return []


def _numbers(kept: Any, draw: np.random.Generator) -> list[Any]:
    """Numbers about those of the example, and extremes."""
    seen = kept.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    seen = seen[np.isfinite(seen)]
    middle, spread = (float(np.median(seen)), float(np.ptp(seen))) if seen.size else (0.0, 1.0)
    with np.errstate(all="ignore"):
        drawn = draw.normal(middle, min(spread, 1e300) + 1.0, _DRAWN)
    if pa.types.is_floating(kept.type):
        return [*drawn.tolist(), *_EXTREMES, float("inf"), float("-inf"), float("nan")]
    bounds = np.iinfo(kept.type.to_pandas_dtype())
    whole = np.clip(drawn, bounds.min / 2, bounds.max / 2).astype(np.int64).tolist()
    return [*(max(v, bounds.min) for v in whole), bounds.min, bounds.max, 0, 1]


def _moments(kind: Any, draw: np.random.Generator) -> list[Any]:
    """Dates of two centuries, to the microsecond, and the turns of years and leap years."""
    first = dt.datetime(1900, 1, 1)
    seconds = draw.integers(0, 200 * 365 * 86_400, _DRAWN).tolist()
    found = [first + dt.timedelta(seconds=s, microseconds=s % 1_000_003 % 1_000_000) for s in seconds]
    found += [
        dt.datetime(2000, 2, 29, 23, 59, 59, 999_999),
        dt.datetime(1970, 1, 1),
        dt.datetime(1969, 12, 31),
    ]
    if pa.types.is_date(kind):
        return [moment.date() for moment in found]
    zone = dt.UTC if pa.types.is_timestamp(kind) and kind.tz else None
    coarse = pa.types.is_timestamp(kind) and kind.unit in {"s", "ms"}
    return [m.replace(tzinfo=zone, microsecond=0 if coarse else m.microsecond) for m in found]


def _texts(words: Sequence[str], draw: np.random.Generator) -> list[str]:
    counts = draw.integers(0, 30, _DRAWN).tolist()
    return ["", *(" ".join(words[i] for i in draw.integers(0, len(words), n).tolist()) for n in counts)]


def _vectors(kept: Any, draw: np.random.Generator) -> list[Any]:
    """The example's vectors, stretched and with gaps."""
    found = []
    for vector in kept.drop_null().to_pylist():
        factor = float(draw.normal())
        found.append([None if v is None or draw.random() < 0.01 else v * factor for v in vector])
    return found


def _words(model: Model, column: str) -> list[str]:
    """Values of a column that the features know, most frequent first."""
    found: dict[str, None] = {}
    for part in model.plan.parts:
        if column in part.transform.inputs:
            found.update(dict.fromkeys(_known(part.transform, part.transform.inputs.index(column))))
    return list(found)


def _known(transform: Transform, place: int) -> Sequence[str]:
    if isinstance(transform, CategoryTransform | TfidfTransform | TokensTransform):
        return transform.words[place][:_KNOWN]
    return list(transform.sums[place].words[:_KNOWN]) if isinstance(transform, TargetMeanTransform) else ()
