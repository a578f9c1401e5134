"""What a table's columns look like: an aggregate that finds it in one pass, in bounded memory.

Counts, least and greatest values, means and deviations are exact, whatever the order and the cut of the
rows. Quantiles, distinct values and the most frequent ones are exact as long as a column has few distinct
values (how many depends on the number of columns, so that all together stay bounded); beyond that quantiles
are within 0.5 % of the value, distinct values within about 3 %, and no most frequent values are told. Bytes,
lists and structs are counted by a hash of 64 bits.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import views
from orrery.data.column import ColumnProfile as ColumnProfile
from orrery.data.column import ColumnSummary, finish, merge, summarize
from orrery.data.column import Histogram as Histogram
from orrery.data.profile_sample import Sample as Sample
from orrery.errors import UnknownColumnError
from orrery.spec import Spec

MEMORY_BYTES = 256 << 20
"""What the summaries of all columns together may take, roughly."""

_VALUE_BYTES = 100
_MOST = 10_000
_LEAST = 64


class Profile(Spec):
    """What a table's columns look like."""

    rows: int
    columns: tuple[ColumnProfile, ...] = ()
    sample: Sample | None = None
    """Which rows were looked at; None for all."""

    def __getitem__(self, name: str) -> ColumnProfile:
        if name not in self._by_name:
            raise UnknownColumnError(name, self._by_name)
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, ColumnProfile]:
        return {column.name: column for column in self.columns}

    def __str__(self) -> str:
        return views.profile_text(self)

    def __repr__(self) -> str:
        return f"Profile({self.rows:,} rows, {len(self.columns)} columns)"

    def _repr_html_(self) -> str:
        return views.profile_page(self)


class Describe:
    """The aggregate whose result is a Profile. A summary is a tuple: one :class:`ColumnSummary` per column.

    >>> import pyarrow as pa
    >>> from orrery.data.passes import gather
    >>> batch = pa.record_batch({"a": [1, 2, 2, None]})
    >>> profile = gather(Describe.of(batch.schema), [batch], batch.slice(0, 0))
    >>> profile["a"].missing, profile["a"].distinct, profile["a"].top
    (1, 2, (('2', 2), ('1', 1)))
    """

    def __init__(self, schema: Any, limit: int) -> None:
        self.schema = schema
        self.limit = limit

    @classmethod
    def of(cls, schema: Any) -> Describe:
        """For an Arrow schema; many columns share the memory."""
        share = MEMORY_BYTES // (_VALUE_BYTES * max(len(schema.names), 1))
        return cls(schema, max(_LEAST, min(_MOST, share)))

    def summarize(self, batch: RecordBatch) -> tuple[ColumnSummary, ...]:
        """Of each column of one batch."""
        return tuple(summarize(column, self.limit) for column in batch.columns)

    def merge(
        self, left: tuple[ColumnSummary, ...], right: tuple[ColumnSummary, ...]
    ) -> tuple[ColumnSummary, ...]:
        """Of both."""
        kinds = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in self.schema]
        return tuple(merge(a, b, k, self.limit) for a, b, k in zip(left, right, kinds, strict=True))

    def finish(self, summary: tuple[ColumnSummary, ...]) -> Profile:
        """The profile."""
        if not summary:
            return Profile(rows=0)
        columns = [finish(s, field.name, field.type) for s, field in zip(summary, self.schema, strict=True)]
        return Profile(rows=summary[0].rows, columns=tuple(columns))
