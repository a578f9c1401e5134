"""MongoDB: documents as rows; columns and conditions go to the server, parts are ranges of ``_id``."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data import conditions
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Draw, Estimate, Partition
from orrery.data.sources.mongodb_address import Address, client
from orrery.data.sources.mongodb_bson import offsets
from orrery.data.sources.mongodb_collection import (
    Known,
    count,
    look_up,
    passing,
    sampled,
    sampled_answer,
    size_of,
)
from orrery.data.sources.mongodb_cursor import Stream
from orrery.data.sources.mongodb_documents import Reader, decoded, widths
from orrery.data.sources.mongodb_filters import Compared, Filter, as_bson, as_filter, as_text, both
from orrery.data.sources.mongodb_ranges import Range, ranges
from orrery.data.sources.mongodb_types import Column, decide
from orrery.errors import SchemaError, SettingsError
from orrery.schema import Schema
from orrery.spec import stable_key

PART_BYTES = 64 << 20
"""About how large a part is."""
MOST_PARTS = 256
_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 20_000
_SAMPLE = 2_000


class MongoDb:
    """A collection, ``mongodb://host/database/collection``, in the order of ``_id``.

    ``filter`` is a MongoDB filter that holds for all rows; ``pipeline`` an aggregation whose answer is read
    instead, in one part. Documents in documents become columns such as ``address.city``;
    :mod:`~orrery.data.sources.mongodb_types` has the table of types. They are those of ``sample`` documents,
    half of them the first by ``_id``, half the last; ``types`` pins some, also of fields that the sample
    lacks. A value of another type, or a field that no column is for, makes its document a bad row. What the
    server leaves out nobody looks at; with ``on_bad="quarantine"`` all else is read whole.
    """

    def __init__(
        self,
        place: str,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - MongoDB's own word
        pipeline: Sequence[Mapping[str, Any]] | None = None,
        types: Mapping[str, str] | None = None,
        sample: int = _SAMPLE,
        connection: str | None = None,
        on_bad: OnBad = "stop",
    ) -> None:
        self.address, named = Address.of(place).without_connection()
        self.collection = collection or self.address.collection
        self.filter = filter
        self.pipeline = pipeline
        self.types = dict(types or {})
        self.sample = sample
        self.connection = connection or named
        self.bad = BadRows(on_bad)
        self.bytes_read = 0

    @contextmanager
    def _database(self) -> Iterator[Any]:
        """The database, through a client of its own."""
        uri = self.address.uri(self.connection)
        name = self.address.database or Address.of(uri).database
        if not name:
            raise SettingsError(
                f"{self!r} names no database.", hint="Write mongodb://host/database/collection."
            )
        with client(uri, repr(self)) as opened:
            yield opened[name]

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """The collection, which is there."""
        known = self._known
        with self._database() as database:
            yield database[known.name]

    @cached_property
    def _known(self) -> Known:
        """What the server says of the collection. Raises SourceError where it is not there."""
        self._check()
        with self._database() as database:
            return look_up(database, self.collection, repr(self))

    def _check(self) -> None:
        """Raises SettingsError for settings that cannot be."""
        if self.sample < 2:
            raise SettingsError(f"A sample has at least 2 documents, not {self.sample}.")
        for stage in self.pipeline or ():
            if writing := sorted({"$out", "$merge"} & set(stage)):
                raise SettingsError(f"The pipeline of {self!r} writes: {writing[0]}.", hint="Leave it out.")

    @property
    def _keyed(self) -> bool:
        """Whether rows have an order, and each a name: its ``_id``."""
        return self._known.keyed and self.pipeline is None

    @cached_property
    def _only(self) -> Filter:
        found: Filter = as_bson(self.filter or {})
        return found

    def _stages(self, pushed: Filter) -> list[Any]:
        """The aggregation, and behind it the filters."""
        given = as_bson([dict(stage) for stage in self.pipeline or ()])
        return [*given, *({"$match": found} for found in (self._only, pushed) if found)]

    @cached_property
    def _learnt(self) -> tuple[dict[str, Column], dict[str, int]]:
        """The columns, and about how many bytes each has in a document: from a sample."""
        with self._asking() as collection:
            if self.pipeline is not None:
                sample = sampled_answer(collection, self._stages({}), self.sample)
            else:
                sample = sampled(collection, self._only, self.sample, self._known.keyed)
        if not sample and not self.types:
            raise SchemaError(
                f"{self!r} has no documents, so it has no columns.",
                hint="Name them: types={'name': 'string', 'age': 'int64'}.",
            )
        documents = decoded(sample)
        columns = decide(documents, self.types, repr(self))
        return {column.name: column for column in columns}, widths(documents, columns)

    @property
    def columns(self) -> dict[str, Column]:
        """Each column: where it lies in a document, and its type."""
        return self._learnt[0]

    def schema(self) -> Schema:
        """The columns; the kind of ``_id`` is key."""
        return Schema(fields=tuple(column.field() for column in self.columns.values()))

    def partitions(self) -> Sequence[Partition]:
        """Ranges of ``_id`` of about 64 MiB, in order; of an aggregation or a view, one part."""
        if not self._keyed:
            return [Partition(0)]
        with self._asking() as collection:
            rows = count(collection, self._only)
            size = self._mean_bytes(None) * rows
            cut = ranges(collection, self._only, rows, min(MOST_PARTS, 1 + size // PART_BYTES))
        return [
            Partition(i, part.to_dict(), part.rows, size * (part.rows or 0) // max(rows, 1))
            for i, part in enumerate(cut)
        ]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one range, in the order of ``_id``; what the server can filter, it filters."""
        names = list(self.columns)
        pushed, rest = self._split(where)
        skip = start if self._keyed and not rest and self.bad.on_bad == "stop" else 0
        batches = self._batches(partition, needed(names, columns, where), pushed, skip)
        return narrowed(batches, names, columns, where, start - skip)

    def _batches(
        self, partition: Partition, wanted: list[str], pushed: Filter, skip: int
    ) -> Iterator[RecordBatch]:
        chosen = [column for name, column in self.columns.items() if name in set(wanted)]
        whole = len(chosen) == len(self.columns) or self.bad.on_bad == "quarantine"
        whole = whole or not all(column.can_be_asked for column in chosen)
        reader = Reader(list(self.columns.values()) if whole else chosen, whole, repr(self), self.bad)
        with self._asking() as collection:
            stream = self._stream(collection, partition, pushed, None if whole else chosen, skip)
            for raw in stream.batches(repr(self)):
                self.bytes_read += len(raw)
                for batch in reader.batches(raw):
                    yield batch.select(wanted)

    def _stream(
        self,
        collection: Any,
        partition: Partition,
        pushed: Filter,
        wanted: Sequence[Column] | None = None,
        skip: int = 0,
    ) -> Stream:
        """The documents of a part, or some columns of them, as the server sends them."""
        projection = None if wanted is None else {"_id": 1, **{column.name: 1 for column in wanted}}
        at_once = max(1, min(_BATCH_ROWS, _BATCH_BYTES // self._mean_bytes(wanted)))
        if self.pipeline is not None:
            stages = [*self._stages(pushed), *([{"$project": projection}] if projection else [])]
            return Stream(collection, stages, at_once=at_once)
        part, only = Range.from_dict(partition.where), both(self._only, pushed)
        return Stream(collection, None, only, projection, part, skip, self._keyed, at_once)

    def _mean_bytes(self, wanted: Sequence[Column] | None) -> int:
        """About how many bytes a document has, or some columns of it."""
        widths = self._learnt[1]
        return 1 + sum(widths.values() if wanted is None else (widths[column.name] for column in wanted))

    def estimate(self, columns: Sequence[str] | None, where: str | None) -> Estimate:
        """By the server's statistics and a sample; of an aggregation, which would have to run, nothing."""
        if self.pipeline is not None:
            return Estimate()
        whole = columns is None or self.bad.on_bad == "quarantine"
        each = self._mean_bytes(None if whole else [self.columns[name] for name in columns or ()])
        with self._asking() as collection:
            rows = count(collection, self._only)
            size = self._mean_bytes(None) * rows if self._only else size_of(collection)
            share = passing(collection, self._only, self._split(where)[0], rows)
        return Estimate(None, size, None if share is None else round(rows * share * each))

    def draw(self, rows: int, where: str | None) -> Draw | None:
        """Documents at random, others each time; None where there are no more of them.

        Also None of an aggregation, of a view, and where the server would look at all of a large collection:
        it draws without that where no filter says of which documents.
        """
        if not self._keyed:
            return None
        only = both(self._only, self._split(where)[0])
        with self._asking() as collection:
            there = count(collection, only)
            whole = collection.estimated_document_count() * self._mean_bytes(None)
        if there <= rows or (only and whole > PART_BYTES):
            return None
        stages = [*([{"$match": only}] if only else []), {"$sample": {"size": rows}}]
        found = copy.copy(self)  # of the same columns, and what is bad is set aside in one place
        found.pipeline = stages
        return Draw(found, "$sample")

    def _split(self, where: str | None) -> tuple[Filter, list[str]]:
        """What of a condition MongoDB can tell, as a filter; and the parts that are left for here."""
        if where is None:
            return {}, []
        sorts = {name: column.compared(self._known.collated) for name, column in self.columns.items()}
        asked = {name: Compared(name, sort) for name, sort in sorts.items() if sort}
        pushed: Filter = {}
        rest = []
        for part in conditions.parse(where, tuple(self.columns)).parts():
            found = as_filter(part, asked)
            if found is None:
                rest.append(part.text)
            else:
                pushed = both(pushed, found)
        return pushed, rest

    def count(self, where: str | None) -> int | None:
        """Rows, counted by the server; None where bad ones are set aside, or only Orrery can tell."""
        pushed, rest = self._split(where)
        if rest or self.bad.on_bad == "quarantine":
            return None
        with self._asking() as collection:
            if self.pipeline is None:
                return count(collection, both(self._only, pushed))
            stages = [*self._stages(pushed), {"$count": "rows"}]
            return sum(int(found["rows"]) for found in collection.aggregate(stages, allowDiskUse=True))

    def pushed(self, where: str | None) -> str:
        """The filter that the server is given for a condition."""
        return as_text(self._split(where)[0]) if where is not None and self._split(where)[0] else ""

    def fingerprint(self) -> str:
        """A hash of the documents, whatever their order. MongoDB has none of its own, so all are read."""
        total = 0
        with self._asking() as collection:
            for raw in self._stream(collection, Partition(0), {}).batches(repr(self)):
                for start, end in pairwise(offsets(raw)):
                    digest = hashlib.blake2b(raw[start:end], digest_size=16).digest()
                    total = (total + int.from_bytes(digest, "little")) % 2**128
        return stable_key([(f.name, f.type) for f in self.schema().fields], f"{total:x}")

    def to_dict(self) -> dict[str, Any]:
        """The address without the password, and what is read there."""
        settings = {
            "filter": json.loads(as_text(self._only)) if self.filter else None,
            "pipeline": None if self.pipeline is None else json.loads(as_text(self.pipeline)),
            "types": self.types or None,
            "sample": self.sample if self.sample != _SAMPLE else None,
            "connection": self.connection,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
        }
        return {"place": self._shown(), **{k: v for k, v in settings.items() if v is not None}}

    def _shown(self) -> str:
        return replace(self.address, collection=self.collection).shown()

    def __repr__(self) -> str:
        return (
            self._shown()
            if self.connection is None
            else (f"mongodb connection {self.connection!r}, collection {self.collection!r}")
        )
