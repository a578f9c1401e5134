"""One column's profile: what is counted in a batch, merged, and finished."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import ExactSum
from orrery.data.codecs import image
from orrery.data.instants import dates
from orrery.data.rowhash import Hashes, column_hashes
from orrery.errors import BadRowError
from orrery.spec import Spec

Floats = NDArray[np.float64]

_NO_SIZE = (0, 0, 0)
_SMALLEST = 1024  # hashes kept; distinct values are exact below, within 1 / sqrt(1024) = 3 % above
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 20
_TOP = 10
_VALUE_BYTES = 100  # of a distinct value, on average; a column of longer ones keeps fewer
_MIXED = -1


class Histogram(Spec):
    """Bins of equal width: ``counts[i]`` values lie in ``[edges[i], edges[i + 1])``, the last bin closed."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class ColumnProfile(Spec):
    """What one column looks like. Numbers of a date or time are seconds since 1970 (UTC); see ``dates``."""

    name: str
    type: str
    rows: int
    missing: int
    """Values that are null or NaN."""
    distinct: int
    distinct_exact: bool = True
    minimum: float | None = None
    """Of finite numbers, like ``maximum``, ``mean`` and ``std``."""
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    """The deviation of the sample: divided by n - 1."""
    quantiles: dict[str, float] = Field(default_factory=dict)
    histogram: Histogram | None = None
    dates: dict[str, str] = Field(default_factory=dict)
    """Of dates and times: ``minimum``, ``mean``, ``median`` and ``maximum`` as ISO 8601."""
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent values as text, with their counts."""
    words: float | None = None
    """Words per text, on average."""
    pictures: float | None = None
    """The share of present binary values that begin as pictures do."""
    sizes: tuple[tuple[int, int, int, int], ...] = ()
    """Of pictures: the most frequent (height, width, channels, count)."""
    width: int | None = None
    """Of lists: the length, where all have one."""


@dataclass(frozen=True)
class ColumnSummary:
    """What is known of a column after some rows."""

    rows: int = 0
    missing: int = 0
    low: float = math.inf
    high: float = -math.inf
    finite: int = 0
    total: ExactSum = field(default_factory=ExactSum)
    squares: ExactSum = field(default_factory=ExactSum)
    counts: Mapping[Any, int] | None = field(default_factory=dict)
    """How often each value occurs, of bytes and nested values each hash; None once there are too many."""
    smallest: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    """The least distinct hashes (Bar-Yossef et al. 2002, algorithm 2)."""
    buckets: Mapping[int, int] = field(default_factory=dict)
    """How many finite numbers lie in each bucket, once ``counts`` is None."""
    words: int = 0
    pictures: int = 0
    sizes: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    width: int | None = None


def summarize(column: Any, limit: int) -> ColumnSummary:
    """Of one column of a batch, which keeps up to ``limit`` distinct values."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    present = column.drop_null()
    if pa.types.is_floating(column.type) and len(present):
        present = present.filter(pc.invert(pc.is_nan(present)))
    known: dict[str, Any] = {"rows": len(column), "missing": len(column) - len(present)}
    if not len(present):
        return ColumnSummary(**known)
    distinct, known["counts"] = _counted(present, limit)
    hashes = distinct.to_numpy() if _is_hashed(column.type) else column_hashes(distinct)
    known["smallest"] = _smallest(hashes)
    if _is_number(column.type):
        known |= _of_numbers(as_numbers(present), known["counts"] is None)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        known["words"] = int(pc.sum(pc.count_substring_regex(present, r"\S+")).as_py())
    elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        known |= _of_pictures(present)
    elif _is_list(column.type):
        lengths = pc.list_value_length(present).to_numpy(zero_copy_only=False)
        known["width"] = int(lengths[0]) if (lengths == lengths[0]).all() else _MIXED
    return ColumnSummary(**known)


def _smallest(hashes: Hashes) -> Hashes:
    """The least distinct hashes, without sorting all of them."""
    if len(hashes) > 4 * _SMALLEST:
        least = np.unique(np.partition(hashes, 2 * _SMALLEST)[: 2 * _SMALLEST])
        if len(least) >= _SMALLEST:
            return least[:_SMALLEST]
    return np.unique(hashes)[:_SMALLEST]


def _is_hashed(kind: Any) -> bool:
    """Whether values are counted by their hashes: bytes may be long, and nested values have no order."""
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(
        plain or pa.types.is_decimal(kind) or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind))
    )


def as_numbers(column: Any) -> Floats:
    """Values that are not missing as doubles [n]; dates and times in seconds."""
    kind: Any = column.type
    scale = 1.0
    timed = bool(pa.types.is_temporal(kind))
    if timed and pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s")).cast(pa.int64())
    elif timed:
        scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[str(kind.unit)]
        column = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values / scale if scale != 1.0 else values, np.float64)


def _counted(present: Any, limit: int) -> tuple[Any, dict[Any, int] | None]:
    """The distinct values of a batch, and how often each occurs unless they are too many."""
    values: Any = pa.array(column_hashes(present)) if _is_hashed(present.type) else present
    try:
        pairs: Any = pc.value_counts(values)
    except pa.ArrowNotImplementedError:
        return present, None
    distinct, numbers = pairs.field("values"), pairs.field("counts")
    if len(distinct) > limit + 1:  # one more: zero may stand there twice, with both signs
        return distinct, None
    found: dict[Any, int] = {}
    for value, n in zip(distinct.to_pylist(), numbers.to_pylist(), strict=True):
        found[value] = found.get(value, 0) + n  # 0.0 and -0.0 are one to Python
    return distinct, None if _too_many(found, limit) else found


def _of_numbers(values: Floats, many: bool) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {}
    known: dict[str, Any] = {"low": float(finite.min()), "high": float(finite.max()), "finite": len(finite)}
    known["total"] = ExactSum.of(finite)
    known["squares"] = _squares(finite)
    if many:
        known["buckets"] = _bucketed(finite, np.ones(len(finite), np.int64))
    return known


def _squares(values: Floats) -> ExactSum:
    """The exact sum of squares: each square as a rounded part and its error (Dekker 1971)."""
    values = values[np.abs(values) < 1e150]
    split = values * 134217729.0
    high = split - (split - values)
    low = values - high
    square = values * values
    error = ((high * high - square) + 2.0 * high * low) + low * low
    return ExactSum.of(square) + ExactSum.of(error)


_OFFSET = 1100 * 128


def _bucketed(values: Floats, counts: NDArray[np.int64]) -> dict[int, int]:
    """Buckets of relative width 1/128 or less, found without rounding, so that any cut gives the same."""
    mantissa, exponent = np.frexp(np.abs(values))
    code = exponent.astype(np.int64) * 128 + np.floor((mantissa - 0.5) * 256).astype(np.int64) + _OFFSET
    code = np.where(values == 0, 0, np.where(values < 0, -code, code))
    codes, place = np.unique(code, return_inverse=True)
    sums = np.bincount(place.ravel(), weights=counts).astype(np.int64)
    return dict(zip(codes.tolist(), sums.tolist(), strict=True))


def _middle(codes: NDArray[np.int64]) -> Floats:
    """The middle of each bucket."""
    exponent, part = np.divmod(np.abs(codes) - _OFFSET, 128)
    size = np.ldexp(0.5 + (part + 0.5) / 256, exponent)
    return np.where(codes == 0, 0.0, np.sign(codes) * size)


def _of_pictures(present: Any) -> dict[str, Any]:
    pictures = 0
    sizes: dict[tuple[int, int, int], int] = {}
    for value in present:
        data = value.as_buffer()
        if not image.is_picture(memoryview(data)[:32].tobytes()):
            continue
        pictures += 1
        try:
            size = image.size(data.to_pybytes())
        except BadRowError:  # counted as a picture; whoever decodes it will say what is wrong
            continue
        sizes[size] = sizes.get(size, 0) + 1
    return {"pictures": pictures, "sizes": sizes}


def merge(left: ColumnSummary, right: ColumnSummary, kind: Any, limit: int) -> ColumnSummary:
    """Of the rows of both; ``kind`` is the column's Arrow type."""
    if not left.rows or not right.rows:
        return left if left.rows else right
    counts = _added(left.counts, right.counts)
    if counts is not None and _too_many(counts, limit):
        counts = None
    buckets: dict[int, int] = {}
    if counts is None:
        buckets = _added(_buckets_of(left, kind), _buckets_of(right, kind)) or {}
    widths = {w for w in (left.width, right.width) if w is not None}
    return ColumnSummary(
        rows=left.rows + right.rows,
        missing=left.missing + right.missing,
        low=min(left.low, right.low),
        high=max(left.high, right.high),
        finite=left.finite + right.finite,
        total=left.total + right.total,
        squares=left.squares + right.squares,
        counts=counts,
        smallest=np.union1d(left.smallest, right.smallest)[:_SMALLEST],
        buckets=buckets,
        words=left.words + right.words,
        pictures=left.pictures + right.pictures,
        sizes=_bounded(_added(left.sizes, right.sizes) or {}, limit),
        width=None if not widths else widths.pop() if len(widths) == 1 else _MIXED,
    )


def _added(left: Mapping[Any, int] | None, right: Mapping[Any, int] | None) -> dict[Any, int] | None:
    if left is None or right is None:
        return None
    large, small = (left, right) if len(left) >= len(right) else (right, left)
    total = dict(large)
    for key, n in small.items():
        total[key] = total.get(key, 0) + n
    return total


def _bounded(sizes: dict[tuple[int, int, int], int], limit: int) -> dict[tuple[int, int, int], int]:
    """Sizes of pictures, as long as they are few; else how many pictures there are, under no size."""
    many = len(sizes) > limit or _NO_SIZE in sizes
    return {_NO_SIZE: sum(sizes.values())} if many else sizes


def _too_many(counts: Mapping[Any, int], limit: int) -> bool:
    if len(counts) > limit:
        return True
    return isinstance(next(iter(counts), None), str) and sum(map(len, counts)) > limit * _VALUE_BYTES


def _numbers_of(counts: Mapping[Any, int], kind: Any) -> tuple[Floats, NDArray[np.int64]]:
    """The finite distinct values, sorted, and how often each occurs."""
    values = as_numbers(pa.array(list(counts), kind))
    numbers = np.fromiter(counts.values(), np.int64, len(counts))
    order = np.argsort(values, kind="stable")
    values, numbers = values[order], numbers[order]
    keep = np.isfinite(values)
    return values[keep], numbers[keep]


def _buckets_of(summary: ColumnSummary, kind: Any) -> Mapping[int, int]:
    if summary.counts and _is_number(kind):
        return _bucketed(*_numbers_of(summary.counts, kind))
    return summary.buckets


def finish(summary: ColumnSummary, name: str, kind: Any) -> ColumnProfile:
    """The profile of a column of this name and Arrow type."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    present = summary.rows - summary.missing
    exact = summary.counts is not None or len(summary.smallest) < _SMALLEST
    known: dict[str, Any] = {}
    if _is_number(plain) and summary.finite:
        known = _finished_numbers(summary, plain)
    elif pa.types.is_string(plain) or pa.types.is_large_string(plain):
        known["words"] = summary.words / present if present else None
    elif pa.types.is_binary(plain) or pa.types.is_large_binary(plain):
        known["pictures"] = summary.pictures / present if present else None
        known_sizes = {size: n for size, n in summary.sizes.items() if size != _NO_SIZE}
        ranked = sorted(known_sizes.items(), key=lambda item: (-item[1], item[0]))
        known["sizes"] = tuple((*size, n) for size, n in ranked[:_TOP])
    return ColumnProfile(
        name=name,
        type=str(kind),
        rows=summary.rows,
        missing=summary.missing,
        distinct=_distinct(summary),
        distinct_exact=exact,
        top=_top(summary.counts or {}) if not _is_hashed(plain) else (),
        width=summary.width if summary.width != _MIXED else None,
        **known,
    )


def _distinct(summary: ColumnSummary) -> int:
    if summary.counts is not None and summary.counts:
        return len(summary.counts)
    if len(summary.smallest) < _SMALLEST:
        return len(summary.smallest)
    return round((_SMALLEST - 1) / (float(summary.smallest[-1]) / 2.0**64))


def _top(counts: Mapping[Any, int]) -> tuple[tuple[str, int], ...]:
    ranked = sorted(((_text(value), n) for value, n in counts.items()), key=lambda item: (-item[1], item[0]))
    return tuple(ranked[:_TOP])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)


def _finished_numbers(summary: ColumnSummary, kind: Any) -> dict[str, Any]:
    """Everything that only numbers have."""
    n = summary.finite
    known: dict[str, Any] = {"minimum": summary.low, "maximum": summary.high}
    known["mean"] = float(Fraction(summary.total.scaled, n << (1074 + 53)))
    if n > 1 and max(abs(summary.low), abs(summary.high)) < 1e150:
        unit = 1 << (1074 + 53)
        total, squares = Fraction(summary.total.scaled, unit), Fraction(summary.squares.scaled, unit)
        known["std"] = math.sqrt(max(0.0, float((squares - total * total / n) / (n - 1))))
    if summary.counts is not None:
        values, counts = _numbers_of(summary.counts, kind)
    else:
        codes = np.array(sorted(summary.buckets), np.int64)
        counts = np.array([summary.buckets[int(c)] for c in codes], np.int64)
        values = np.clip(_middle(codes), summary.low, summary.high)
    figures = {"minimum": summary.low, "mean": known["mean"], "maximum": summary.high}
    known["dates"] = dates({**figures, "median": _quantile(values, counts, 0.5)}, kind)
    known["quantiles"] = {str(q): _quantile(values, counts, q) for q in _QUANTILES}
    known["histogram"] = _histogram(values, counts, summary.low, summary.high)
    return known


def _quantile(values: Floats, counts: NDArray[np.int64], q: float) -> float:
    """Between the two nearest ranks, linearly (Hyndman and Fan 1996, type 7)."""
    ends = np.cumsum(counts)
    place = (int(ends[-1]) - 1) * q
    below = float(values[np.searchsorted(ends, math.floor(place), side="right")])
    above = float(values[np.searchsorted(ends, math.ceil(place), side="right")])
    return below if above == below else below + (above - below) * (place - math.floor(place))


def _histogram(values: Floats, counts: NDArray[np.int64], low: float, high: float) -> Histogram:
    span = high / 2 - low / 2  # halved: the whole may be more than a double holds
    bins = _BINS if span > 0 else 1
    edges = np.array([low + 2 * span * (i / bins) for i in range(bins)] + [high])
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    sums = np.bincount(place, weights=counts, minlength=bins)
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(int(n) for n in sums))
