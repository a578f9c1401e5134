"""Columns that give the answer away: one column alone that foretells the target, as good as perfectly.

That is seldom luck. More often the column was filled in after the outcome was known, and will be empty when
a prediction is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.data.rowhash import row_hashes
from orrery.data.table import Table
from orrery.engines.engine import Engine
from orrery.features.forms import Form, lift
from orrery.features.target import Target
from orrery.schema import Kind

ROWS = 2_000
"""Rows looked at."""
NEARLY = 0.999
"""The share of held-out rows (categories) or of their variance (numbers) foretold that is too good."""
_LEAST_ROWS = 40  # on fewer, luck looks the same
_SEED = 5  # of the sample's hashes, which no split has
_FORMS = {Kind.NUMBER: Form.FLOAT, Kind.DATETIME: Form.TIME, Kind.CATEGORY: Form.CODED}


def find_leaks(
    table: Table, kinds: Mapping[str, Kind], target: Target, engine: Engine | None = None
) -> list[str]:
    """A line for each column that alone foretells the target, from a sample of the rows."""
    looked_at = [name for name, kind in kinds.items() if kind in _FORMS and name != target.name]
    if target.kind not in {Kind.CATEGORY, Kind.NUMBER} or not looked_at:
        return []
    chosen = table.select(*looked_at, target.name)
    rows = chosen.sample(ROWS).to_arrow() if engine is None else chosen.aggregate(Sampled(ROWS), engine)
    if len(rows) < _LEAST_ROWS:
        return []
    truth = target.encode(rows.column(target.name).combine_chunks()).astype(np.float64)
    learn = np.arange(len(rows)) % 2 == 0
    found = []
    for name in looked_at:
        values = _values(rows.column(name), kinds[name], name)
        guess = _foretell(values, truth, learn, kinds[name], target.kind)
        if _how_good(guess, truth[~learn], target) >= NEARLY:
            found.append(
                f"{name!r} alone foretells {target.name!r} nearly perfectly: is it known before the outcome? "
                "If not, leave it out with ignore=."
            )
    return found


@dataclass(frozen=True)
class Sampled:
    """The Aggregate that keeps so many rows by chance, in one pass: those with the smallest hashes."""

    rows: int

    def summarize(self, batch: RecordBatch) -> Any:
        """Those of a batch, as a table."""
        return self._fewer(pa.Table.from_batches([batch]))

    def merge(self, left: Any, right: Any) -> Any:
        """Those of both."""
        return self._fewer(pa.concat_tables([left, right]))

    def finish(self, summary: Any) -> Any:
        """The rows."""
        return summary

    def _fewer(self, table: Any) -> Any:
        table = table.combine_chunks()
        parts = [row_hashes(batch, None, _SEED) for batch in table.to_batches()]
        order = np.argsort(np.concatenate([np.zeros(0, np.uint64), *parts]), kind="stable")
        return table.take(order[: self.rows])


def _values(column: Any, kind: Kind, name: str) -> NDArray[np.float64]:
    """A column as finite numbers: codes of categories, microseconds of dates."""
    lifted = lift(column, _FORMS[kind], name)
    if kind is Kind.CATEGORY:
        lifted = lifted.codes
    elif kind is Kind.DATETIME:
        lifted = lifted.astype(np.int64)
    values: NDArray[np.float64] = np.asarray(lifted, np.float64)
    return np.nan_to_num(values, nan=-1e300, posinf=1e300, neginf=-1e300)


def _foretell(
    values: NDArray[np.float64],
    truth: NDArray[np.float64],
    learn: NDArray[np.bool_],
    kind: Kind,
    wanted: Kind,
) -> NDArray[np.float64]:
    """The target of each row not learnt from, as the learnt values nearest to its own have it."""
    order = np.argsort(values[learn], kind="stable")
    known, answers = values[learn][order], truth[learn][order]
    asked = values[~learn]
    if wanted is Kind.NUMBER and kind is not Kind.CATEGORY:
        return np.interp(asked, known, answers)
    right = np.searchsorted(known, asked).clip(0, len(known) - 1)
    left = (right - 1).clip(0)
    nearest = np.where(np.abs(known[left] - asked) < np.abs(known[right] - asked), left, right)
    guess = answers[nearest]
    return np.where(known[nearest] == asked, guess, np.nan) if kind is Kind.CATEGORY else guess


def _how_good(guess: NDArray[np.float64], truth: NDArray[np.float64], target: Target) -> float:
    """The share of rows foretold, of those that the commonest class would miss; or of the variance."""
    if target.kind is Kind.CATEGORY:
        commonest = float(np.bincount(truth.astype(np.int64)).max()) / len(truth)
        right = float((guess == truth).mean())
        return (right - commonest) / (1.0 - commonest) if commonest < 1.0 else 0.0
    spread = float(((truth - truth.mean()) ** 2).sum())
    missed = np.where(np.isnan(guess), truth.mean(), guess) - truth
    return 1.0 - float((missed**2).sum()) / spread if spread > 0 else 0.0
