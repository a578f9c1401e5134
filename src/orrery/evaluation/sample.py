"""A fair sample of rows, the same whatever the order: those whose hashes are smallest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.data.rowhash import row_hashes
from orrery.evaluation.scored import Outcome, read_scored

ROWS = 20_000


@dataclass(frozen=True)
class Sampled:
    """Rows of NUMBER: truth, prediction and weight [m], in the order of their hashes."""

    hashes: NDArray[np.uint64]
    columns: NDArray[np.float64]
    """[3, m]: truth, prediction, weight."""
    seen: int
    """Rows in all."""

    @property
    def complete(self) -> bool:
        """Whether the sample is all rows."""
        return self.seen == len(self.hashes)

    def smallest(self, rows: int) -> Self:
        """The rows with the smallest hashes; rows of one hash are ordered by their values."""
        order = np.lexsort((*self.columns[::-1], self.hashes))[:rows]
        return type(self)(self.hashes[order], self.columns[:, order], self.seen)


@dataclass(frozen=True)
class Sample:
    """Aggregate: scored batches of NUMBER -> :class:`Sampled`; complete up to ``rows``."""

    outcome: Outcome
    rows: int = ROWS

    def summarize(self, batch: RecordBatch) -> Sampled:
        """The sample of one batch."""
        scored = read_scored(batch, self.outcome)
        columns = np.stack([scored.truth[:, 0], scored.scores[:, 0], scored.weights()])
        return Sampled(row_hashes(batch), columns, len(scored)).smallest(self.rows)

    def merge(self, left: Sampled, right: Sampled) -> Sampled:
        """The sample of both."""
        return Sampled(
            np.concatenate([left.hashes, right.hashes]),
            np.concatenate([left.columns, right.columns], axis=1),
            left.seen + right.seen,
        ).smallest(self.rows)

    def finish(self, summary: Sampled) -> Sampled:
        """The sample."""
        return summary
