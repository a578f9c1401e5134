"""What a function that runs in a gang is given: its place, its rows, and a way to save and to report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.engines.engine import Member
from orrery.errors import SettingsError
from orrery.training.world import Growing


@dataclass(frozen=True)
class Rows:
    """All rows of the gang's table, as one Arrow table."""

    table: Any

    def take(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Some rows: numbers as NumPy arrays, all else as lists."""
        taken = self.table.take(rows)
        return {name: _plain(taken.column(name)) for name in taken.schema.names}


class Worker:
    """One worker of a gang, as ``fn`` sees it.

    >>> import pyarrow as pa
    >>> worker = Worker(Member(), "cpu", Path("kept"), Rows(pa.table({"x": [1, 2, 3]})), 0, bool)
    >>> sorted(int(x) for batch in worker.batches(2) for x in batch["x"])
    [1, 2, 3]
    """

    def __init__(
        self,
        member: Member,
        device: str,
        folder: Path,
        rows: Rows | None,
        seed: int,
        meet: Callable[[bool], bool],
    ) -> None:
        self.member = member
        self.device = device
        self.folder = folder
        self.seed = seed
        self._rows = rows
        self._meet = meet
        self._epoch = self._batch = 0
        self._restored: dict[str, Any] | None = None
        self._looked = False

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""
        return self.member.rank

    @property
    def world(self) -> int:
        """How many workers there are."""
        return self.member.size

    @property
    def restored(self) -> dict[str, Any] | None:
        """What was saved last, by this call or one that was cut short; None at the very start."""
        if not self._looked:
            self._look()
        return self._restored

    def epochs(self, count: int) -> Iterator[int]:
        """The epochs that are left of so many."""
        if not self._looked:
            self._look()
        for epoch in range(self._epoch, count):
            self._epoch = epoch
            yield epoch
            self._epoch, self._batch = epoch + 1, 0

    def batches(self, size: int, *, shuffle: bool = True) -> Iterator[dict[str, Any]]:
        """This worker's part of each batch of ``size`` rows, for one epoch; columns by name.

        The batches are the same whatever the number of workers; a part may have no rows at the end. What was
        saved within an epoch is gone on from at the very next batch.
        """
        if self._rows is None:
            raise SettingsError("This gang has no rows.", hint="Name them: gang(fn, workers=…, table=…).")
        if not self._looked:
            self._look()
        rows = self._rows.table.num_rows
        order = self._order(rows) if shuffle else np.arange(rows, dtype=np.int64)
        for low in range(self._batch * size, rows, size):
            batch = order[low : low + size]
            first, last = (len(batch) * r // self.world for r in (self.rank, self.rank + 1))
            self._batch += 1
            yield self._rows.take(batch[first:last])
        self._epoch, self._batch = self._epoch + 1, 0

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep tensors and plain values, and how far the rows are; all workers call it, the first writes.

        A gang that may change its size, and has room for more workers, then begins anew with them.
        """
        from orrery.training import checkpoint

        if self.rank == 0:
            tensors = {name: value for name, value in state.items() if hasattr(value, "detach")}
            plain = {name: value for name, value in state.items() if name not in tensors}
            path = checkpoint.write(self.folder, tensors, {"plain": plain, "at": [self._epoch, self._batch]})
            if self.member.folder is not None and self.member.link is not None:
                self.member.link.keep(path)
        link = self.member.link
        if self._meet(link is not None and link.growing):
            raise Growing

    def report(self, **values: float) -> None:
        """Tell the driver, who hands it to ``on_report``."""
        if self.member.link is not None:
            self.member.link.tell({name: float(value) for name, value in values.items()})

    def _order(self, rows: int) -> NDArray[np.int64]:
        key = np.array([self.seed & 0xFFFF_FFFF_FFFF_FFFF, self._epoch], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(rows)

    def _look(self) -> None:
        self._looked = True
        if not self.folder.exists():
            return
        from orrery.training import checkpoint

        found = checkpoint.read(self.folder)
        if found is not None:
            tensors, values = found
            self._restored = {**tensors, **values["plain"]}
            self._epoch, self._batch = values["at"]


def _plain(column: Any) -> Any:
    try:
        found = column.to_numpy()
    except (ValueError, TypeError, NotImplementedError):
        return column.to_pylist()
    # A copy, for Arrow's own memory cannot be written to, which torch warns of.
    return column.to_pylist() if found.dtype == object else found.copy()
