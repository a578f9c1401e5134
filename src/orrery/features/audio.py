"""Sound by statistics: how loud each band of pitch is, how much it varies, how quickly.

Legend: n rows, f frames in time, b bands.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.data.codecs import audio as codec
from orrery.errors import BadRowError
from orrery.extras import require
from orrery.features.forms import Form, Lifted, bad_row
from orrery.features.measured import Gauge, Measured, MeasuredTransform
from orrery.features.mel import log_mel

_WHOLE = ("duration", "loudness", "peak", "crossings")


class SoundGauge(Gauge):
    """What is measured of the first ``seconds`` of a sound, in one channel."""

    rate: int = Field(default=16_000, ge=codec.LEAST_RATE, le=96_000)
    """Samples per second, to which all are brought."""
    bands: int = Field(default=40, ge=4, le=256)
    """Bands of pitch."""
    seconds: float = Field(default=30.0, gt=0, le=3600)
    """How much of the beginning is listened to."""

    def check(self) -> None:
        """Raises MissingExtraError."""
        require("soundfile", "A model that listens to sound")
        require("soxr", "A model that listens to sound")

    def names(self) -> tuple[str, ...]:
        """Of the whole, then of each band."""
        kinds = ("level", "spread", "change")
        return (*_WHOLE, *(f"band {i} {kind}" for kind in kinds for i in range(self.bands)))

    def measure(self, inputs: tuple[str, ...], columns: tuple[Lifted, ...]) -> NDArray[np.float64]:
        """float64 [n, k]. Raises BadRowError that names the row."""
        out = np.full((len(columns[0]), len(self.names())), np.nan)
        for i, data in enumerate(columns[0]):
            if data is not None:
                out[i] = self._of(listen(data, self, inputs[0], i))
        return out

    def _of(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(x):
            x = np.zeros(1, np.float32)
        wide = x.astype(np.float64)
        level = 10.0 * np.log10(np.maximum(np.mean(wide * wide), 1e-10))
        crossings = np.count_nonzero(np.diff(np.signbit(x))) / len(x) * self.rate
        loud = log_mel(x, self.rate, self.bands)
        change = np.abs(np.diff(loud, axis=0)).mean(axis=0) if len(loud) > 1 else np.zeros(self.bands)
        whole = [len(x) / self.rate, level, float(np.abs(wide).max()), crossings]
        return np.concatenate([whole, loud.mean(axis=0), loud.std(axis=0), change])


def listen(data: bytes, gauge: SoundGauge, column: str, row: int) -> NDArray[np.float32]:
    """The samples [t] of one row. Raises BadRowError that names it."""
    try:
        samples: NDArray[np.float32] = codec.decode(data, rate=gauge.rate, seconds=gauge.seconds)[0]
        return samples
    except BadRowError as error:
        found = bad_row(column, row, error.message)
        found.hint = error.hint
        raise found from None


class AudioTransform(MeasuredTransform):
    """One NUMBER block: what was measured, scaled."""

    kind = "audio"
    form = Form.BYTES
    gauge_type = SoundGauge


class Audio(Measured):
    """Duration and loudness of a sound, and of each band of pitch its level, spread and change.

    >>> import pyarrow as pa
    >>> beep = codec.encode(np.sin(np.arange(8000) * 0.5).astype(np.float32), 8000)
    >>> audio = Audio(columns=("call",), bands=4)
    >>> audio.finish(audio.summarize(pa.record_batch({"call": [beep, None]}))).outputs[0].width
    17
    """

    form: ClassVar[Form] = Form.BYTES
    transform: ClassVar[type[MeasuredTransform]] = AudioTransform

    kind: Literal["audio"] = "audio"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    rate: int = Field(default=16_000, ge=codec.LEAST_RATE, le=96_000)
    """Samples per second, to which all are brought."""
    bands: int = Field(default=40, ge=4, le=256)
    """Bands of pitch."""
    seconds: float = Field(default=30.0, gt=0, le=3600)
    """How much of the beginning is listened to."""

    def gauge(self) -> SoundGauge:
        """What is measured."""
        return SoundGauge(rate=self.rate, bands=self.bands, seconds=self.seconds)
