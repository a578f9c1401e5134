"""What a metric is: a tally of rows in one pass, and how to read one number from it.

Several metrics read the same tally: accuracy, balanced accuracy and F1 all read the confusion matrix.
A tally is an Aggregate, so a metric is one too; a new metric is a new file here and a line in the table
of ``orrery.evaluation.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from orrery.aggregate import Aggregate, RecordBatch
from orrery.display import Both
from orrery.evaluation.scored import Outcome

Better = Literal["higher", "lower"]
Tally = Callable[[Outcome], Aggregate[Any, Any]]


@dataclass(frozen=True)
class Metric:
    """One number about how good predictions are."""

    name: str
    title: Both
    about: Both
    """One sentence for people who have not met it before."""
    better: Better
    tally: Tally
    read: Callable[[Any], float | None]
    """From the finished tally; None where the rows cannot tell (one class only, no weight)."""
    share: bool = False
    """Whether it reads best in percent."""

    def of(self, outcome: Outcome) -> Aggregate[Any, float | None]:
        """The metric as an Aggregate of its own."""
        return _Alone(self.tally(outcome), self.read)


@dataclass(frozen=True)
class _Alone:
    tally: Aggregate[Any, Any]
    read: Callable[[Any], float | None]

    def summarize(self, batch: RecordBatch) -> Any:
        return self.tally.summarize(batch)

    def merge(self, left: Any, right: Any) -> Any:
        return self.tally.merge(left, right)

    def finish(self, summary: Any) -> float | None:
        return self.read(self.tally.finish(summary))


def divide(top: float, bottom: float) -> float | None:
    """The ratio, or None where there is nothing to divide by."""
    return top / bottom if bottom else None


def mean(values: list[float | None]) -> float | None:
    """The plain mean of those that are known; None where none is."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
