"""A fitted plan of features, compiled: the same blocks as ``FeaturePlan.encode_values``, in less time.

Legend: n rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, cast

import numpy as np

from orrery.errors import OrreryError
from orrery.features.category import CategoryTransform
from orrery.features.date import DateTransform
from orrery.features.feature import Encoded, Transform
from orrery.features.number import NumberTransform
from orrery.features.plain import PlainTransform
from orrery.features.plan import FeaturePlan
from orrery.features.target_mean import TargetMeanTransform
from orrery.features.tfidf import TfidfTransform
from orrery.features.tokens import TokensTransform
from orrery.features.vector import VectorTransform
from orrery.serving.compiled import dates, tables, texts
from orrery.serving.compiled.step import General, Step, UnusualError, Values

STEPS: dict[type[Transform], Callable[[Any], Step]] = {
    NumberTransform: tables.Numbers,
    PlainTransform: tables.Plain,
    VectorTransform: tables.Vectors,
    CategoryTransform: tables.Categories,
    TargetMeanTransform: tables.TargetMeans,
    DateTransform: dates.Dates,
    TokensTransform: texts.Texts,
    TfidfTransform: texts.Texts,
}
"""The features that have a quick way; all others take the general one."""

_TOLD = (UnusualError, OrreryError, ValueError, TypeError, OverflowError, ArithmeticError)


class _Placed(NamedTuple):
    step: Step
    pick: Callable[[Sequence[Any]], Sequence[Any]]  # its columns, of all that the plan reads
    names: tuple[tuple[str, ...], ...]  # of its blocks, once per group


class CompiledPlan:
    """The steps of a plan. ``encode`` gives None where a value is unusual: then the plan itself is asked.

    >>> import pyarrow as pa
    >>> from orrery.features.category import Category
    >>> from orrery.features.plan import PlanFit
    >>> fit = PlanFit.of([Category(columns=("city",), group="linear")])
    >>> plan = CompiledPlan(fit.finish(fit.summarize(pa.record_batch({"city": ["Bern", "Rome", "Rome"]}))))
    >>> plan.encode({"city": ["Bern"]}, 1)
    {'linear/category:city': array([[3]], dtype=int32)}
    """

    def __init__(self, plan: FeaturePlan) -> None:
        self.inputs = plan.inputs
        self._columns = _all_of(plan.inputs)
        place = {name: i for i, name in enumerate(plan.inputs)}
        self._placed = [
            _Placed(_step(transform), _some_of([place[name] for name in transform.inputs]), names)
            for transform, names in plan.steps()
        ]

    def encode(self, columns: Mapping[str, Values], rows: int) -> dict[str, Encoded] | None:
        """Blocks by output name, as the plan gives them; None where the plan itself has to be asked."""
        try:
            with np.errstate(all="ignore"):  # what overflows is clipped
                return self._one(columns) if rows == 1 else self._many(columns, rows)
        except _TOLD:
            return None  # the plan says what is wrong, if anything is

    def _one(self, columns: Mapping[str, Values]) -> dict[str, Encoded]:
        values = [value for (value,) in self._columns(columns)]
        blocks: dict[str, Encoded] = {}
        for step, pick, names in self._placed:
            encoded = step.one(pick(values))
            for group in names:
                blocks.update(zip(group, encoded, strict=True))
        return blocks

    def _many(self, columns: Mapping[str, Values], rows: int) -> dict[str, Encoded]:
        found = self._columns(columns)
        if set(map(len, found)) != {rows}:
            raise UnusualError
        blocks: dict[str, Encoded] = {}
        for step, pick, names in self._placed:
            encoded = step.many(pick(found), rows)
            for group in names:
                blocks.update(zip(group, encoded, strict=True))
        return blocks

    def describe(self) -> list[dict[str, Any]]:
        """Each feature, its columns, and the path they take: ``compiled`` or ``general``."""
        return [
            {"kind": step.transform.kind, "columns": list(step.transform.inputs), "path": step.path}
            for step, _, _ in self._placed
        ]


def _step(transform: Transform) -> Step:
    made = STEPS.get(type(transform), General)
    return made(transform)


def _all_of(names: Sequence[str]) -> Callable[[Mapping[str, Values]], Sequence[Values]]:
    """What finds columns by name; of one name too, as a sequence."""
    if len(names) == 1:
        return lambda columns: (columns[names[0]],)
    return cast("Callable[[Mapping[str, Values]], Sequence[Values]]", itemgetter(*names))


def _some_of(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What picks places out of a sequence; a run of neighbours in one cut."""
    first, last = places[0], places[-1]
    if list(places) == list(range(first, last + 1)):
        return itemgetter(slice(first, last + 1))
    return itemgetter(*places)
