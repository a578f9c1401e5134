"""The half of a table that reads rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import pyarrow as pa

from orrery.aggregate import Aggregate, RecordBatch
from orrery.data import passes, profile_sample, steps
from orrery.data.pictures import Pictures
from orrery.data.pipeline import Pipeline
from orrery.data.profile import Describe, Profile
from orrery.data.quarantine import SCHEMA as BAD_ROWS
from orrery.data.rows import BATCH_ROWS, resized
from orrery.data.source import Source
from orrery.errors import SettingsError
from orrery.extras import require

if TYPE_CHECKING:
    from typing import Self

R = TypeVar("R")


class Gatherer(Protocol):
    """An engine, as far as a table needs to know it."""

    def gather(self, aggregate: Any, table: Any) -> Any:
        """The result of one pass over a table."""


class Readable:
    """What can be asked of a table's rows. Every answer is a pass; nothing is kept between two."""

    source: Source
    steps: Sequence[steps.Step]

    @cached_property
    def _pipeline(self) -> Pipeline:
        raise NotImplementedError

    def _of(self, rows: Any) -> Self:
        raise NotImplementedError

    def batches(self, rows: int = BATCH_ROWS, columns: Sequence[str] | None = None) -> Iterator[RecordBatch]:
        """Record batches of exactly ``rows`` rows, but for the last; all columns or some."""
        if rows < 1:
            raise SettingsError(f"A batch has at least 1 row, not {rows}.")
        return resized(self._pipeline.batches(columns), rows)

    def empty(self) -> RecordBatch:
        """A batch without rows, of the table's columns."""
        return steps.empty(self._pipeline.schema)

    def aggregate(self, aggregate: Aggregate[Any, R], engine: Gatherer | None = None) -> R:
        """What one pass learns: in threads of this process, or on an engine."""
        if engine is not None:
            learnt: R = engine.gather(aggregate, self)
            return learnt
        return passes.gather(aggregate, self.batches(), self.empty())

    def count(self) -> int:
        """How many rows there are; bad rows that were set aside are not among them."""
        return self._pipeline.count()

    def head(self, n: int = 5) -> Self:
        """The first rows, as a table in memory."""
        taken: list[RecordBatch] = []
        for batch in self.batches(max(n, 1)) if n > 0 else ():
            taken.append(batch)
            break
        return self._of(pa.Table.from_batches(taken, self._pipeline.schema))

    def describe(self, *, sample: int | Literal["auto"] | None = "auto") -> Profile:
        """Each column's type, missing and distinct values, quantiles, histogram, most frequent values.

        Of a table on another machine 100,000 rows are looked at, and the profile says which;
        ``sample=None`` looks at all, ``sample=5000`` at fewer.
        """
        pipeline = self._pipeline
        describe = Describe.of(pipeline.schema)
        if sample == "auto":
            far = profile_sample.is_far(pipeline.source) and profile_sample.is_by_row(pipeline)
            sample = profile_sample.FAR_ROWS if far else None
        if sample is None:
            return self.aggregate(describe)
        if not profile_sample.is_by_row(pipeline) or sample < 1:
            raise SettingsError(
                f"A profile of sample={sample} rows is none: a sample is taken of the rows at their place.",
                hint="sample is at least 1, and no step may look at several rows; use sample=None.",
            )
        less, source = profile_sample.some(pipeline, sample)
        found = passes.gather(describe, resized(less.batches(), BATCH_ROWS), self.empty())
        return found.replace(sample=source.sample(pipeline.where))

    def to_arrow(self) -> Any:
        """All rows as one Arrow table."""
        return pa.Table.from_batches(list(self._pipeline.batches()), self._pipeline.schema)

    def to_pandas(self) -> Any:
        """All rows as a pandas DataFrame. Whole numbers and booleans stay such where some are missing."""
        pandas = require("pandas", "A table as a DataFrame")
        table = self.to_arrow()
        frame = table.to_pandas(date_as_object=False)
        for name, column in zip(table.schema.names, table.columns, strict=True):
            if column.null_count and pa.types.is_integer(column.type):
                kind = str(column.type).capitalize().replace("Uint", "UInt")
                frame[name] = pandas.array(column.to_pylist(), dtype=kind)
            elif column.null_count and pa.types.is_boolean(column.type):
                frame[name] = pandas.array(column.to_pylist(), dtype="boolean")
        return frame

    def to_polars(self) -> Any:
        """All rows as a Polars DataFrame."""
        return require("polars", "A table as a Polars DataFrame").from_arrow(self.to_arrow())

    def to_rows(self) -> list[dict[str, Any]]:
        """All rows as dicts."""
        return [row for batch in self._pipeline.batches() for row in batch.to_pylist()]

    def quarantined(self) -> Self:
        """The bad rows that were set aside: place, line, column, value, reason. Reads the source again."""
        bad = getattr(self.source, "bad", None)
        found = [BAD_ROWS.empty_table()]
        if bad is not None and bad.on_bad == "quarantine":
            for part in self.source.partitions():
                for _ in self.source.read(part):
                    pass
            found.append(bad.table())
        for step in self.steps:
            found += [table.quarantined().to_arrow() for table in steps.tables_of(step)]
            if isinstance(step, Pictures):
                self.count()  # looks at every picture
                found.append(step.bad.table())
        return self._of(pa.concat_tables(found))
