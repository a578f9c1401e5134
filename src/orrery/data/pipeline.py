"""How a source and its steps become a stream of rows: what the place can do is handed down to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import sql_there
from orrery.data.source import Source
from orrery.data.steps import Kinds, Select, Sql, Step, Where
from orrery.errors import SourceError


@dataclass(frozen=True)
class Pipeline:
    """A source, the condition that it applies itself, and the steps that follow here.

    ``schemas`` has the columns of the source, then those after each step.
    """

    source: Source
    where: str | None
    steps: tuple[Step, ...]
    schemas: tuple[Any, ...]

    @property
    def schema(self) -> Any:
        """The Arrow schema of what comes out."""
        return self.schemas[-1]

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[RecordBatch]:
        """All rows; some columns, or all."""
        out = Select(tuple(columns)).schema(self.schema) if columns is not None else self.schema
        needs = self.needs(out.names)
        rows = self._source_rows(needs[0])
        for step, have, wanted in zip(self.steps, self.schemas[:-1], needs[1:], strict=True):
            rows = step.run(rows, have, wanted)
        return (_as_schema(batch, out) for batch in rows if batch.num_rows)

    def needs(self, wanted: Sequence[str]) -> list[list[str]]:
        """The columns needed of the source, then after each step, when ``wanted`` shall come out."""
        needs = [list(wanted)]
        for step, have in zip(reversed(self.steps), reversed(self.schemas[:-1]), strict=True):
            needs.insert(0, step.reads(needs[0], have))
        return needs

    def is_plain(self) -> bool:
        """Whether the rows are the source's own: all steps are its columns and its condition."""
        return all(isinstance(step, (Select, Kinds)) for step in self.steps)

    def _source_rows(self, columns: Sequence[str]) -> Iterator[RecordBatch]:
        everything = list(columns) == list(self.schemas[0].names)
        for partition in self.source.partitions():
            yield from self.source.read(partition, None if everything else columns, self.where)

    def count(self) -> int:
        """How many rows come out; asked of the place where it knows."""
        if self.is_plain():
            count = getattr(self.source, "count", None)
            known = count(self.where) if count is not None else None
            if known is not None:
                return int(known)
        return sum(batch.num_rows for batch in self.batches([]))


def build(source: Source, steps: Sequence[Step]) -> Pipeline:
    """Hand the leading steps to the source as far as it can take them. Raises what a wrong step raises."""
    schemas = [_told(source)]
    kept: list[Step] = []
    where: list[str] = []
    leading = True  # so far only steps that the source can take
    for step in steps:
        if isinstance(step, Where) and leading:
            # Names resolved here: later columns of other spelling cannot be meant.
            where.append(f"({step.parsed(schemas[-1]).sql('duckdb')})")
            continue
        if isinstance(step, Sql) and leading:
            asked = sql_there.asked(source, step, schemas[-1], " and ".join(where) or None)
            if asked is not None:
                meaning = step.with_meaning(asked.schema().arrow(), schemas[-1])
                source, kept, where, schemas = asked, [], [], [meaning]
                continue
            if (passing := step.passing(schemas[-1])) is not None:
                where.append(passing)
        after = step.schema(schemas[-1])
        leading = leading and isinstance(step, (Select, Kinds))
        kept.append(step)
        schemas.append(after)
    return Pipeline(source, " and ".join(where) or None, tuple(kept), tuple(schemas))


def _told(source: Source) -> Any:
    """A source's columns. Raises SourceError where one of somebody else's fails to tell them."""
    try:
        return source.schema().arrow()
    except (OSError, StopIteration, ValueError) as error:
        text = (str(error).splitlines() or ["there is nothing"])[0]
        raise SourceError(
            f"{source!r} cannot tell its columns: {type(error).__name__}: {text}",
            hint="Is it there, and of the form that its source reads?",
        ) from error


def _as_schema(batch: RecordBatch, schema: Any) -> RecordBatch:
    """The columns of the schema, in its order, with its meaning."""
    chosen = batch.select(schema.names)
    if not schema.names:
        return chosen
    if not chosen.schema.equals(schema):
        chosen = chosen.cast(schema)
    return pa.RecordBatch.from_arrays(chosen.columns, schema=schema)
