"""Fitted boosted trees: a row of numbers and codes through LightGBM's library.

Legend: n rows, D columns, m raw scores per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from orrery.features.feature import Encoded, Output
from orrery.features.target import Target
from orrery.learners import matrix, state, trees
from orrery.learners.boosting import Boosting
from orrery.learners.forest import Forest
from orrery.learners.links import Scores, link, raw_width
from orrery.schema import Kind

_SHOWN = 50  # columns, to people
_CHUNK_BYTES = 32 << 20  # of the matrix, while a long table is predicted


class BoostedPredictor:
    """Trees, and which column of their matrix each encoded block fills.

    >>> from orrery.features.feature import Output, Role
    >>> target = Target(name="y", kind=Kind.NUMBER, type="double")
    >>> parts = matrix.spans([Output(name="x", role=Role.NUMBER)], one_hot=False)
    >>> one = Boosting([trees.Tree.constant(2.0)], np.zeros(1))
    >>> BoostedPredictor.of(target, parts, [one]).predict({"x": np.array([[3.0]])})
    array([[2.]])
    """

    kind: ClassVar[str] = "boosted"

    def __init__(
        self,
        target: Target,
        parts: tuple[matrix.Span, ...],
        grown: Sequence[trees.Tree],
        gains: NDArray[np.float64],
    ) -> None:
        self.target = target
        self.parts = parts
        self.gains = gains
        self._trees = tuple(grown)
        self._columns = max(1, matrix.width(parts))
        self._forest = Forest.of(self._trees, self._columns, raw_width(target))

    @classmethod
    def of(cls, target: Target, parts: tuple[matrix.Span, ...], models: Sequence[Boosting]) -> Self:
        """From fitted models: one, or one per label or number of a vector."""
        grown = models[0].trees if len(models) == 1 else trees.interleave([m.trees for m in models])
        return cls(target, parts, grown, np.sum([m.gains for m in models], axis=0))

    @property
    def per_model(self) -> int:
        """Trees that one round adds to each model."""
        return raw_width(self.target) if self.target.kind is Kind.CATEGORY else 1

    @property
    def reads(self) -> tuple[Output, ...]:
        """The blocks that it needs."""
        return tuple(span.output for span in self.parts)

    def predict(self, blocks: Mapping[str, Encoded]) -> Scores:
        """Answers [n, k]."""
        n = matrix.rows_in(blocks)
        most = max(1, _CHUNK_BYTES // (8 * self._columns))
        if n <= most:
            return link(self.target, self._raw(blocks, n))
        pieces = []
        for start in range(0, n, most):
            stop = min(start + most, n)
            part = {name: matrix.slice_rows(block, start, stop) for name, block in blocks.items()}
            pieces.append(link(self.target, self._raw(part, stop - start)))
        return np.concatenate(pieces)

    def _raw(self, blocks: Mapping[str, Encoded], n: int) -> Scores:
        x = np.empty((n, self._columns))
        matrix.fill(self.parts, blocks, x)
        return self._forest.raw(x)

    def describe(self) -> dict[str, Any]:
        """What was learnt, for people: how many trees, and how much each column helped, most first."""
        names = [label for span in self.parts for label in matrix.labels(span, one_hot=False)]
        order = np.argsort(-self.gains, kind="stable")[:_SHOWN]
        gains = {names[i]: float(self.gains[i]) for i in order if self.gains[i] > 0}
        return {"kind": self.kind, "trees": len(self._trees), "gains": gains}

    def files(self) -> dict[str, bytes]:
        """``boosted.json`` and ``trees.txt``."""
        outputs = [span.output.to_dict() for span in self.parts]
        text = trees.write(self._trees, self._columns, raw_width(self.target))
        return {
            "boosted.json": state.write_json(outputs=outputs, gains=self.gains.tolist()),
            trees.NAME: text.encode(),
        }

    @classmethod
    def load(cls, files: Mapping[str, bytes], target: Target) -> Self:
        """The predictor again. Every index in the trees is checked. Raises ModelFormatError."""
        values = state.read_json(files, "boosted.json")
        parts = matrix.spans(state.read_outputs(values.get("outputs"), "boosted.json"), one_hot=False)
        columns = matrix.width(parts)
        if columns > len(files["boosted.json"]):  # gains has a number for each
            raise state.broken("boosted.json", "it describes more columns than it has gains")
        gains = state.numbers(values.get("gains"), columns, "boosted.json", "gains")
        try:
            text = state.read(files, trees.NAME).decode("ascii")
        except UnicodeDecodeError:
            raise state.broken(trees.NAME, "it is not plain text") from None
        return cls(target, parts, trees.parse(text, max(1, columns)), gains)
