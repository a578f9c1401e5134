"""Looking at some rows of a far table instead of all: which ones is part of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data.pictures import Pictures
from orrery.data.pipeline import Pipeline
from orrery.data.source import Partition, Source
from orrery.data.steps import Kinds, Map, Select, Where
from orrery.spec import Spec

FAR_ROWS = 100_000
"""Rows that are looked at of a table on another machine, unless more are asked for."""

_PARTS = 16
_HERE = ("", "file", "sqlite", "duckdb")
_BY_ROW = (Select, Kinds, Where, Map, Pictures)


class Sample(Spec):
    """Which rows were looked at: drawn at random, or the first of some parts, which lie evenly over all."""

    rows: int
    """So many were asked for."""
    parts: int
    of_parts: int
    of_rows: int | None = None
    """Of all rows at the place, where that is known."""
    drawn: str | None = None
    """How the place drew them at random; None where they are the first."""

    def __str__(self) -> str:
        share = f", {self.rows / self.of_rows:.2%} of {self.of_rows:,}" if self.of_rows else ""
        if self.drawn:
            return f"a sample of at most {self.rows:,} rows{share}: drawn there at random by {self.drawn}"
        where = f"of each of {self.parts:,} of {self.of_parts:,} parts" if self.of_parts > 1 else "there"
        return f"a sample of at most {self.rows:,} rows{share}: the first {where}"


def is_far(source: Source) -> bool:
    """Whether rows lie on another machine, or are computed on others."""
    place = getattr(source, "place", None)
    if place is None and hasattr(source, "source"):  # a source around another
        return is_far(source.source)
    scheme = place.partition("://")[0].lower() if isinstance(place, str) and "://" in place else ""
    return scheme not in _HERE or hasattr(source, "database")


def is_by_row(pipeline: Pipeline) -> bool:
    """Whether each row that comes out is of one row of the source."""
    return all(isinstance(step, _BY_ROW) for step in pipeline.steps)


@dataclass
class Some:
    """A source of which only the first rows of some parts are read, or rows that the place draws."""

    source: Source
    rows: int
    drawn: str | None = None
    complete: bool = True
    """Whether nothing was left out; known when all parts were read."""
    _all: Sequence[Partition] = field(default_factory=tuple)

    def schema(self) -> Any:
        """The source's."""
        return self.source.schema()

    def partitions(self) -> Sequence[Partition]:
        """Some parts, which lie evenly over all."""
        self._all = self.source.partitions()
        count = min(_PARTS, len(self._all))
        chosen = [self._all[i * len(self._all) // count] for i in range(count)]
        self.complete = count == len(self._all)
        return chosen

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """The first rows of a part."""
        left = -(-self.rows // min(_PARTS, len(self._all)))
        for batch in self.source.read(partition, columns, where, start):
            self.complete = self.complete and batch.num_rows <= left
            if batch.num_rows:
                yield batch.slice(0, left)
            left -= batch.num_rows
            if left < 0 or (left == 0 and self._is_more(partition)):
                self.complete = False
                return

    def _is_more(self, partition: Partition) -> bool:
        return partition.rows is None or partition.rows > self.rows

    def fingerprint(self) -> str:
        """The source's."""
        return self.source.fingerprint()

    def to_dict(self) -> dict[str, Any]:
        """The source's."""
        return self.source.to_dict()

    def sample(self, where: str | None) -> Sample | None:
        """What was looked at; None where it was everything."""
        if self.drawn:
            return Sample(rows=self.rows, parts=1, of_parts=1, drawn=self.drawn)
        if self.complete:
            return None
        rows = [part.rows for part in self._all]
        known = sum(n for n in rows if n is not None) if None not in rows and where is None else None
        return Sample(rows=self.rows, parts=min(_PARTS, len(rows)), of_parts=len(rows), of_rows=known)


def some(pipeline: Pipeline, rows: int) -> tuple[Pipeline, Some]:
    """The pipeline over some rows, and what will know which."""
    draw = getattr(pipeline.source, "draw", None)
    drawn = draw(rows, pipeline.where) if draw is not None else None
    source = Some(pipeline.source, rows) if drawn is None else Some(drawn.source, rows, drawn.how)
    return replace(pipeline, source=source), source
