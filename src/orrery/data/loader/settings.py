"""Everything a loader can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from orrery.data.codecs.image import Decoding, Resize
from orrery.data.loader import forms
from orrery.data.loader.pictures import Augment
from orrery.errors import SettingsError, did_you_mean

MIB = 1 << 20
Transform = Callable[[Any, np.random.Generator], Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a loader can be told; ``Table.loader`` takes the same names."""

    batch_size: int
    """Rows of a global batch: those of all workers together."""
    columns: tuple[str, ...] | None = None
    shuffle: bool = True
    seed: int = 0
    rank: int = 0
    world: int = 1
    """This worker's number, and how many there are: each takes its part of every batch."""
    form: str = "torch"
    """``torch`` or ``numpy`` (a dict of columns), ``arrow`` (a record batch), ``pandas`` (a frame)."""
    features: tuple[str, ...] = ()
    """Columns of one type that are handed out as one matrix, ``features`` [n, w]."""
    tensors: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Type and shape of columns of fixed-size bytes or lists: ``{"x": ("float32", (64, 64))}``."""
    images: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Height and width (and channels, else 3) that encoded pictures are decoded to, uint8 [n, h, w, c]."""
    resize: Resize = "antialias"
    augment: Augment | None = None
    """Changes each picture by chance: a function of uint8 [h, w, c] and a generator of seed, epoch, row."""
    transform: Transform | None = None
    """The user's own: a function of a batch and a generator of seed, epoch, batch, rank. Run in threads."""
    row_number: str | None = None
    """The name of a column to add: the row's number in the table, from 0."""
    drop_last: bool = False
    lanes: int = 4
    buffer_bytes: int = 384 * MIB
    """Memory of rows that wait to be mixed, of all workers together."""
    prefetch_bytes: int = 24 * MIB
    """Memory of batches that are ready before they are asked for."""
    threads: int | None = None
    cache: str | None = None
    """A folder for a copy of the rows, laid out for this loader: full shuffle at full speed."""
    cache_bytes: int = 64 << 30
    """How much a cache, or the spill of a query, may take on disk."""

    @classmethod
    def of(cls, **told: Any) -> Settings:
        """From what the user said. Raises SettingsError for a name that is none, and for wrong values."""
        known = [name.name for name in fields(cls)]
        for name in told:
            if name not in known:
                raise SettingsError(f"A loader has no setting {name!r}.", hint=did_you_mean(name, known))
        made = cls(**{**told, "features": _names(told.get("features", ()))})
        made.check()
        return made

    def check(self) -> None:
        """Raises SettingsError."""
        whole = ("batch_size", "world", "lanes", "buffer_bytes", "prefetch_bytes", "cache_bytes")
        for name in whole:
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise SettingsError(f"{name} is {number!r}; it is a whole number of at least 1.")
        if not 0 <= self.rank < self.world:
            raise SettingsError(f"rank is {self.rank}; of {self.world} workers it is 0 to {self.world - 1}.")
        if self.threads is not None and self.threads < 1:
            raise SettingsError(f"threads is {self.threads}; at least 1 reads.")
        if self.images and self.form in ("arrow", "pandas"):
            raise SettingsError(f"form={self.form!r} holds no decoded pictures; take 'torch' or 'numpy'.")
        if self.augment is not None and not self.images:
            raise SettingsError("augment= changes pictures; say which with images={name: (height, width)}.")
        forms.checked(self.form)
        Decoding(self.resize).check()


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
