"""What a feature is: settings that learn from columns in one pass, and become a transform.

A :class:`Feature` is an Aggregate: ``summarize`` a batch, ``merge``, ``finish`` into a :class:`Transform`.
A transform holds plain state (JSON and Arrow arrays) and turns *lifted* columns (see ``forms``) into
*encoded* ones: blocks of numbers that every learner understands, described by :class:`Output`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features.forms import Bag, Form, Lifted
from orrery.spec import Choice, Spec


class Role(StrEnum):
    """What an encoded block holds."""

    NUMBER = "number"
    """float64 [n, width]; never missing unless the feature says so (NaN, for trees)."""
    CODE = "code"
    """int32 [n, width]; position j counts from 0 to sizes[j] - 1."""
    BAG = "bag"
    """:class:`~orrery.features.forms.Bag`: weighted ids from 0 to sizes[0] - 1."""
    TENSOR = "tensor"
    """uint8 or float32 [n, *shape]; pictures are [n, channels, height, width]."""


class Output(Spec):
    """One encoded block."""

    name: str
    role: Role
    width: int = 1
    """Numbers or codes side by side."""
    sizes: tuple[int, ...] = ()
    """How many codes there are at each position (CODE), or ids in all (BAG)."""
    shape: tuple[int, ...] = ()
    """Of one row's tensor."""
    dtype: str = "float64"
    names: tuple[str, ...] = ()
    """What each position is called, for people: ``age``, ``age is missing``."""
    mean: tuple[float, ...] = ()
    """Per channel of a picture, of values 0 to 255, for the network to normalise with: (x - mean) / std."""
    std: tuple[float, ...] = ()
    photo: bool = False
    """What a tensor shows stays what it is when moved, turned or scaled a little: training may do so."""


Encoded = NDArray[Any] | Bag


def block_name(kind: str, columns: Sequence[str]) -> str:
    """What an encoded block is called: the kind and the columns; many columns are counted.

    >>> block_name("number", ["age", "height"]), block_name("number", ["a", "b", "c", "d"])
    ('number:age,height', 'number:a,b+2')
    """
    shown = ",".join(columns) if len(columns) <= 3 else f"{columns[0]},{columns[1]}+{len(columns) - 2}"
    return f"{kind}:{shown}"


class Transform:
    """A fitted feature. Pure: the same columns give the same blocks, one row or a million.

    ``inputs`` names the columns it reads; all are lifted in ``form``.
    """

    kind: ClassVar[str] = ""
    """The kind of the feature that learnt it; the same name finds the class when a model is loaded."""
    form: ClassVar[Form]

    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    folded_by: tuple[str, ...] = ()
    """The columns whose values together decide a row's fold; only where training differs from applying."""

    @abstractmethod
    def apply(self, *columns: Lifted) -> tuple[Encoded, ...]:
        """One encoded block per output, from the lifted columns in the order of ``inputs``."""

    def apply_in_training(self, row_hashes: NDArray[np.uint64], *columns: Lifted) -> tuple[Encoded, ...]:
        """Like ``apply``, on the rows that were learnt from.

        A feature that saw their labels leaves each row's own fold out; ``row_hashes`` [n] decides the fold.
        """
        return self.apply(*columns)

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything learnt: plain JSON values, and Arrow arrays by name."""

    @classmethod
    @abstractmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """The transform again. Checks what it is given: the file may be a stranger's."""


class Feature(Choice):
    """Settings of what to learn from some columns. An Aggregate whose result is a :class:`Transform`."""

    family: ClassVar[str] = "orrery.features"
    form: ClassVar[Form]
    transform: ClassVar[type[Transform]]
    """What it becomes; found by ``kind`` when a model is loaded."""

    columns: tuple[str, ...] = Field(min_length=1)
    """The columns it reads. A feature of numbers takes many at once, as one block."""
    group: str = ""
    """Puts the outputs under ``group/``, so that several learners can share one plan."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Every column that ``summarize`` reads; a supervised feature adds the target."""
        return self.columns

    def beside(self, columns: tuple[str, ...]) -> Feature:
        """The same feature, told which columns the plan reads; one that cuts rows into folds asks for it."""
        return self

    @abstractmethod
    def summarize(self, batch: RecordBatch) -> Any:
        """The summary of one batch; of an empty batch, the neutral one."""

    @abstractmethod
    def merge(self, left: Any, right: Any) -> Any:
        """The summary of both; associative and commutative."""

    @abstractmethod
    def finish(self, summary: Any) -> Transform:
        """The fitted feature."""
