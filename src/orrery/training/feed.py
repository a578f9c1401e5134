"""The feed: encoded rows, handed out in one order that depends on nothing but seed and epoch.

The order of epoch *e* is a permutation drawn from Philox(seed, e). Global batch *k* is its k-th slice, and
worker *r* of *n* takes its part of every slice. So threads, workers and stops change nothing: to go on
after a stop, ask for the batches from ``start``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from orrery.data.table import Table
from orrery.features.feature import Encoded, Output
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.spec import stable_key
from orrery.training.blocks import Batch, take_rows
from orrery.training.encoding import MEMORY_BYTES, encode
from orrery.training.world import World


class Feed:
    """Encoded rows with their targets.

    >>> from orrery.features.feature import Role
    >>> from orrery.schema import Kind
    >>> target = Target(name="y", kind=Kind.NUMBER, type="double")
    >>> x = Output(name="x", role=Role.NUMBER)
    >>> feed = Feed.of((x,), target, {"x": np.array([[1.0], [2.0], [3.0]])}, np.array([2.0, 4.0, 6.0]))
    >>> [batch.rows.tolist() for batch in feed.batches(epoch=0, size=2, shuffle=False)]
    [[0, 1], [2]]
    >>> feed.take(np.array([2])).blocks["x"]
    array([[3.]])
    """

    def __init__(
        self,
        outputs: tuple[Output, ...],
        target: Target,
        whole: Batch,
        hashes: NDArray[np.uint64],
        *,
        validation: Feed | None = None,
        seed: int = 0,
        fingerprint: str = "",
    ) -> None:
        self.outputs = outputs
        self.target = target
        self.hashes = hashes
        self.validation = validation
        self.seed = seed
        self.rows = len(whole.target)
        self._whole = whole
        self._index: NDArray[np.int64] | None = None  # of a subset: its rows' places in ``_whole``
        self._fingerprint = fingerprint

    @classmethod
    def of(
        cls,
        outputs: Sequence[Output],
        target: Target,
        blocks: Mapping[str, Encoded],
        values: NDArray[Any],
        *,
        weight: NDArray[np.float64] | None = None,
        validation: Feed | None = None,
        seed: int = 0,
    ) -> Self:
        """A feed of arrays that are already encoded; rows are told apart by their numbers."""
        rows = np.arange(len(values), dtype=np.int64)
        whole = Batch(dict(blocks), values, weight, rows)
        return cls(tuple(outputs), target, whole, rows.astype(np.uint64), validation=validation, seed=seed)

    @classmethod
    def build(
        cls,
        plan: FeaturePlan,
        target: Target,
        table: Table,
        *,
        validation: Table | None = None,
        weight: str | None = None,
        seed: int = 0,
        memory_bytes: int = MEMORY_BYTES,
    ) -> Self:
        """Encode a table in one pass (and the held-out rows in another).

        Training rows are encoded as such: a feature that saw their labels leaves each row's own fold out.
        Raises EmptyTableError, UnknownColumnError, TargetError, and SettingsError for weights that are none.
        """
        held = None
        if validation is not None:
            whole, hashes = encode(plan, target, validation, weight, memory_bytes, training=False)
            held = cls(plan.outputs, target, whole, hashes)
        whole, hashes = encode(plan, target, table, weight, memory_bytes, training=True)
        return cls(plan.outputs, target, whole, hashes, validation=held, seed=seed)

    @property
    def fingerprint(self) -> str:
        """What the rows are, in their order: the same wherever they lay before."""
        if not self._fingerprint:
            digest = hashlib.sha256(np.ascontiguousarray(self.hashes).tobytes())
            for array in self.truth():
                if array is not None:
                    digest.update(np.ascontiguousarray(array).tobytes())
            outputs = [output.to_dict() for output in self.outputs]
            held = self.validation.fingerprint if self.validation else None
            self._fingerprint = stable_key(digest.hexdigest(), outputs, self.target.to_dict(), held)
        return self._fingerprint

    def all(self) -> Batch:
        """Everything; zero-copy, but for a subset, whose rows are gathered."""
        return self._whole if self._index is None else self.take(np.arange(self.rows, dtype=np.int64))

    def truth(self) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """The targets of all rows, and their weights where they have any; no block is touched."""
        target, weight, index = self._whole.target, self._whole.weight, self._index
        if index is None:
            return target, weight
        return target[index], None if weight is None else weight[index]

    def take(self, rows: NDArray[np.int64]) -> Batch:
        """Some rows, by number, in the order asked for."""
        places = rows if self._index is None else self._index[rows]
        whole = self._whole
        blocks = {name: take_rows(block, places) for name, block in whole.blocks.items()}
        weight = None if whole.weight is None else whole.weight[places]
        return Batch(blocks, np.take(whole.target, places, axis=0), weight, rows)

    def batches(
        self, epoch: int, size: int, *, start: int = 0, shuffle: bool = True, world: World | None = None
    ) -> Iterator[Batch]:
        """This worker's part of each global batch from batch ``start``; the last may be short."""
        order = self.order(epoch) if shuffle else np.arange(self.rows, dtype=np.int64)
        rank, workers = (world.rank, world.size) if world else (0, 1)
        for low in range(start * size, self.rows, size):
            batch = order[low : low + size]
            part = batch[len(batch) * rank // workers : len(batch) * (rank + 1) // workers]
            yield replace(self.take(part), size=len(batch), total=self._total(batch))

    def _total(self, rows: NDArray[np.int64]) -> float:
        weight = self._whole.weight
        if weight is None:
            return float(len(rows))
        places = rows if self._index is None else self._index[rows]
        return max(float(weight[places].sum()), 1e-12)  # so that a loss can be divided by it

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the rows in an epoch: a pure function of seed, epoch and the number of rows."""
        key = np.array([self.seed & 0xFFFF_FFFF_FFFF_FFFF, epoch], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(self.rows)

    def subset(self, rows: NDArray[np.int64], validation_rows: NDArray[np.int64] | None = None) -> Feed:
        """A view of some rows (a fold), perhaps with others to validate on; nothing is copied yet."""
        part = Feed(self.outputs, self.target, self._whole, self.hashes[rows], seed=self.seed)
        part.rows = len(rows)
        part._index = rows if self._index is None else self._index[rows]
        part.validation = self.subset(validation_rows) if validation_rows is not None else None
        return part

    def by_content(self) -> Feed:
        """A view in the order of the rows' hashes: one order, wherever and however the rows came."""
        part = self.subset(np.argsort(self.hashes, kind="stable").astype(np.int64))
        part.validation = self.validation.by_content() if self.validation is not None else None
        return part

    def reweighted(self, weight: NDArray[np.float64]) -> Feed:
        """A view whose rows count as ``weight`` [rows] says; the held-out rows keep theirs."""
        places = self._index
        whole = self._whole
        if places is not None:
            spread = np.zeros(len(whole.target))
            spread[places] = weight
            weight = spread
        part = Feed(self.outputs, self.target, replace(whole, weight=weight), self.hashes, seed=self.seed)
        part.rows, part._index, part.validation = self.rows, places, self.validation
        return part

    def view(self, group: str) -> Feed:
        """Only the outputs under ``group/``, named without it. An empty group is everything."""
        if not group:
            return self
        prefix = f"{group}/"
        chosen = {o.name: o.replace(name=o.name.removeprefix(prefix)) for o in self.outputs}
        chosen = {name: output for name, output in chosen.items() if name.startswith(prefix)}
        blocks = {output.name: self._whole.blocks[name] for name, output in chosen.items()}
        whole = replace(self._whole, blocks=blocks)
        held = self.validation.view(group) if self.validation else None
        part = Feed(tuple(chosen.values()), self.target, whole, self.hashes, validation=held, seed=self.seed)
        part.rows, part._index = self.rows, self._index
        return part

    def close(self) -> None:
        """Let go of the rows; the scratch file, which has no name, goes with them."""
        empty = np.zeros(0, np.int64)
        self._whole = Batch({}, empty, None, empty)
        self.hashes, self._index, self.rows = empty.astype(np.uint64), None, 0
        if self.validation is not None:
            self.validation.close()
