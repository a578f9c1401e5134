"""Categories as codes without a vocabulary: for columns with millions of values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Coded, Form, lift

MISSING = 0
_MOST = 1 << 24


class HashingTransform(Transform):
    """One CODE block: 0 missing, else 1 and up, by a hash of the column's name and the value."""

    kind = "hashing"
    form = Form.CODED

    def __init__(self, inputs: tuple[str, ...], buckets: int) -> None:
        self.inputs = inputs
        self.buckets = buckets
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs),
                role=Role.CODE,
                width=len(inputs),
                sizes=(1 + buckets,) * len(inputs),
                dtype="int32",
                names=inputs,
            ),
        )

    def apply(self, *columns: Coded) -> tuple[Encoded, ...]:
        """int32 [n, k]."""
        out = np.empty((len(columns[0].codes), len(columns)), np.int32)
        for j, (name, (codes, values)) in enumerate(zip(self.inputs, columns, strict=True)):
            table = [1 + _hash(name, value) % self.buckets for value in values]
            table.append(MISSING)  # the code -1 finds the last one
            out[:, j] = np.array(table, np.int32)[codes]
        return (out,)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Nothing but settings."""
        return {"inputs": list(self.inputs), "buckets": self.buckets}, {}

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        return cls(state.columns(values), state.whole(values, "buckets", 2, _MOST))


class Hashing(Feature):
    """A code for each value by its hash; two values may share one. Learns nothing from the data.

    >>> fitted = Hashing(columns=("user",), buckets=8).finish(None)
    >>> fitted.apply(Coded(np.array([0, 1, -1]), ["ann", "eve"]))[0].T
    array([[5, 2, 0]], dtype=int32)
    """

    form: ClassVar[Form] = Form.CODED
    transform: ClassVar[type[Transform]] = HashingTransform

    kind: Literal["hashing"] = "hashing"
    buckets: int = Field(default=4096, ge=2, le=_MOST)
    """Codes per column, beside the one for missing."""

    def summarize(self, batch: RecordBatch) -> None:
        """Nothing is learnt; only that the columns can be read."""
        for name in self.columns:
            lift(batch.column(name).slice(0, 1), Form.CODED, name)

    def merge(self, left: None, right: None) -> None:
        """Nothing is learnt."""

    def finish(self, summary: None) -> HashingTransform:
        """The settings."""
        return HashingTransform(self.columns, self.buckets)


def _hash(column: str, value: str) -> int:
    data = f"{column}\0{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
