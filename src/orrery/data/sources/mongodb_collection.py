"""What a MongoDB server tells of one collection: whether it is there, what it is, how much is in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

from orrery.data.sources.mongodb_bson import offsets
from orrery.data.sources.mongodb_filters import Filter
from orrery.errors import SettingsError, SourceError, did_you_mean, listing
from orrery.extras import require

_MOST_BYTES = 16 << 20
"""Of each half of a sample."""
_DRAWN = 500
"""Documents by which the share is told that a filter finds."""


class Known(NamedTuple):
    """A collection as its server describes it."""

    name: str
    keyed: bool = True
    """Whether each document has an ``_id`` of its own: those of a view need not."""
    collated: bool = False
    """Whether texts are compared by the rules of a language."""


def look_up(database: Any, name: str, shown: str) -> Known:
    """The collection of this name. Raises SettingsError and SourceError, which tell those there are."""
    try:
        there = {str(each["name"]): each for each in database.list_collections()}
    except require("pymongo", "Reading MongoDB").errors.OperationFailure as error:
        if error.code != 13 or not name:  # 13: this user may not list them, and may read one nevertheless
            raise
        return Known(name)
    names = sorted(each for each in there if not each.startswith("system."))
    if not name:
        raise SettingsError(
            f"{shown} names no collection; the database {database.name!r} has {listing(names)}.",
            hint="Write mongodb://host/database/collection, or collection=.",
        )
    if name not in there:
        where = _absent(database) if not there else f"the database {database.name!r} has {listing(names)}"
        raise SourceError(
            f"{shown}: there is no collection {name!r}; {where}.", hint=did_you_mean(name, names)
        )
    kind, options = there[name].get("type", "collection"), there[name].get("options", {})
    return Known(name, kind == "collection", "collation" in options)


def _absent(database: Any) -> str:
    """A database without collections is none: MongoDB makes it with the first."""
    try:
        names = database.client.list_database_names()
    except require("pymongo", "Reading MongoDB").errors.OperationFailure:
        return f"the database {database.name!r} is empty, or not there"
    return f"there is no database {database.name!r}; there are {listing(names)}"


def count(collection: Any, only: Filter) -> int:
    """How many documents a filter finds; on the index of ``_id`` where that can tell."""
    if set(only) <= {"_id"}:
        with suppress(require("pymongo", "Reading MongoDB").errors.OperationFailure):  # a view has no index
            return int(collection.count_documents(only, hint=[("_id", 1)]))
    return int(collection.count_documents(only))


def size_of(collection: Any) -> int | None:
    """Bytes of all documents, as the server keeps it; None where it does not tell this user."""
    with suppress(require("pymongo", "Reading MongoDB").errors.OperationFailure):
        return int(collection.database.command("collStats", collection.name)["size"])
    return None


def passing(collection: Any, only: Filter, pushed: Filter, rows: int) -> float | None:
    """The share of some of all documents that a filter finds; None where the server draws no sample."""
    if not pushed or not rows:
        return 1.0
    drawn = [*([{"$match": only}] if only else []), {"$sample": {"size": _DRAWN}}]
    with suppress(require("pymongo", "Reading MongoDB").errors.OperationFailure):
        found = collection.aggregate([*drawn, {"$match": pushed}, {"$count": "rows"}])
        return min(1.0, sum(int(each["rows"]) for each in found) / min(_DRAWN, rows))
    return None


def sampled(collection: Any, only: Filter, most: int, keyed: bool) -> list[bytes]:
    """Documents as BSON: half of them the first by ``_id``, half the last; fewer where they are large."""
    if not keyed:
        return _some(collection.find_raw_batches(only, limit=most))
    half = -(-most // 2)
    first = _some(collection.find_raw_batches(only, sort=[("_id", 1)], limit=half))
    if len(first) < half:
        return first
    return first + _some(collection.find_raw_batches(only, sort=[("_id", -1)], limit=most - half))[::-1]


def sampled_answer(collection: Any, pipeline: Sequence[Any], most: int) -> list[bytes]:
    """Documents that an aggregation gives first."""
    return _some(collection.aggregate_raw_batches([*pipeline, {"$limit": most}], allowDiskUse=True))


def _some(cursor: Any) -> list[bytes]:
    """Documents of a cursor, until they are many bytes."""
    found: list[bytes] = []
    size = 0
    with cursor:
        for raw in cursor:
            found += [raw[start:end] for start, end in pairwise(offsets(raw))]
            size += len(raw)
            if size >= _MOST_BYTES:
                break
    return found
