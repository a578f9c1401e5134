"""Augmentation: each picture a little moved, turned and scaled, anew in every epoch; in training only.

What happens to a picture depends on (seed, epoch, row) and nothing else, so a stopped run goes on unchanged.
Pictures are not mirrored: a mirrored digit or letter is another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_SHIFT = 0.08  # of the side
_TURN = 7 * math.pi / 180
_SCALE = 0.07


@dataclass(frozen=True)
class Augment:
    """Settings, and a function of blocks. ``strength`` 0 changes nothing, 1 is the usual amount."""

    pictures: tuple[str, ...]
    """Names of the blocks [n, channels, height, width] to change."""
    strength: float = 1.0
    seed: int = 0

    def __call__(
        self, blocks: Mapping[str, Tensor], rows: NDArray[np.int64], epoch: int
    ) -> dict[str, Tensor]:
        """The same blocks, pictures changed; ``rows`` are the rows' numbers in the feed."""
        changed = dict(blocks)
        if self.strength > 0 and self.pictures:
            chances = torch.from_numpy(uniforms(self.seed, epoch, rows, 4) * self.strength)
            for name in self.pictures:
                changed[name] = _warp(blocks[name].float(), chances.to(blocks[name].device))
        return changed


def uniforms(seed: int, epoch: int, rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Numbers between -1 and 1, [n, count], a pure function of (seed, epoch, row, position).

    Source: Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014 (the SplitMix64 mixer).
    """
    words = np.array([seed & 0xFFFF_FFFF_FFFF_FFFF, epoch], np.uint64)
    state = _mix(_mix(words[:1]) ^ words[1:])
    state = _mix(state ^ rows.astype(np.uint64))[:, None]
    mixed = _mix(state + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return ((mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23)) - np.float32(1)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _warp(pixels: Tensor, chances: Tensor) -> Tensor:
    """Shift, turn and scale each picture by its own chances [n, 4]; edges are drawn out."""
    turn, scale = chances[:, 0] * _TURN, 1 + chances[:, 1] * _SCALE
    height, width = pixels.shape[2:]
    cosine, sine = turn.cos() / scale, turn.sin() / scale
    map_to = torch.stack(  # in units of half a side, from the middle; a turn keeps angles in pixels
        [
            torch.stack([cosine, -sine * height / width, chances[:, 2] * 2 * _SHIFT], 1),
            torch.stack([sine * width / height, cosine, chances[:, 3] * 2 * _SHIFT], 1),
        ],
        1,
    )
    grid = functional.affine_grid(map_to, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
