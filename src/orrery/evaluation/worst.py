"""The rows on which the predictions are worst, with what the model saw of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.data.rowhash import row_hashes
from orrery.evaluation.metrics.log_loss import row_losses
from orrery.evaluation.scored import SCORES, TRUTH, WEIGHT, Outcome, Scored, read_scored
from orrery.schema import Kind

ROWS = 12
COLUMNS = 12
VALUE_BYTES = 4 << 20
"""A larger value is told by its size."""


@dataclass(frozen=True)
class Bad:
    """One bad row: ``loss`` is its share in what training makes small."""

    loss: float
    hash: int
    truth: Any
    scores: list[float]
    columns: dict[str, Any]

    @property
    def rank(self) -> tuple[float, int]:
        """Worst first; of equals, by the hash of the row."""
        return (-self.loss, self.hash)


@dataclass(frozen=True)
class Worst:
    """Aggregate: scored batches -> the worst rows, worst first; rows of no weight are left out."""

    outcome: Outcome
    rows: int = ROWS

    def summarize(self, batch: RecordBatch) -> tuple[Bad, ...]:
        """The worst of one batch."""
        scored = read_scored(batch, self.outcome)
        losses = np.where(scored.weights() > 0, losses_of(scored, self.outcome), -1.0)
        if not len(losses):
            return ()
        least = np.partition(losses, -self.rows)[-self.rows] if len(losses) > self.rows else 0.0
        near = np.flatnonzero(losses >= max(least, 0.0))
        hashes = row_hashes(batch.take(near))
        order = np.lexsort((hashes, -losses[near]))[: self.rows]
        shown = _light(batch.take(near[order]))
        return tuple(
            self._bad(row, float(losses[near[i]]), int(hashes[i]))
            for row, i in zip(shown, order, strict=True)
        )

    def _bad(self, row: dict[str, Any], loss: float, code: int) -> Bad:
        own = {name: row.pop(name) for name in (TRUTH, SCORES, WEIGHT) if name in row}
        return Bad(loss, code, own[TRUTH], np.atleast_1d(own[SCORES]).tolist(), row)

    def merge(self, left: tuple[Bad, ...], right: tuple[Bad, ...]) -> tuple[Bad, ...]:
        """The worst of both."""
        return tuple(sorted((*left, *right), key=lambda bad: bad.rank)[: self.rows])

    def finish(self, summary: tuple[Bad, ...]) -> tuple[Bad, ...]:
        """The rows."""
        return summary


def losses_of(scored: Scored, outcome: Outcome) -> NDArray[np.float64]:
    """How bad each prediction is [n]: log loss, or the distance from the truth."""
    if outcome.kind in {Kind.CATEGORY, Kind.LABELS}:
        return row_losses(scored, outcome)
    return np.asarray(np.sqrt(((scored.scores - scored.truth) ** 2).sum(axis=1)))


def _light(batch: RecordBatch) -> list[dict[str, Any]]:
    """The rows as values, no more than some columns, and none too large to keep."""
    names = batch.schema.names
    others = [name for name in names if name not in {TRUTH, SCORES, WEIGHT}][:COLUMNS]
    rows: list[dict[str, Any]] = batch.select(
        [n for n in names if n in {TRUTH, SCORES, WEIGHT}] + others
    ).to_pylist()
    for row in rows:
        for name in others:
            if isinstance(row[name], bytes | str) and len(row[name]) > VALUE_BYTES:
                row[name] = f"{len(row[name]):,} bytes"
    return rows
