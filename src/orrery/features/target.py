"""The column to predict: what kind of answer it asks for, and its values as numbers.

Legend: n rows, k classes or labels, d numbers in a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.errors import TargetError, listing
from orrery.features.forms import Coded, Form, as_text, lift
from orrery.schema import Kind
from orrery.spec import Spec


class Target(Spec):
    """The fitted column to predict.

    ``encode`` gives: CATEGORY int64 [n], positions in ``labels``; NUMBER float64 [n]; LABELS float64
    [n, k] of zeros and ones; VECTOR float64 [n, d].

    >>> import pyarrow as pa
    >>> Target(name="y", kind="category", type="string", labels=("no", "yes")).encode(pa.array(["yes", "no"]))
    array([1, 0])
    """

    name: str
    kind: Kind
    type: str
    """The Arrow type of the column, which predictions of it have too."""
    labels: tuple[str | int | float | bool, ...] = ()
    """The classes, in order, in their own type; for CATEGORY and LABELS."""
    width: int = 1
    """Scores per row: classes, labels, or numbers in a vector."""

    def encode(self, column: Any) -> NDArray[Any]:
        """Values as numbers, from an Arrow array. Raises TargetError for a missing or unknown value."""
        if column.null_count:
            raise TargetError(
                f"The target {self.name!r} is missing in {column.null_count} of {len(column)} rows.",
                hint=f"Leave them out: table.where('\"{self.name}\" is not null').",
            )
        if self.kind is Kind.CATEGORY:
            return self._codes(lift(column, Form.CODED, self.name))
        if self.kind is Kind.LABELS:
            return self._hot(lift(column, Form.LABELS, self.name))
        form = Form.VECTOR if self.kind is Kind.VECTOR else Form.FLOAT
        values: NDArray[np.float64] = lift(column, form, self.name)
        if not np.isfinite(values).all():
            raise TargetError(
                f"The target {self.name!r} holds NaN or infinity.", hint="Leave those rows out."
            )
        return values

    def _positions(self) -> dict[str, int]:
        return {as_text(label): i for i, label in enumerate(self.labels)}

    def _codes(self, coded: Coded) -> NDArray[np.int64]:
        positions = self._positions()
        unknown = [v for v in coded.values if v not in positions]
        if unknown:
            raise TargetError(
                f"The target {self.name!r} holds {listing(unknown)}, unknown to the model; "
                f"its classes are {listing(self.labels)}."
            )
        if (coded.codes < 0).any():
            raise TargetError(f"The target {self.name!r} holds NaN.", hint="Leave those rows out.")
        table = np.array([positions[v] for v in coded.values], np.int64)
        return table[coded.codes] if len(table) else np.zeros(0, np.int64)

    def _hot(self, rows: list[list[str]]) -> NDArray[np.float64]:
        positions = self._positions()
        hot = np.zeros((len(rows), len(self.labels)))
        for i, row in enumerate(rows):
            for value in row:
                if value in positions:  # a label never seen in training has no place
                    hot[i, positions[value]] = 1.0
        return hot
