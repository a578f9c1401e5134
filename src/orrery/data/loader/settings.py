"""Everything a loader can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any

import numpy as np

from orrery.data.codecs.image import Decoding, Resize
from orrery.data.loader import forms
from orrery.data.loader.pictures import Augment, sizes
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

    keep_bytes: int = 8 << 30
    """How many decoded rows of compressed files a scratch file may keep for later epochs; 0 keeps none."""

    @classmethod
    def of(cls, **told: Any) -> Settings:
        """From what the user said. Raises SettingsError for a name that is none, and for wrong values."""
        known = [name.name for name in fields(cls)]
        for name in told:
            if name not in known:
                raise SettingsError(f"A loader has no setting {name!r}.", hint=did_you_mean(name, known))
        lists = {n: _names(n, told[n]) for n in ("features", "columns") if told.get(n) is not None}
        made = cls(**{**told, **lists})
        made.check()
        return made

    def check(self) -> None:
        """Raises SettingsError."""
        for name in _WHOLE:
            if not _is_whole(getattr(self, name), 1):
                raise SettingsError(f"{name} is {getattr(self, name)!r}; it is a whole number of at least 1.")
        if not _is_whole(self.keep_bytes, 0):
            raise SettingsError(f"keep_bytes is {self.keep_bytes!r}; it is a whole number of at least 0.")
        if not _is_whole(self.seed, None):
            raise SettingsError(f"seed is {self.seed!r}; it is a whole number.")
        if not (_is_whole(self.rank, 0) and self.rank < self.world):
            raise SettingsError(
                f"rank is {self.rank!r}; of {self.world} workers it is 0 to {self.world - 1}."
            )
        if self.threads is not None and not _is_whole(self.threads, 1):
            raise SettingsError(f"threads is {self.threads!r}; at least 1 reads.")
        for name, (kinds, allowed) in _ALLOWED.items():
            if not isinstance(getattr(self, name), kinds):
                raise SettingsError(f"{name} is {getattr(self, name)!r:.80}; it is {allowed}.")
        for name in ("augment", "transform"):
            if not (getattr(self, name) is None or callable(getattr(self, name))):
                raise SettingsError(f"{name} is {getattr(self, name)!r:.80}; it is a function.")
        self._check_tensors()
        sizes(self.images)
        if self.images and self.form in ("arrow", "pandas"):
            raise SettingsError(f"form={self.form!r} holds no decoded pictures; take 'torch' or 'numpy'.")
        if self.augment is not None and not self.images:
            raise SettingsError("augment= changes pictures; say which with images={name: (height, width)}.")
        forms.checked(self.form)
        Decoding(self.resize).check()

    def _check_tensors(self) -> None:
        for name, told in self.tensors.items():
            try:
                dtype, shape = told
                np.dtype(dtype)
                good = all(_is_whole(size, 1) for size in shape)
            except (TypeError, ValueError):
                good = False
            if not good:
                raise SettingsError(
                    f"tensors={{{name!r}: {told!r:.80}}} is no tensor: a type of NumPy and a shape.",
                    hint=f"tensors={{{name!r}: ('float32', (64, 64))}}",
                )


_WHOLE = ("batch_size", "world", "lanes", "buffer_bytes", "prefetch_bytes", "cache_bytes")
_ALLOWED: dict[str, tuple[Any, str]] = {
    "images": (Mapping, "sizes by column: {name: (height, width)}"),
    "tensors": (Mapping, "types and shapes by column: {name: ('float32', (64, 64))}"),
    "shuffle": (bool, "True or False"),
    "drop_last": (bool, "True or False"),
    "row_number": (str | None, "the name of a column to add"),
    "cache": (str | PathLike | None, "a folder"),
}


def _is_whole(number: Any, least: int | None) -> bool:
    whole = isinstance(number, int) and not isinstance(number, bool)
    return whole and (least is None or bool(number >= least))


def _names(setting: str, names: Any) -> tuple[str, ...]:
    found = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    if not all(isinstance(name, str) for name in found):
        raise SettingsError(f"{setting} is {names!r:.80}; it is a list of columns.")
    return found
