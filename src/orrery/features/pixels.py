"""Sums over pixels, per channel: whole numbers, hence exact however the rows are cut or ordered."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pixels:
    """Of one picture or many."""

    count: int = 0
    sums: tuple[int, ...] = ()
    squares: tuple[int, ...] = ()

    @classmethod
    def of(cls, x: NDArray[np.uint8]) -> Pixels:
        """Of uint8 [c, ...]."""
        flat = x.reshape(len(x), -1).astype(np.int64)
        return cls(flat.shape[1], tuple(flat.sum(axis=1).tolist()), tuple((flat * flat).sum(axis=1).tolist()))

    def __add__(self, other: Pixels) -> Pixels:
        """Of both; a grey picture counts for each colour."""
        channels = max(len(self.sums), len(other.sums))
        return Pixels(
            self.count + other.count,
            _added(_spread(self.sums, channels), _spread(other.sums, channels)),
            _added(_spread(self.squares, channels), _spread(other.squares, channels)),
        )


def colours(pixels: Pixels, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per channel."""
    if not pixels.count:
        return np.full(channels, 127.5), np.full(channels, 127.5)
    n, sums, squares = pixels.count, _spread(pixels.sums, channels), _spread(pixels.squares, channels)
    spread = [math.isqrt((n * q - s * s) << 64) / (n << 32) for s, q in zip(sums, squares, strict=True)]
    return np.array([s / n for s in sums]), np.array([s or 1.0 for s in spread])


def _spread(values: tuple[int, ...], channels: int) -> tuple[int, ...]:
    if len(values) == channels:
        return values
    return (values[0] if values else 0,) * channels


def _added(left: Iterable[int], right: Iterable[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))
