"""Parts of a MongoDB collection: ranges of ``_id`` of about equal rows, found on its index.

MongoDB compares values of one kind only: ``_id > 5`` finds no text. So each range lies within one kind, and
a collection whose ``_id`` are of several has ranges for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orrery.data.sources.mongodb_collection import count
from orrery.data.sources.mongodb_filters import Filter, both
from orrery.extras import require

KINDS = ("null", "number", "string", "object", "binData", "objectId", "bool", "date", "timestamp")
"""The kinds that an ``_id`` can have, as MongoDB sorts them (its manual, "Comparison/Sort Order")."""


@dataclass(frozen=True)
class Range:
    """From one ``_id`` to before another, of one kind; without ends and a kind, all that there are.

    >>> Range("number", 3, 7).filter(), Range("number", 3, 7).after(5)
    ({'_id': {'$gte': 3, '$lt': 7}}, {'_id': {'$gt': 5, '$lt': 7}})
    """

    kind: str | None = None
    low: Any = None
    high: Any = None
    rows: int | None = None

    def filter(self) -> Filter:
        """What finds its documents."""
        if self.low is None and self.high is None:
            return {"_id": {"$type": self.kind}} if self.kind else {}
        return self._between({} if self.low is None else {"$gte": self.low})

    def after(self, last: Any) -> Filter:
        """What finds its documents that follow one of them."""
        nan = isinstance(last, float) and math.isnan(last)  # sorted first, and nothing is greater than it
        rest = self._between({"$gte": float("-inf")} if nan else {"$gt": last})
        later = [] if self.kind else KINDS[KINDS.index(str(kind_of(last))) + 1 :]
        return {"$or": [rest, {"_id": {"$type": [*later, "maxKey"]}}]} if later else rest

    def _between(self, low: Filter) -> Filter:
        if self.high is None:
            return {"_id": low}
        found: Filter = {"_id": {**low, "$lt": self.high}}
        if not low and self.kind == "number":
            return {"$or": [found, {"_id": float("nan")}]}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the ends as extended JSON."""
        text = require("bson.json_util", "Reading MongoDB")
        ends = {name: text.dumps(end, json_options=text.CANONICAL_JSON_OPTIONS) for name, end in self._ends()}
        return {**({"kind": self.kind} if self.kind else {}), **ends}

    def _ends(self) -> Iterator[tuple[str, Any]]:
        return ((name, end) for name, end in (("low", self.low), ("high", self.high)) if end is not None)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Range:
        """The range again."""
        loads = require("bson.json_util", "Reading MongoDB").loads
        ends = {name: loads(plain[name]) for name in ("low", "high") if name in plain}
        return cls(plain.get("kind"), **ends)


def kind_of(value: Any) -> str | None:
    """The kind of an ``_id``; None for what nearly nobody has."""
    bson = require("bson", "Reading MongoDB")
    table: dict[type, str] = {
        type(None): "null",
        bool: "bool",
        **dict.fromkeys((int, float, bson.int64.Int64, bson.decimal128.Decimal128), "number"),
        str: "string",
        dict: "object",
        **dict.fromkeys((bytes, bson.binary.Binary), "binData"),
        bson.ObjectId: "objectId",
        bson.timestamp.Timestamp: "timestamp",
    }
    name = type(value).__name__
    return table.get(type(value)) or ("date" if name in ("datetime", "DatetimeMS") else None)


def ranges(collection: Any, only: Filter, rows: int, parts: int) -> list[Range]:
    """All documents, cut in about ``parts``; each document is in exactly one range.

    ``only`` is a filter that holds for all; ``rows`` is how many documents there are.
    """
    kinds = _kinds(collection, only) if parts > 1 else [None]
    if None in kinds:
        return [Range(rows=rows)]
    step = -(-rows // parts)
    found = [part for kind in kinds for part in _cut(collection, only, kind, step)]
    if len(kinds) > 1 and sum(part.rows or 0 for part in found) != rows:
        return [Range(rows=rows)]  # an _id of a kind that has no range
    return found


def _kinds(collection: Any, only: Filter) -> list[str | None]:
    """The kinds of all ``_id``, in their order: what lies between the first and the last."""
    ends = [collection.find_one(only, {"_id": 1}, sort=[("_id", way)]) for way in (1, -1)]
    if ends[0] is None:
        return [None]
    first, last = (kind_of(end["_id"]) for end in ends)
    if first == last or first is None or last is None:
        return [first if first == last else None]
    between = KINDS[KINDS.index(first) : KINDS.index(last) + 1]
    return [kind for kind in between if collection.find_one(both(only, Range(kind).filter()), {"_id": 1})]


def _cut(collection: Any, only: Filter, kind: str | None, step: int) -> Iterator[Range]:
    """One kind, cut where the index says that ``step`` documents have passed."""
    low: Any = None
    while True:
        asked = both(only, Range(kind, low).filter())
        found = next(iter(collection.find(asked, {"_id": 1}, sort=[("_id", 1)], skip=step, limit=1)), None)
        if found is None:
            yield Range(kind, low, None, count(collection, asked))
            return
        yield Range(kind, low, found["_id"], step)
        low = found["_id"]
