"""Raw batches of a MongoDB collection, as the server sends them; read on where a connection was lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from orrery.data.sources.mongodb_bson import last_id
from orrery.data.sources.mongodb_filters import Filter, both
from orrery.data.sources.mongodb_ranges import Range, kind_of
from orrery.errors import SourceError
from orrery.extras import require

_TRIES = 5
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Stream:
    """The documents of one range, in the order of ``_id``; or those of an aggregation, as they come."""

    collection: Any
    pipeline: Sequence[Any] | None = None
    only: Filter = field(default_factory=dict)
    columns: Filter | None = None
    """What of the documents is sent; None is all."""
    part: Range = field(default_factory=Range)
    skip: int = 0
    keyed: bool = True
    """Whether ``_id`` names one document: a collection's does, a view's need not."""
    at_once: int = 1_000
    """Documents that the server sends at a time, at most."""

    def batches(self, shown: str) -> Iterator[bytes]:
        """BSON documents, one after the other. A lost connection is taken up behind the last ``_id``.

        Raises SourceError with the place, where that cannot be.
        """
        errors = require("pymongo", "Reading MongoDB").errors
        last: tuple[Any] | None = None
        failures, since = 0, time.monotonic()
        while True:
            try:
                for raw in self._cursor(last, self.at_once >> 2 * failures):
                    if raw:
                        yield raw
                        last = (last_id(raw),)
                        failures, since = 0, time.monotonic()
                return
            except (errors.ConnectionFailure, errors.CursorNotFound) as error:
                failures += 1
                resumable = self.pipeline is None and self.keyed and (last is None or kind_of(last[0]))
                if not resumable or failures >= _TRIES or time.monotonic() - since > _PATIENCE_S:
                    raise _lost(error, shown, last) from None

    def _cursor(self, last: tuple[Any] | None, at_once: int) -> Any:
        """A new cursor. Where a connection does not hold for a batch, the next is smaller."""
        size = max(1, at_once)
        if self.pipeline is not None:
            return self.collection.aggregate_raw_batches(self.pipeline, allowDiskUse=True, batchSize=size)
        where = self.part.filter() if last is None else self.part.after(last[0])
        order = {"sort": [("_id", 1)]} if self.keyed else {}
        skip = self.skip if last is None else 0
        only = both(self.only, where)
        return self.collection.find_raw_batches(only, self.columns, skip=skip, batch_size=size, **order)


def _lost(error: Exception, shown: str, last: tuple[Any] | None) -> SourceError:
    where = "before the first document" if last is None else f"after the document with _id {last[0]!r}"
    return SourceError(
        f"{shown}: the connection was lost {where}: {' '.join(str(error).split())[:300]}",
        hint="Is the server running?",
    )
