"""The column to predict: what kind of answer it asks for, and its values as numbers.

Legend: n rows, k classes or labels, d numbers in a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.errors import BadRowError, EmptyTableError, SchemaError, TargetError, listing
from orrery.features.forms import Coded, Form, as_text, lift
from orrery.schema import Kind
from orrery.spec import Spec

if TYPE_CHECKING:
    from orrery.data.table import Table
    from orrery.engines.engine import Engine

Label = str | int | float | bool


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


@dataclass(frozen=True)
class Seen:
    """What a pass over the target found."""

    type: str = ""
    rows: int = 0
    missing: int = 0
    infinite: int = 0
    labels: frozenset[Label] = frozenset()
    widths: frozenset[int] = frozenset()
    """Lengths of vectors."""


@dataclass(frozen=True)
class TargetFit:
    """The Aggregate behind :func:`fit_target`.

    >>> fit = TargetFit("y", Kind.CATEGORY)
    >>> fit.finish(fit.summarize(pa.record_batch({"y": [3, 1, 3]}))).labels
    (1, 3)
    """

    name: str
    kind: Kind
    labels_max: int = 1000

    def summarize(self, batch: RecordBatch) -> Seen:
        """Raises TargetError where the values are not of the kind."""
        column = batch.column(self.name)
        missing, present = column.null_count, column.drop_null()
        seen = Seen(str(column.type), len(column), missing)
        try:
            if self.kind is Kind.CATEGORY:
                labels = _distinct(present)
                real = frozenset(label for label in labels if label == label)
                nan = int(pc.sum(pc.is_nan(present)).as_py() or 0) if len(real) < len(labels) else 0
                return replace(seen, missing=missing + nan, labels=real)
            if self.kind is Kind.LABELS:
                lift(present.slice(0, 1), Form.LABELS, self.name)
                return replace(seen, labels=_distinct(pc.list_flatten(present)))
            form = Form.VECTOR if self.kind is Kind.VECTOR else Form.FLOAT
            values = lift(present, form, self.name)
        except (SchemaError, BadRowError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise TargetError(
                f"The target {self.name!r} is not of kind {self.kind.value!r}: {error}"
            ) from None
        infinite = int(np.count_nonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))))
        widths = frozenset(values.shape[1:] if len(values) else ())
        return replace(seen, infinite=infinite, widths=widths)

    def merge(self, left: Seen, right: Seen) -> Seen:
        """Exact; keeps no more labels than it takes to know that there are too many."""
        labels = left.labels | right.labels
        if len(labels) > self.labels_max:
            labels = frozenset(sorted(labels)[: self.labels_max + 1])
        return Seen(
            left.type or right.type,
            left.rows + right.rows,
            left.missing + right.missing,
            left.infinite + right.infinite,
            labels,
            left.widths | right.widths,
        )

    def finish(self, summary: Seen) -> Target:
        """The fitted target. Raises EmptyTableError, TargetError."""
        self._check_rows(summary)
        if self.kind is Kind.VECTOR:
            if len(summary.widths) != 1:
                raise TargetError(
                    f"The target {self.name!r} holds vectors of lengths {sorted(summary.widths)}; "
                    "all must have one length."
                )
            return Target(name=self.name, kind=self.kind, type=summary.type, width=min(summary.widths))
        if self.kind is Kind.NUMBER:
            return Target(name=self.name, kind=self.kind, type=summary.type)
        self._check_labels(summary)
        labels = tuple(sorted(summary.labels))
        return Target(name=self.name, kind=self.kind, type=summary.type, labels=labels, width=len(labels))

    def _check_rows(self, seen: Seen) -> None:
        if not seen.rows:
            raise EmptyTableError("The table has no rows: there is nothing to learn from.")
        if seen.missing:
            part = "all" if seen.missing == seen.rows else str(seen.missing)
            raise TargetError(
                f"The target {self.name!r} is missing in {part} of {seen.rows} rows.",
                hint=f"Leave them out: table.where('\"{self.name}\" is not null').",
            )
        if seen.infinite:
            raise TargetError(
                f"The target {self.name!r} holds NaN or infinity in {seen.infinite} of {seen.rows} rows.",
                hint="Leave those rows out.",
            )

    def _check_labels(self, seen: Seen) -> None:
        if len(seen.labels) > self.labels_max:
            raise TargetError(
                f"The target {self.name!r} has more than {self.labels_max} classes.",
                hint=f"If it is a number, say so: kinds={{{self.name!r}: 'number'}}.",
            )
        if self.kind is Kind.CATEGORY and len(seen.labels) < 2:
            raise TargetError(
                f"The target {self.name!r} has only one class, {listing(seen.labels)}: "
                "there is nothing to tell apart.",
                hint="Add rows of another class.",
            )
        if not seen.labels:
            raise TargetError(f"The target {self.name!r} has no labels in any of {seen.rows} rows.")


def fit_target(
    table: Table, name: str, kind: Kind, *, labels_max: int = 1000, engine: Engine | None = None
) -> Target:
    """Learn the classes, labels or width of the column to predict, in one pass.

    Raises UnknownColumnError, EmptyTableError, and TargetError where it is missing in some rows, has one
    class only or more than ``labels_max``, or is not of the kind.
    """
    if kind not in {Kind.CATEGORY, Kind.NUMBER, Kind.LABELS, Kind.VECTOR}:
        raise TargetError(
            f"The target {name!r} is of kind {kind.value!r}, which cannot be predicted.",
            hint=f"Say what it is: kinds={{{name!r}: 'category'}}, or 'number', 'labels', 'vector'.",
        )
    target: Target = table.select(name).aggregate(TargetFit(name, kind, labels_max), engine)
    return target


def _distinct(column: Any) -> frozenset[Label]:
    """The distinct values of an Arrow array, in their own type where a label can have it, else as text."""
    if pa.types.is_dictionary(column.type):  # which may hold values that do not occur
        column = column.cast(column.type.value_type)
    found = (value for value in pc.unique(column).to_pylist() if value is not None)
    return frozenset(v if isinstance(v, str | int | float) else as_text(v) for v in found)
