"""Sound as bands of pitch over time: the log-mel spectrogram.

Bands are narrow where pitch is low and wide where it is high, as in hearing (O'Shaughnessy, "Speech
Communication", 1987: mel = 2595 log10(1 + f / 700)).

Legend: t samples, f frames, b bands.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR_DB = -100.0
"""Silence. 0 is the loudest sine."""

_WINDOW_S, _HOP_S = 0.025, 0.010
_FRAMES = 1024  # that are transformed at once
_LOWEST_HZ = 40.0


def log_mel(samples: NDArray[np.float32], rate: int, bands: int) -> NDArray[np.float64]:
    """Decibels [f, b] of one channel [t]; a sound shorter than a window is filled up with silence.

    >>> float(log_mel(np.zeros(1600, np.float32), 16000, 4).max())
    -100.0
    """
    window, filters = _filters(rate, bands)
    width, hop = len(window), max(1, round(_HOP_S * rate))
    x = np.asarray(samples, np.float64)
    if len(x) < width:
        x = np.concatenate([x, np.zeros(width - len(x))])
    frames = np.lib.stride_tricks.sliding_window_view(x, width)[::hop]
    out = np.empty((len(frames), bands))
    for start in range(0, len(frames), _FRAMES):
        spectrum = np.fft.rfft(frames[start : start + _FRAMES] * window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        out[start : start + _FRAMES] = power @ filters
    loud = 10.0 * np.log10(np.maximum(out, 10.0 ** (FLOOR_DB / 10.0)))
    clipped: NDArray[np.float64] = np.clip(loud, FLOOR_DB, 0.0)
    return clipped


@functools.lru_cache(maxsize=16)
def _filters(rate: int, bands: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The window [w], and triangles over the spectrum [w // 2 + 1, b]."""
    width = max(16, round(_WINDOW_S * rate))
    window = np.hanning(width)
    window = window * (2.0 / window.sum())  # a sine of height 1 has power 1
    hertz = np.fft.rfftfreq(width, 1.0 / rate)
    edges = np.linspace(_mel(np.array(_LOWEST_HZ)), _mel(np.array(rate / 2.0)), bands + 2)
    mel = _mel(hertz)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle))
    filters = np.maximum(triangles, 0.0)
    nearest = np.abs(mel - middle).argmin(axis=0)  # low bands may fall between two lines of the spectrum
    filters[nearest, np.arange(bands)] = np.maximum(filters[nearest, np.arange(bands)], 0.5)
    return window, filters


def _mel(hertz: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 2595.0 * np.log10(1.0 + hertz / 700.0)
    return found
