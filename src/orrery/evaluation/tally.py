"""Everything that a report is made of, tallied in one pass: metrics, slices, worst rows, which rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.aggregate import Aggregate, RecordBatch
from orrery.data.rowhash import row_hashes
from orrery.errors import EmptyTableError, SchemaError, UnknownColumnError
from orrery.evaluation.metrics import METRICS
from orrery.evaluation.metrics.ranking import RankingTally
from orrery.evaluation.sample import Sample
from orrery.evaluation.scored import SCORES, WEIGHT, Outcome
from orrery.evaluation.worst import Worst
from orrery.schema import Kind

VALUES = 200
"""How many values a column to slice by may have."""
SLICE_BYTES = 1 << 20
MISSING = "–"


@dataclass(frozen=True)
class Together:
    """Several aggregates in one pass: their results by name."""

    parts: Mapping[str, Aggregate[Any, Any]]

    def summarize(self, batch: RecordBatch) -> dict[str, Any]:
        """Each one's summary."""
        return {name: part.summarize(batch) for name, part in self.parts.items()}

    def merge(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Each one's summaries merged."""
        return {name: part.merge(left[name], right[name]) for name, part in self.parts.items()}

    def finish(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Each one's result."""
        return {name: part.finish(summary[name]) for name, part in self.parts.items()}


@dataclass(frozen=True)
class Slices:
    """One aggregate for the rows of each value of a column: results by value, most rows first."""

    column: str
    inner: Aggregate[Any, Any]

    def summarize(self, batch: RecordBatch) -> dict[str, Any]:
        """Summaries by value."""
        if self.column not in batch.schema.names:
            raise UnknownColumnError(self.column, batch.schema.names)
        try:
            texts = batch.column(self.column).cast(pa.string()).fill_null(MISSING)
        except pa.ArrowException as error:
            raise SchemaError(f"A report cannot be sliced by {self.column!r}: {error}.") from None
        coded = texts.dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        values = coded.dictionary.to_pylist()
        self._check(len(values))
        return {v: self.inner.summarize(batch.take(np.flatnonzero(codes == i))) for i, v in enumerate(values)}

    def merge(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Both, value by value."""
        merged = dict(left)
        for value, summary in right.items():
            merged[value] = self.inner.merge(merged[value], summary) if value in merged else summary
        self._check(len(merged))
        return merged

    def finish(self, summary: dict[str, Any]) -> dict[str, Any]:
        """The result of each value, in the order of the values."""
        return {value: self.inner.finish(summary[value]) for value in sorted(summary)}

    def _check(self, values: int) -> None:
        if values > VALUES:
            raise SchemaError(
                f"The column {self.column!r} has more than {VALUES} different values.",
                hint="Slice by a column with few values, or cut numbers into ranges with table.sql first.",
            )


@dataclass(frozen=True)
class Rows:
    """How many rows, and a fingerprint of which: the sum of their hashes, so that order does not matter."""

    def summarize(self, batch: RecordBatch) -> tuple[int, int]:
        """Rows, and their hashes without the scores, summed."""
        names = [name for name in batch.schema.names if name != SCORES]
        return len(batch), int(row_hashes(batch, names).sum(dtype=np.uint64))

    def merge(self, left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
        """Both."""
        return left[0] + right[0], (left[1] + right[1]) % (1 << 64)

    def finish(self, summary: tuple[int, int]) -> tuple[int, str]:
        """Rows, and sixteen hexadecimal digits."""
        return summary[0], f"{summary[1]:016x}"


def evaluation(outcome: Outcome, by: Iterable[str] = ()) -> Together:
    """The aggregate that ``evaluate`` runs; ``by`` names the columns to slice by."""
    slices = {f"slices:{name}": Slices(name, _of_slice(outcome)) for name in by}
    parts: dict[str, Aggregate[Any, Any]] = {
        "rows": Rows(),
        "weighted": _Weighted(),
        **metric_tallies(outcome),
        "worst": Worst(outcome),
        **slices,
    }
    if outcome.kind is Kind.NUMBER:
        parts["sample"] = Sample(outcome)
    return Together(parts)


def metric_tallies(outcome: Outcome) -> dict[str, Aggregate[Any, Any]]:
    """The tallies that the metrics of this kind of outcome read, each once."""
    return {m.tally.__name__: m.tally(outcome) for m in METRICS[outcome.kind]}


def read_metrics(outcome: Outcome, found: Mapping[str, Any]) -> dict[str, float | None]:
    """Every metric of this kind of outcome, from the finished tallies; None where the rows cannot tell."""
    return {m.name: m.read(found[m.tally.__name__]) for m in METRICS[outcome.kind]}


def _of_slice(outcome: Outcome) -> Together:
    tallies = metric_tallies(outcome)
    if RankingTally.__name__ in tallies:
        tallies[RankingTally.__name__] = RankingTally(outcome, SLICE_BYTES)
    return Together({"rows": _Count(), **tallies})


@dataclass(frozen=True)
class _Count:
    """How many rows."""

    def summarize(self, batch: RecordBatch) -> int:
        return int(batch.num_rows)

    def merge(self, left: int, right: int) -> int:
        return left + right

    def finish(self, summary: int) -> int:
        return summary


@dataclass(frozen=True)
class _Weighted:
    """Whether rows count unequally."""

    def summarize(self, batch: RecordBatch) -> bool:
        return WEIGHT in batch.schema.names

    def merge(self, left: bool, right: bool) -> bool:
        return left or right

    def finish(self, summary: bool) -> bool:
        return summary


def fold_evenly(aggregate: Aggregate[Any, Any], batches: Iterable[RecordBatch]) -> Any:
    """Run an aggregate over batches, merging summaries of like size, as one adds in binary.

    So a summary that grows with the rows is copied log(n) times, not n times. Raises EmptyTableError.
    """
    stack: list[tuple[int, Any]] = []
    for batch in batches:
        if batch.num_rows == 0:
            continue
        size, summary = 1, aggregate.summarize(batch)
        while stack and stack[-1][0] == size:
            size, summary = size * 2, aggregate.merge(stack.pop()[1], summary)
        stack.append((size, summary))
    if not stack:
        raise EmptyTableError("There are no rows to evaluate on.", hint="Check the split or the query.")
    whole = stack.pop()[1]
    while stack:
        whole = aggregate.merge(stack.pop()[1], whole)
    return aggregate.finish(whole)
