"""Names with values, different ones in each row, as a bag: numbers by their name, texts by name and value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Bag, Form, lift
from orrery.features.moments import Moments
from orrery.features.vocabulary import LIMIT, Counts, choose, merge_counts

UNSEEN, FIRST = 0, 1
"""The ids of whatever has none of its own, and of the first number."""

_LARGEST = 10.0  # weight of a number, in units of its usual size


class MapTransform(Transform):
    """One BAG: 1 for each text, and for each number its size beside the usual size of its name."""

    kind = "map"
    form = Form.MAP

    def __init__(
        self,
        inputs: tuple[str, ...],
        numbers: Sequence[str],
        sizes: NDArray[np.float64],
        texts: Sequence[str],
    ) -> None:
        self.inputs = inputs
        self.numbers = numbers
        self.sizes = sizes  # of each number: the root of the mean of its squares
        self.texts = texts  # name=value
        self._units: list[float] = sizes.tolist()
        self._number_ids = {name: FIRST + i for i, name in enumerate(numbers)}
        self._text_ids = {text: FIRST + len(numbers) + i for i, text in enumerate(texts)}
        names = ("unseen", *numbers, *texts)
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs),
                role=Role.BAG,
                sizes=(len(names),),
                dtype="float32",
                names=names,
            ),
        )

    def apply(self, *columns: list[dict[str, float | str] | None]) -> tuple[Encoded, ...]:
        """A bag."""
        rows = [sorted(self._weights(row).items()) if row else [] for row in columns[0]]
        offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
        ids = np.array([i for row in rows for i, _ in row], np.int32)
        return (Bag(offsets, ids, np.array([w for row in rows for _, w in row], np.float32)),)

    def _weights(self, row: Mapping[str, float | str]) -> dict[int, float]:
        """Id and weight of each value of a row."""
        found: dict[int, float] = {}
        for name, value in row.items():
            if isinstance(value, str):
                found[self._text_ids.get(f"{name}={value}", UNSEEN)] = 1.0
            elif name in self._number_ids:
                place = self._number_ids[name]
                found[place] = max(-_LARGEST, min(_LARGEST, value / self._units[place - FIRST]))
            else:
                found[UNSEEN] = 1.0
        return found

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What has an id, in their order."""
        arrays = {
            "numbers": state.arrow_texts(self.numbers),
            "sizes": state.arrow_floats(self.sizes),
            "texts": state.arrow_texts(self.texts),
        }
        return {"inputs": list(self.inputs)}, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        numbers, texts = state.texts(arrays, "numbers"), state.texts(arrays, "texts")
        sizes = state.floats(arrays, "sizes", len(numbers))
        if len(inputs) != 1 or (sizes <= 0).any():
            raise state.broken("a map has one column, and its numbers have a size")
        return cls(inputs, numbers, sizes, texts)


@dataclass(frozen=True)
class Seen:
    """How often each text occurs, and the numbers by name."""

    texts: Counts = field(default_factory=dict)
    numbers: Mapping[str, Moments] = field(default_factory=dict)


class Map(Feature):
    """Maps such as {"colour": "red", "weight": 3.5}: an id for each number's name and for each name=value.

    >>> import pyarrow as pa
    >>> parts = pa.array([{"hue": "red"}, {"hue": "blue"}], pa.map_(pa.string(), pa.string()))
    >>> named = Map(columns=("part",))
    >>> fitted = named.finish(named.summarize(pa.record_batch({"part": parts})))
    >>> fitted.texts, fitted.apply([{"hue": "red"}])[0].ids
    (['hue=blue', 'hue=red'], array([2], dtype=int32))
    """

    form: ClassVar[Form] = Form.MAP
    transform: ClassVar[type[Transform]] = MapTransform

    kind: Literal["map"] = "map"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    min_count: int = Field(default=1, ge=1)
    """What occurs in fewer rows shares the id of unseen ones."""
    max_size: int = Field(default=10_000, ge=1, le=LIMIT)
    """Names of numbers, and again pairs of name and value, that have an id of their own, at most."""

    def summarize(self, batch: RecordBatch) -> Seen:
        """How often each occurs."""
        texts: Counts = {}
        numbers: dict[str, list[float]] = {}
        for row in lift(batch.column(self.columns[0]), Form.MAP, self.columns[0]):
            for name, value in (row or {}).items():
                if isinstance(value, str):
                    texts[f"{name}={value}"] = texts.get(f"{name}={value}", 0) + 1
                else:
                    numbers.setdefault(name, []).append(value)
        return self.merge(
            Seen(texts), Seen({}, {name: Moments.of(np.array(found)) for name, found in numbers.items()})
        )

    def merge(self, left: Seen, right: Seen) -> Seen:
        """Exact. Raises FitError where there are too many."""
        numbers = dict(left.numbers)
        for name, moments in right.numbers.items():
            numbers[name] = numbers.get(name, Moments()) + moments
        merge_counts({name: 1 for name in numbers}, {}, self.columns[0])  # which counts them
        return Seen(merge_counts(left.texts, right.texts, self.columns[0]), numbers)

    def finish(self, summary: Seen) -> MapTransform:
        """The ids, the most frequent first."""
        counts = {name: moments.count for name, moments in summary.numbers.items()}
        numbers = choose(counts, self.min_count, self.max_size)
        sizes = [_size(summary.numbers[name]) for name in numbers]
        texts = choose(summary.texts, self.min_count, self.max_size)
        return MapTransform(self.columns, numbers, np.array(sizes, np.float64), texts)


def _size(moments: Moments) -> float:
    size = float(np.hypot(moments.mean, moments.std))
    return size if 0.0 < size < np.inf else 1.0
