"""What the end of a file says of its parts, and by which of them a condition rules a part out."""

from __future__ import annotations

import datetime as dt
import io
import operator
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from orrery.data import conditions
from orrery.data.files import State


class Range(NamedTuple):
    """The least and greatest value of a column in a part; None where that is not known."""

    least: Any
    most: Any
    nulls: int | None
    rows: int


Bounds = Callable[[str], Range | None]
"""What is known of a column, by its name."""


class Footers:
    """The ends of files that were read lately, up to a size in bytes."""

    def __init__(self, most_bytes: int = 64 << 20) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[State | None, Any]] = OrderedDict()
        self._size = 0

    def get(self, path: str, version: State | None) -> Any:
        """The end of a file, if it is kept and of this version; of any version, where none is given."""
        kept = self._kept.get(path)
        if kept is None or (version is not None and (kept[0] is None or not version.same(kept[0]))):
            return None
        self._kept.move_to_end(path)
        return kept[1]

    def keep(self, path: str, version: State | None, end: Any) -> None:
        """Keep the end of a file, and let go of those not asked for the longest."""
        if path in self._kept:
            self._size -= self._kept.pop(path)[1].serialized_size
        self._kept[path] = (version, end)
        self._size += end.serialized_size
        while self._size > self.most_bytes and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1][1].serialized_size


class _ReachedError(OSError):
    """The file would be read now: so far its end was sound."""


class _Nothing(io.RawIOBase):
    """A file of some size that is never read."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.place = 0

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes, as far as anybody asks."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where to read next."""
        self.place = offset if whence == 0 else self.size_bytes
        return self.place

    def tell(self) -> int:
        """Where the file stands."""
        return self.place

    def read(self, size: int = -1) -> bytes:
        """Nothing. Raises OSError."""
        raise _ReachedError


def checked(end: Any, size_bytes: int) -> Any:
    """The end of a Parquet file, if all that it says of its columns can be looked at. Raises OSError.

    Arrow ends the program where a column chunk that is broken is asked about; a reader, which has to look at
    every one before it reads, raises instead. Nothing is read.
    """
    with suppress(_ReachedError, NotImplementedError):
        nothing: Any = _Nothing(size_bytes)
        reader = pq.ParquetFile(nothing, metadata=end, pre_buffer=True)
        next(reader.iter_batches(1, list(range(end.num_row_groups))), None)
    return end


def leaves(schema: Any) -> dict[str, list[int]]:
    """Where the values of each column lie in a Parquet file: one place, or one for each part of a nest."""
    found: dict[str, list[int]] = {}
    for i in range(len(schema)):
        path = schema.column(i).path
        found.setdefault(path, []).append(i)
        root = path.partition(".")[0]
        if root != path:
            found.setdefault(root, []).append(i)
    return found


def excludes(condition: conditions.Condition, bounds: Bounds, schema: Any) -> bool:
    """Whether what is known of a part rules out every row of it."""
    return any(_false(part.tree, bounds, schema) for part in condition.parts())


def can_exclude(tree: Any, schema: Any) -> bool:
    """Whether a part of a condition is one that the ends of files are asked about."""
    return _false(tree, lambda name: None, schema) is not None


_COMPARED: dict[Any, Callable[[Any, Range], bool]] = {
    exp.EQ: lambda value, found: value < found.least or value > found.most,
    exp.GT: lambda value, found: found.most <= value,
    exp.GTE: lambda value, found: found.most < value,
    exp.LT: lambda value, found: found.least >= value,
    exp.LTE: lambda value, found: found.least > value,
}
"""A comparison -> whether it is false for every value of a range."""


def _false(tree: Any, bounds: Bounds, schema: Any) -> bool | None:
    """Whether a comparison is false, or null, for every row; None for what cannot be told from bounds."""
    if isinstance(tree, exp.Paren):
        return _false(tree.this, bounds, schema)
    if isinstance(tree, exp.Not) and isinstance(inner := tree.this, exp.Is):
        return _missing(inner, bounds, all_of_them=True)
    if isinstance(tree, exp.Is):
        return _missing(tree, bounds, all_of_them=False)
    if isinstance(tree, exp.Between):
        low, high = tree.args["low"], tree.args["high"]
        ends: list[Any] = [
            exp.GTE(this=tree.this, expression=low),
            exp.LTE(this=tree.this, expression=high),
        ]
        told = [_false(end, bounds, schema) for end in ends]
        return None if None in told and True not in told else any(told)
    if isinstance(tree, exp.In) and tree.expressions:
        told = [_false(exp.EQ(this=tree.this, expression=one), bounds, schema) for one in tree.expressions]
        return None if None in told else all(told)
    if isinstance(tree, exp.Like) and not tree.args.get("negate"):
        return _begun(tree, bounds, schema)
    return _compared(tree, bounds, schema)


def _begun(tree: Any, bounds: Bounds, schema: Any) -> bool | None:
    """Of ``like 'abc%'`` whether no text of a range begins so."""
    if not isinstance(tree.this, exp.Column) or not isinstance(tree.expression, exp.Literal):
        return None
    start = re.split("[%_]", str(tree.expression.this), maxsplit=1)[0]
    if not start or literal(tree.expression, schema.field(tree.this.name).type) is None:
        return None
    found = bounds(tree.this.name)
    if found is None or not isinstance(found.least, str):
        return found is not None and found.nulls == found.rows
    return bool(found.most < start or found.least[: len(start)] > start)


def _missing(tree: Any, bounds: Bounds, all_of_them: bool) -> bool | None:
    """Of ``is null`` whether no value is missing; of its opposite, whether all are."""
    if not isinstance(tree.this, exp.Column) or not isinstance(tree.expression, exp.Null):
        return None
    found = bounds(tree.this.name)
    return found is not None and found.nulls == (found.rows if all_of_them else 0)


def _compared(tree: Any, bounds: Bounds, schema: Any) -> bool | None:
    """One comparison of a column with a literal of its sort."""
    if type(tree) not in _COMPARED or not isinstance(tree.this, exp.Column):
        return None
    kind = schema.field(tree.this.name).type
    value = literal(tree.expression, kind)
    # NaN is greater than every number to SQL, and is not among the greatest that a footer tells.
    if value is None or (isinstance(value, float) and isinstance(tree, (exp.GT, exp.GTE))):
        return None
    found = bounds(tree.this.name)
    if found is not None and found.nulls == found.rows:
        return True
    if found is None or found.least is None or not isinstance(found.least, _SORTS[type(value)]):
        return False
    return _COMPARED[type(tree)](value, found)


_SORTS: dict[type, tuple[type, ...]] = {
    int: (int,),
    float: (float,),
    str: (str,),
    dt.date: (dt.date,),
    dt.datetime: (dt.datetime,),
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")


def literal(tree: Any, kind: Any) -> Any:
    """The value of a literal, where it is of the column's own sort; None for all others."""
    sign: Callable[[Any], Any] = operator.pos
    if isinstance(tree, exp.Neg):
        tree, sign = tree.this, operator.neg
    if not isinstance(tree, exp.Literal):
        return None
    text = str(tree.this)
    if tree.is_string:
        return None if sign is operator.neg else _text_literal(text, kind)
    if pa.types.is_integer(kind) and text.isdigit() and int(text) < 2**63:
        return sign(int(text))
    return sign(float(text)) if pa.types.is_float64(kind) else None


def _text_literal(text: str, kind: Any) -> Any:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    try:
        if pa.types.is_date32(kind) and _DAY.fullmatch(text):
            return dt.date.fromisoformat(text)
        plain = pa.types.is_timestamp(kind) and kind.tz is None and kind.unit in ("ms", "us")
        if plain and (_DAY.fullmatch(text) or _TIME.fullmatch(text)):
            return dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return None
