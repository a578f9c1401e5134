"""Pictures of a batch: decoded straight into the batch, and changed by chance that can be repeated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.data import pictures
from orrery.data.codecs import image
from orrery.data.loader.arena import Buffers
from orrery.data.loader.order import draw
from orrery.data.quarantine import BadRows
from orrery.data.source import Source
from orrery.data.steps import Step
from orrery.errors import BadRowError, SettingsError
from orrery.schema import Kind

_AUGMENT = 4  # what is drawn, beside the order's own

Augment = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]


@dataclass(frozen=True)
class Pictures:
    """Columns of encoded pictures, and what each becomes: uint8 [h, w, c].

    ``augment`` is given each picture and a generator that depends on seed, epoch and row only; it gives a
    picture of the same shape.
    """

    sizes: Mapping[str, tuple[int, int, int]]
    decoding: image.Decoding
    augment: Augment | None
    seed: int
    buffers: Buffers
    """Memory for pixels; its ``get`` is called under a lock."""
    lock: Lock = field(default_factory=Lock)

    def decoded(
        self, name: str, column: Any, epoch: int, rows: NDArray[np.int64] | None
    ) -> NDArray[np.uint8]:
        """The pictures of a column, uint8 [n, h, w, c]. Raises BadRowError that names column and row."""
        shape = (len(column), *self.sizes[name])
        with self.lock:
            out = self.buffers.get(math.prod(shape)).reshape(shape)
        for i, cell in enumerate(column):
            data = cell.as_buffer()
            if data is None:
                raise self._bad(name, i, rows, "it is missing")
            try:
                image.decode_into(data.to_pybytes(), out[i], settings=self.decoding)
            except BadRowError as error:
                raise self._bad(name, i, rows, error.message.rstrip(".")) from None
            if self.augment is not None and rows is not None:
                chance = draw(self.seed, epoch, _AUGMENT, int(rows[i, 0]))
                out[i] = self._same(self.augment(out[i], chance), out[i].shape)
        return out

    def _bad(self, name: str, i: int, rows: NDArray[np.int64] | None, reason: str) -> BadRowError:
        row = int(rows[i, 0]) if rows is not None else i
        aside = f"Set such rows aside: read(…, kinds={{{name!r}: 'image'}}, on_bad='quarantine')"
        error = BadRowError(
            f"The picture {name!r} of row {row} cannot be used: {reason}.",
            hint=f"{aside}; or leave out what is missing: where('{name} is not null').",
        )
        error.column, error.row = name, row
        return error

    @staticmethod
    def _same(made: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        found = np.asarray(made)
        if found.shape != shape or found.dtype != np.uint8:
            raise SettingsError(
                f"augment gave {found.dtype} {found.shape}; a picture stays uint8 {shape}.",
                hint="Scale and normalise in transform= or in the network.",
            )
        return found


@dataclass(frozen=True, eq=False)
class Needed(pictures.Pictures):
    """The step that sets rows aside whose picture is corrupt or missing: a batch cannot do without it."""

    there: tuple[str, ...] = ()
    """The columns of which none may be missing."""

    def _good(self, value: Any, row: int, name: str, kind: Kind) -> bool:
        if value is None and name in self.there:
            self.bad.report(self.place, row, name, "", "is missing")
            return False
        return super()._good(value, row, name, kind)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the rows are others than those of the step that it stands for."""
        return {**super().to_dict(), "there": list(self.there)}


def needed(source: Source, steps: Sequence[Step], columns: Sequence[str]) -> tuple[Step, ...]:
    """The steps of a table, which set aside what these columns cannot be decoded from where it was so asked.

    So it is decided which rows there are before their order is made.
    """
    found: list[Step] = []
    left = dict.fromkeys(columns)
    aside: BadRows | None = getattr(source, "bad", None)
    for step in steps:
        if isinstance(step, pictures.Pictures):
            there = tuple(name for name in step.columns if left.pop(name, name) is None)
            step, aside = Needed(step.columns, step.place, step.bad, step.kinds, there), step.bad
        found.append(step)
    if left and aside is not None and aside.on_bad == "quarantine":
        found.append(Needed(tuple(left), repr(source), aside, there=tuple(left)))
    return tuple(found)


def sizes(images: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, int, int]]:
    """``(h, w)`` or ``(h, w, c)`` of each column, checked. Raises SettingsError."""
    found = {}
    for name, shape in images.items():
        whole = tuple(shape) if isinstance(shape, (list, tuple)) else ()
        whole = (*whole, 3) if len(whole) == 2 else whole
        good = len(whole) == 3 and all(isinstance(size, int) and size > 0 for size in whole)
        if not good or whole[2] not in (1, 3, 4):
            raise SettingsError(
                f"images={{{name!r}: {shape}}} is no size: height, width, and 1, 3 or 4 channels."
            )
        found[name] = (whole[0], whole[1], whole[2])
    return found
