"""Raw BSON as record batches: the documents decoded, their fields put in columns, bad ones told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.data.quarantine import BadRows
from orrery.data.sources.mongodb_bson import codec, id_of, offsets
from orrery.data.sources.mongodb_columns import MORE, Batch, Tree, tree_of
from orrery.data.sources.mongodb_types import Column, Document, Path
from orrery.extras import require

_AT_ONCE = 8_192
_SOME = 50  # documents whose size is looked at

Spans = Sequence[tuple[int, int]]
"""Where documents begin, and where they end."""

Fault = tuple[str | None, object, str]
"""What makes a document bad: the column, the value, the reason."""


@dataclass(frozen=True)
class Reader:
    """Turns raw batches into record batches of some columns.

    >>> import bson
    >>> columns = [Column(("_id",), pa.int64(), "int"), Column(("home", "city"), pa.string(), "text")]
    >>> raw = bson.encode({"_id": 1, "home": {"city": "Oslo"}}) + bson.encode({"_id": 2})
    >>> [batch.to_pylist() for batch in Reader(columns, True, "here", BadRows()).batches(raw)]
    [[{'_id': 1, 'home.city': 'Oslo'}, {'_id': 2, 'home.city': None}]]
    """

    columns: Sequence[Column]
    whole: bool
    """Whether the documents are complete, so that fields no column is for can be told."""
    place: str
    bad: BadRows

    @cached_property
    def schema(self) -> Any:
        """The Arrow schema."""
        return pa.schema([column.field().arrow() for column in self.columns])

    def batches(self, raw: bytes) -> Iterator[RecordBatch]:
        """The rows of a raw batch, without the bad ones, which are reported."""
        places = offsets(raw)
        raw += MORE
        for first in range(0, len(places) - 1, _AT_ONCE):
            yield self._batch(raw, places[first : first + _AT_ONCE + 1])

    def _batch(self, raw: bytes, places: list[int]) -> RecordBatch:
        """All at once; those documents one by one that are not like the others."""
        found = Batch(raw, places)
        try:
            found.read(self._tree)
        except (pa.ArrowException, require("bson", "Reading MongoDB").errors.InvalidBSON):
            found.ok[:] = False
        odd = np.flatnonzero(~found.ok)
        if len(odd) == found.rows:
            return self._one_by_one(raw, [*pairwise(places)])[0]
        arrays = [found.arrays[column.name] for column in self.columns]
        even = pa.RecordBatch.from_arrays(arrays, schema=self.schema) if arrays else rows_only(found.rows)
        if not len(odd):
            return even
        others, kept = self._one_by_one(raw, [(places[i], places[i + 1]) for i in odd.tolist()])
        order: Any = np.argsort(np.concatenate([np.flatnonzero(found.ok), odd[kept]]))
        both = pa.Table.from_batches([even.filter(pa.array(found.ok)), others]).take(order)
        return both.combine_chunks().to_batches()[0] if both.num_rows else others

    @cached_property
    def _tree(self) -> Tree:
        return tree_of(self.columns)

    def _one_by_one(self, raw: bytes, spans: Spans) -> tuple[RecordBatch, NDArray[np.bool_]]:
        """The rows of some documents without the bad ones, and which those are that are left."""
        faults: dict[int, Fault] = {}
        found = _decoded(raw, spans, faults)
        if self.whole:
            for i, document in enumerate(found):
                if fault := _strange(document, self._known):
                    faults.setdefault(i, fault)
        arrays = []
        for column in self.columns:
            values = _values(found, column.path, faults)
            array, wrong = column.array(values)
            for i in wrong:
                faults.setdefault(i, (column.name, values[i], f"is not {column.type}"))
            arrays.append(array)
        for i in sorted(faults):
            self.bad.report(f"{self.place} _id {id_of(raw, spans[i][0])!r}", 0, *faults[i])
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema) if arrays else rows_only(len(spans))
        kept = np.array([i not in faults for i in range(len(spans))], np.bool_)
        return batch.filter(pa.array(kept)), kept

    @cached_property
    def _known(self) -> dict[str, Any]:
        """The fields that columns are for, as a tree; the end of a path is None."""
        tree: dict[str, Any] = {}
        for column in self.columns:
            at = tree
            for name in column.path[:-1]:
                at = at.setdefault(name, {})
            at[column.path[-1]] = None
        return tree


def widths(sample: Sequence[Document], columns: Sequence[Column]) -> dict[str, int]:
    """About how many bytes each column takes in a document."""
    encode = require("bson", "Reading MongoDB").encode
    some = sample[:: max(1, len(sample) // _SOME)]
    found = {}
    for column in columns:
        values = _values(some, column.path, {})
        sizes = [len(encode({column.path[-1]: value})) for value in values if value is not None]
        found[column.name] = sum(sizes) // max(len(some), 1)
    return found


def rows_only(count: int) -> RecordBatch:
    """A batch of so many rows and no columns."""
    return pa.RecordBatch.from_arrays([pa.nulls(count)], ["rows"]).select([])


def decoded(documents: Sequence[bytes]) -> list[Document]:
    """Documents of a sample; without those that are no BSON."""
    raw = b"".join(documents)
    faults: dict[int, Fault] = {}
    found = _decoded(raw, [*pairwise(offsets(raw))], faults)
    return [document for i, document in enumerate(found) if i not in faults]


def _decoded(raw: bytes, spans: Spans, faults: dict[int, Fault]) -> list[Document]:
    """The documents; one that is no BSON is empty, and a fault."""
    bson = require("bson", "Reading MongoDB")
    options = codec()
    try:
        found: list[Document] = bson.decode_all(b"".join(raw[start:end] for start, end in spans), options)
        return found
    except bson.errors.InvalidBSON:
        pass
    found = []
    for i, (start, end) in enumerate(spans):
        try:
            found.append(bson.decode(raw[start:end], options))
        except bson.errors.InvalidBSON as error:
            found.append({})
            faults[i] = (None, raw[start : start + 40], f"cannot be decoded: {error}")
    return found


def _values(found: Sequence[Document], path: Path, faults: dict[int, Fault]) -> list[Any]:
    """The values at a path; where something else than a document is on the way, a fault."""
    values: list[Any] = [document.get(path[0]) for document in found]
    for depth, name in enumerate(path[1:], 1):
        for i, value in enumerate(values):
            if type(value) is dict:
                values[i] = value.get(name)
            elif value is not None:
                values[i] = None
                faults.setdefault(i, (".".join(path[:depth]), value, "is not a document"))
    return values


def _strange(document: Document, known: Mapping[str, Any], above: Path = ()) -> Fault | None:
    """The first field that no column is for."""
    for name, value in document.items():
        below = known.get(name, _NOTHING)
        if below is _NOTHING:
            return ".".join((*above, name)), value, _STRANGE
        if below is not None and type(value) is dict and (fault := _strange(value, below, (*above, name))):
            return fault
    return None


_NOTHING = object()
_STRANGE = "is in a field that the sample of documents lacks (types= adds it, a larger sample= finds it)"
