"""What a source is: a place that holds rows, and how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from orrery.aggregate import RecordBatch
from orrery.schema import Schema


@dataclass(frozen=True)
class Partition:
    """A part of a source that one worker reads: small, picklable, and independent of the others."""

    index: int
    where: Mapping[str, Any] = field(default_factory=dict)
    """What the source needs to find it: a path, a row group, a key range."""
    rows: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What a place says, without a look at the rows, that it holds; None where it does not know."""

    rows: int | None = None
    size_bytes: int | None = None
    to_read_bytes: int | None = None
    """Of the columns and rows asked for."""


class Draw(NamedTuple):
    """Some rows of a source, drawn at random by the place itself."""

    source: Source
    """Gives these rows only."""
    how: str
    """What the place was asked to do, for people."""


class Source(Protocol):
    """One place that holds rows. Adding one is a new file in ``data/sources/``.

    A source may also have: ``bad``, a :class:`~orrery.data.quarantine.BadRows`; ``bytes_read``, a counter
    of what it took from the place; ``count(where)``, rows found without reading them, or None;
    ``ask(query, columns, where)``, the same place answering an SQL query on the table ``this``, or None, its
    ``dialect`` (sqlglot's name of the SQL it speaks) beside it; ``pushed(where)``, the parts of a condition
    that the place itself can apply, for people; ``bytes_to_read(columns, where)``, what reading those would
    take, found without reading rows, or None; ``estimate(columns, where)``, an :class:`Estimate` of what
    the others do not know; ``draw(rows, where)``, a :class:`Draw` of about that many rows that pass, or None.
    """

    def schema(self) -> Schema:
        """The columns; kinds where the place knows them."""

    def partitions(self) -> Sequence[Partition]:
        """The parts, in the source's own order."""

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part, in order, from row ``start`` of what passes ``where`` (an SQL condition)."""

    def fingerprint(self) -> str:
        """What the data is: equal as long as the rows are, for cache and lineage."""

    def to_dict(self) -> dict[str, Any]:
        """The arguments of ``read`` that give this source again, without secrets."""
