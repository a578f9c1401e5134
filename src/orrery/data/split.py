"""Parts of a table, decided by hashes of the rows: the same row falls in the same part, wherever it lies.

``ratio`` alone needs no pass: a row belongs where its key's hash falls between 0 and 2**64, so shares are
right on average and a row stays in its part when others come. ``stratify`` and ``time`` cut at ranks, and
learn the cuts in one pass when rows are first read; they hold 16 bytes per row while they learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.data.rowhash import Hashes, column_hashes, row_hashes, text_hash
from orrery.data.steps import positions, union_of
from orrery.errors import EmptyTableError, SettingsError

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """How a table is cut. Column names are tuples; ``ratio`` has one share per part."""

    ratio: tuple[float, ...] = (0.8, 0.2)
    stratify: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    time: str | None = None
    key: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        given = [name for name in ("stratify", "group", "time", "key") if getattr(self, name)]
        if len(set(given) - {"key"}) > 1 or ("key" in given and ("group" in given or "time" in given)):
            raise SettingsError(
                f"A split takes one of stratify, group and time; received {', '.join(given)}."
            )
        good = len(self.ratio) > 1 and all(0.0 <= r <= 1.0 for r in self.ratio)
        if not good or not math.isclose(sum(self.ratio), 1.0, abs_tol=1e-9):
            raise SettingsError(
                f"The ratio {self.ratio} is not shares of a whole.",
                hint="Give one share between 0 and 1, or several that add up to 1: ratio=(0.7, 0.2, 0.1).",
            )

    @property
    def ends(self) -> list[float]:
        """Where each part but the last ends, from 0 to 1."""
        return [math.fsum(self.ratio[: i + 1]) for i in range(len(self.ratio) - 1)]

    def reads(self, have: Any) -> tuple[str, ...]:
        """Columns that decide. Raises UnknownColumnError."""
        if self.time is not None:
            names: tuple[str, ...] = (self.time,)
        else:
            names = self.group or self.key or tuple(have.names)
        names = tuple(union_of(names, self.stratify))
        positions(have, names)
        return names

    def hashes(self, batch: RecordBatch) -> Hashes:
        """The hash of each row's key [n]."""
        return row_hashes(batch, self.group or self.key or None, self.seed)


@dataclass(frozen=True)
class _Ranks:
    """The Aggregate that learns the exact shares of strata: of each row the hashes of stratum and key."""

    shares: Shares

    def summarize(self, batch: RecordBatch) -> list[tuple[Hashes, Hashes]]:
        """The hashes of a batch [n], twice."""
        return [(row_hashes(batch, self.shares.stratify), self.shares.hashes(batch))]

    def merge(
        self, left: list[tuple[Hashes, Hashes]], right: list[tuple[Hashes, Hashes]]
    ) -> list[tuple[Hashes, Hashes]]:
        """All of them; their order does not matter."""
        return [*left, *right]

    def finish(self, summary: list[tuple[Hashes, Hashes]]) -> tuple[Hashes, NDArray[np.bool_], Hashes]:
        """Strata [s], sorted; whether a part takes any row [s, parts - 1]; its last hash [s, parts - 1]."""
        shares, empty = self.shares, np.zeros(0, np.uint64)
        stratum = np.concatenate([empty, *(one for one, _ in summary)])
        ranked = np.concatenate([empty, *(other for _, other in summary)])
        order = np.lexsort((ranked, stratum))
        stratum, ranked = stratum[order], ranked[order]
        strata, first, counts = np.unique(stratum, return_index=True, return_counts=True)
        # What does not divide is rounded by chance, so that many small strata keep the ratio in all.
        chance = column_hashes(pa.array(strata ^ np.uint64(text_hash(str(shares.seed))))) / 2.0**64
        ends = np.array(shares.ends)
        taken = np.floor(counts[:, None] * ends + np.minimum(chance, 1 - 1e-9)[:, None] + 1e-9).astype(
            np.int64
        )
        taken = np.minimum(taken, counts[:, None])
        last = (
            ranked[first[:, None] + np.maximum(taken - 1, 0)]
            if len(strata)
            else np.zeros((0, len(ends)), np.uint64)
        )
        return strata, taken > 0, last


class Cuts:
    """Which part each row of a table belongs to; learns what it must when first asked."""

    def __init__(self, shares: Shares, table: Any) -> None:
        self.shares = shares
        self.table = table

    def __getstate__(self) -> dict[str, Any]:
        """What was learnt travels; the table, whose place may not be reached from elsewhere, stays."""
        self.learn()
        return {**self.__dict__, "table": None}

    def parts(self, batch: RecordBatch) -> Places:
        """The part of each row [n]; the batch has exactly the columns that the split reads."""
        if self.shares.time is not None:
            return self._by_time(batch)
        hashes = self.shares.hashes(batch)
        if self.shares.stratify:
            return self._by_stratum(batch, hashes)
        bounds = np.array([min(int(end * 2**64), 2**64 - 1) for end in self.shares.ends], np.uint64)
        return np.searchsorted(bounds, hashes, side="right")

    def learn(self, engine: Any = None) -> None:
        """Make the pass now, if the split needs one; of the exact shares of strata, on an engine."""
        if engine is not None and self.shares.stratify and "_strata" not in self.__dict__:
            columns = self.shares.reads(self.table.empty().schema)
            self.__dict__["_strata"] = self.table.select(*columns).aggregate(_Ranks(self.shares), engine)
        elif self.shares.time is not None:
            _ = self._times
        elif self.shares.stratify:
            _ = self._strata

    def _batches(self) -> Iterator[RecordBatch]:
        columns = self.shares.reads(self.table.empty().schema)
        return iter(self.table.batches(columns=columns))

    @cached_property
    def _strata(self) -> tuple[Hashes, NDArray[np.bool_], Hashes]:
        """Strata [s], sorted; whether a part takes any row [s, parts - 1]; its last hash [s, parts - 1]."""
        ranks = _Ranks(self.shares)
        return ranks.finish([found for batch in self._batches() for found in ranks.summarize(batch)])

    def _by_stratum(self, batch: RecordBatch, hashes: Hashes) -> Places:
        strata, some, last = self._strata
        if not len(strata):
            return np.zeros(batch.num_rows, np.int64)
        place = np.searchsorted(strata, row_hashes(batch, self.shares.stratify))
        within = some[place] & (hashes[:, None] <= last[place])
        return np.asarray(len(self.shares.ends) - within.sum(axis=1), np.int64)

    @cached_property
    def _times(self) -> list[tuple[bool, Any]]:
        """For each part but the last: whether it takes any row, and the latest time it takes."""
        found = [_times_of(batch, str(self.shares.time))[0] for batch in self._batches()]
        times = np.sort(np.concatenate(found)) if found else np.zeros(0)
        if not len(times):
            raise EmptyTableError(
                f"There is no row with a time in {self.shares.time!r}, so nothing to cut at."
            )
        taken = [round(len(times) * end) for end in self.shares.ends]
        return [(n > 0, times[max(n - 1, 0)]) for n in taken]

    def _by_time(self, batch: RecordBatch) -> Places:
        known, missing, values = _times_of(batch, str(self.shares.time))
        del known
        within = np.zeros(len(values), np.int64)
        for some, latest in self._times:
            within += (values <= latest) & some
        return np.where(missing, 0, len(self.shares.ends) - within)


def _times_of(batch: RecordBatch, name: str) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """The known times; which rows have none [n]; every row's, 0 where missing [n]."""
    column = batch.column(batch.schema.get_field_index(name))
    kind = column.type
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        column = column.cast(pa.int32())
    elif pa.types.is_temporal(kind):
        column = column.cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SettingsError(
            f"The column {name!r} is {kind}; a split by time needs dates, times or numbers.",
            hint="Convert it first: table.sql('select *, cast(day as timestamp) as at from this').",
        )
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return values[~missing], missing, values


@dataclass(frozen=True, eq=False)
class Part:
    """The step that keeps one part of a split."""

    cuts: Cuts
    index: int

    def schema(self, have: Any) -> Any:
        """Unchanged; the columns that decide must be there."""
        self.cuts.shares.reads(have)
        return have

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """Adds the columns that decide."""
        return union_of(wanted, self.cuts.shares.reads(have))

    def run(self, batches: Iterator[RecordBatch], have: Any, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        """Filtered."""
        deciding = list(self.cuts.shares.reads(have))
        for batch in batches:
            parts = self.cuts.parts(batch.select(deciding))
            yield batch.filter(pa.array(parts == self.index))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        shares = self.cuts.shares
        settings = {n: getattr(shares, n) for n in ("stratify", "group", "time", "key")}
        plain = {n: list(v) if isinstance(v, tuple) else v for n, v in settings.items() if v}
        return {"step": "part", "part": self.index, "ratio": list(shares.ratio), **plain, "seed": shares.seed}


@dataclass(frozen=True, eq=False)
class Sample:
    """The step that keeps some rows: those with the smallest hashes, in their order."""

    table: Any
    rows: int | None = None
    share: float | None = None
    seed: int = 0

    def schema(self, have: Any) -> Any:
        """Unchanged."""
        return have

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """All: every column has its part in the hash."""
        return list(have.names)

    @cached_property
    def _bound(self) -> tuple[int, int]:
        """The greatest hash that is kept, and how many rows of just that hash."""
        if self.share is not None:
            return min(int(self.share * 2**64), 2**64) - 1, 2**63
        kept = np.zeros(0, np.uint64)
        for batch in self.table.batches():
            kept = np.sort(np.concatenate([kept, self._hashes(batch)]))[: self.rows]
        return (int(kept[-1]), int((kept == kept[-1]).sum())) if len(kept) else (-1, 0)

    def _hashes(self, batch: RecordBatch) -> Hashes:
        # Another seed than a split of the same seed has: a sample of its part must not be all or nothing.
        return row_hashes(batch, None, self.seed ^ text_hash("sample"))

    def run(self, batches: Iterator[RecordBatch], have: Any, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        """Filtered."""
        bound, ties = self._bound
        for batch in batches:
            hashes = self._hashes(batch.select(have.names))
            if bound < 0:
                keep = np.zeros(len(hashes), bool)
            else:
                same = hashes == np.uint64(bound)
                keep = (hashes < np.uint64(bound)) | (same & (np.cumsum(same) <= ties))
                ties -= int((keep & same).sum())
            yield batch.filter(pa.array(keep))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": "sample", "rows": self.rows, "share": self.share, "seed": self.seed}
