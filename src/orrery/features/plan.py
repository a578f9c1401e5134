"""All features of a model together: fitted in one pass, applied to a batch or to one row, saved as one file.

Equal features of several groups (learners that share a plan) are fitted, kept and computed once.

Legend: n rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.data.rowhash import row_hashes
from orrery.errors import BadRowError, SchemaError, SettingsError, UnknownColumnError
from orrery.features.feature import Encoded, Feature, Output, Transform
from orrery.features.forms import Form, Lifted, lift, lift_values
from orrery.features.saved import Part, read_parts, write_parts

if TYPE_CHECKING:
    from orrery.data.table import Table
    from orrery.engines.engine import Engine


@dataclass(frozen=True)
class PlanFit:
    """The Aggregate behind :meth:`FeaturePlan.fit`: several features in one pass."""

    features: tuple[Feature, ...]
    groups: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, features: Iterable[Feature]) -> Self:
        """Equal features but for their group become one; each learns which columns the others read."""
        groups: dict[Feature, list[str]] = {}
        for feature in features:
            named = groups.setdefault(feature.replace(group=""), [])
            if feature.group not in named:
                named.append(feature.group)
        inputs = tuple(sorted({column for feature in groups for column in feature.columns}))
        return cls(tuple(f.beside(inputs) for f in groups), tuple(map(tuple, groups.values())))

    @property
    def needs(self) -> tuple[str, ...]:
        """Every column that some feature reads, once."""
        return tuple(dict.fromkeys(column for feature in self.features for column in feature.needs))

    def summarize(self, batch: RecordBatch) -> tuple[Any, ...]:
        """Each feature's summary."""
        return tuple(feature.summarize(batch) for feature in self.features)

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        """Each feature's summaries merged."""
        return tuple(f.merge(a, b) for f, a, b in zip(self.features, left, right, strict=True))

    def finish(self, summary: tuple[Any, ...]) -> FeaturePlan:
        """The fitted plan."""
        return FeaturePlan(
            [
                Part(feature.finish(learnt), groups)
                for feature, learnt, groups in zip(self.features, summary, self.groups, strict=True)
            ]
        )


class _Step(NamedTuple):
    transform: Transform
    slots: tuple[int, ...]  # which lifted columns it reads
    names: tuple[tuple[str, ...], ...]  # of its blocks, once per group


class FeaturePlan:
    """Fitted features. ``encode`` a batch, ``encode_values`` of a request; both give the same bits.

    >>> import pyarrow as pa
    >>> from orrery.features.category import Category
    >>> batch = pa.record_batch({"city": ["Bern", "Rome", "Rome"]})
    >>> fit = PlanFit.of([Category(columns=("city",), group="linear")])
    >>> plan = fit.finish(fit.summarize(batch))
    >>> plan.encode(batch)["linear/category:city"].T
    array([[3, 2, 2]], dtype=int32)
    >>> plan.encode_values({"city": ["Bern"]})
    {'linear/category:city': array([[3]], dtype=int32)}
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        lifts: dict[tuple[str, Form], int] = {}
        self._steps = []
        taken: set[str] = set()
        outputs = []
        for transform, groups in self.parts:
            slots = tuple(lifts.setdefault((c, transform.form), len(lifts)) for c in transform.inputs)
            named = [[_unique(group, output, taken) for output in transform.outputs] for group in groups]
            outputs += [output for group in named for output in group]
            names = tuple(tuple(output.name for output in group) for group in named)
            self._steps.append(_Step(transform, slots, names))
        self._lifts = tuple(lifts)
        self.inputs: tuple[str, ...] = tuple(dict.fromkeys(name for name, _ in lifts))
        self.outputs: tuple[Output, ...] = tuple(outputs)

    @classmethod
    def fit(cls, features: Sequence[Feature], table: Table, engine: Engine | None = None) -> FeaturePlan:
        """Learn all in one pass. Raises UnknownColumnError, and what single features raise."""
        if not features:
            raise SettingsError("There is no feature to fit.", hint="Name at least one.")
        gather = PlanFit.of(features)
        plan: FeaturePlan = table.select(*gather.needs).aggregate(gather, engine)
        return plan

    def encode(self, batch: RecordBatch, *, training: bool = False, start: int = 0) -> dict[str, Encoded]:
        """Blocks by output name. ``training``: these are the rows that were learnt from.

        ``start`` is the number of the first row, for messages. Raises UnknownColumnError, SchemaError and,
        for a single value, BadRowError.
        """
        names = batch.schema.names
        if missing := [name for name in self.inputs if batch.schema.get_field_index(name) < 0]:
            raise UnknownColumnError(missing[0], names)
        try:
            lifted = [lift(batch.column(name), form, name) for name, form in self._lifts]
            if not training:
                return self._apply(lifted, _apply_one)
            return self._apply(lifted, _Training(batch))
        except BadRowError as error:
            _count_from(start, error)
            raise

    def encode_values(self, columns: Mapping[str, Sequence[object]], *, start: int = 0) -> dict[str, Encoded]:
        """The same from Python values, a list per column. Raises UnknownColumnError and BadRowError."""
        try:
            return self._apply(self._lift_values(columns), _apply_one)
        except BadRowError as error:
            _count_from(start, error)
            raise

    def _lift_values(self, columns: Mapping[str, Sequence[object]]) -> list[Lifted]:
        try:
            found = [columns[name] for name, _ in self._lifts]
        except KeyError as missing:
            raise UnknownColumnError(str(missing.args[0]), columns) from None
        if len(set(map(len, found))) > 1:
            raise SchemaError("The columns have different lengths.", hint="Give each row a value or None.")
        given = list(zip(found, self._lifts, strict=True))
        floats = _lift_floats([values for values, (_, form) in given if form is Form.FLOAT])
        return [
            next(floats) if floats and form is Form.FLOAT else lift_values(values, form, name)
            for values, (name, form) in given
        ]

    def _apply(
        self,
        lifted: Sequence[Lifted],
        apply: Callable[[Transform, list[Lifted]], tuple[Encoded, ...]],
    ) -> dict[str, Encoded]:
        blocks: dict[str, Encoded] = {}
        for transform, slots, names in self._steps:
            encoded = apply(transform, [lifted[slot] for slot in slots])
            for group in names:
                blocks.update(zip(group, encoded, strict=True))
        return blocks

    def subset(self, groups: Iterable[str]) -> FeaturePlan:
        """Only what some groups need. Raises SettingsError where nothing is left."""
        wanted = set(groups)
        parts = [Part(t, tuple(g for g in own if g in wanted)) for t, own in self.parts if wanted & {*own}]
        if not parts:
            raise SettingsError(f"No feature is in the groups {sorted(wanted)}.")
        return FeaturePlan(parts)

    def steps(self) -> Iterator[tuple[Transform, tuple[tuple[str, ...], ...]]]:
        """Each transform, and the names of its blocks, once per group."""
        return ((step.transform, step.names) for step in self._steps)

    def to_arrow(self) -> Any:
        """Everything learnt, as an Arrow table of plain values: one row per feature."""
        return write_parts(self.parts)

    @classmethod
    def from_arrow(cls, table: Any) -> FeaturePlan:
        """The plan again; a stranger's table is checked. Raises ModelFormatError, ModelVersionError."""
        return cls(read_parts(table))

    def describe(self) -> list[dict[str, Any]]:
        """What each feature learnt, for people: plain values; long lists are cut and counted."""
        return [_describe(part) for part in self.parts]


def _apply_one(transform: Transform, columns: list[Lifted]) -> tuple[Encoded, ...]:
    return transform.apply(*columns)


def _count_from(start: int, error: BadRowError) -> None:
    """Name the row by its number among all, where a batch is one of several."""
    if start and error.row is not None:
        error.row += start
        error.pointer = f"row {error.row}"


class _Training:
    """Applies transforms to the rows that were learnt from; rows are hashed once per set of columns."""

    def __init__(self, batch: RecordBatch) -> None:
        self.batch = batch
        self.hashes: dict[tuple[str, ...], NDArray[np.uint64]] = {}

    def __call__(self, transform: Transform, columns: list[Lifted]) -> tuple[Encoded, ...]:
        by = transform.folded_by
        if not by:
            return transform.apply(*columns)
        if by not in self.hashes:
            self.hashes[by] = row_hashes(self.batch, by)
        return transform.apply_in_training(self.hashes[by], *columns)


def _unique(group: str, output: Output, taken: set[str]) -> Output:
    """The output under ``group/``, with a number behind its name where the name is taken."""
    first = f"{group}/{output.name}" if group else output.name
    name, n = first, 1
    while name in taken:
        n += 1
        name = f"{first}#{n}"
    taken.add(name)
    return output.replace(name=name)


_PLAIN_NUMBERS = {float, int, bool, type(None)}


def _lift_floats(columns: Sequence[Sequence[object]]) -> Iterator[NDArray[np.float64]] | None:
    """All columns of numbers in one go; None where a value needs a closer look."""
    flat = [value for column in columns for value in column]
    if not set(map(type, flat)) <= _PLAIN_NUMBERS:
        return None
    try:
        return iter(np.array(flat, np.float64).reshape(len(columns), -1))
    except (OverflowError, ValueError):
        return None


def _describe(part: Part) -> dict[str, Any]:
    values, arrays = part.transform.state()
    learnt = {name: value for name, value in values.items() if name != "inputs"}
    for name, array in arrays.items():
        cut = [f"… {len(array)} in all"] if len(array) > 20 else []
        learnt[name] = array[:20].to_pylist() + cut
    return {
        "kind": part.transform.kind,
        "columns": list(part.transform.inputs),
        "groups": list(part.groups),
        "outputs": [output.to_dict() for output in part.transform.outputs],
        "learnt": learnt,
    }
