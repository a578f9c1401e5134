"""Sound as a picture: time from left to right, pitch from low to high, loudness as brightness.

Legend: n rows, b bands of pitch, f frames in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.data.codecs import audio as codec
from orrery.errors import BadRowError
from orrery.features import state
from orrery.features.audio import SoundGauge, listen
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, lift
from orrery.features.mel import FLOOR_DB, log_mel
from orrery.features.pixels import Pixels, colours
from orrery.features.resample import resample

_MOST_FRAMES = 4096


class SpectrogramTransform(Transform):
    """One TENSOR block, uint8 [n, 1, b, f]: 0 is silence, 255 as loud as can be.

    A sound is cut, or filled up with silence, to the seconds learnt; a missing one is of mean loudness.
    """

    kind = "spectrogram"
    form = Form.BYTES

    def __init__(
        self, inputs: tuple[str, ...], gauge: SoundGauge, frames: int, mean: float, std: float
    ) -> None:
        self.inputs = inputs
        self.gauge = gauge
        self.frames = frames
        self.mean, self.std = mean, std
        shape = (1, gauge.bands, frames)
        name = block_name(self.kind, inputs)
        output = Output(name=name, role=Role.TENSOR, shape=shape, dtype="uint8", mean=(mean,), std=(std,))
        self.outputs = (output,)

    def apply(self, *columns: list[bytes | None]) -> tuple[Encoded, ...]:
        """uint8 [n, 1, b, f]. Raises BadRowError that names the row."""
        out = np.full((len(columns[0]), *self.outputs[0].shape), round(self.mean), np.uint8)
        for i, data in enumerate(columns[0]):
            if data is not None:
                out[i, 0] = picture(listen(data, self.gauge, self.inputs[0], i), self.gauge, self.frames)
        return (out,)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is heard, and how bright it is."""
        values = {"inputs": list(self.inputs), "gauge": self.gauge.to_dict(), "frames": self.frames}
        return values | {"mean": self.mean, "std": self.std}, {}

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError, and MissingExtraError for a package that decodes."""
        inputs = state.columns(values)
        if len(inputs) != 1:
            raise state.broken("a sound has one column")
        gauge = state.settings(values, "gauge", SoundGauge)
        gauge.check()
        frames = state.whole(values, "frames", 1, _MOST_FRAMES)
        return cls(
            inputs, gauge, frames, state.real(values, "mean", 0, 255), state.real(values, "std", 1e-6, 1e6)
        )


def picture(samples: NDArray[np.float32], gauge: SoundGauge, frames: int) -> NDArray[np.uint8]:
    """uint8 [b, f] of samples [t]."""
    wanted = max(1, round(gauge.seconds * gauge.rate))
    whole = np.zeros(wanted, np.float32)
    whole[: len(samples)] = samples[:wanted]
    loud = resample(log_mel(whole, gauge.rate, gauge.bands), frames)
    return np.rint((loud - FLOOR_DB) * (255.0 / -FLOOR_DB)).astype(np.uint8).T


class Heard(NamedTuple):
    """The longest sound in seconds, and the brightness of the pictures."""

    seconds: float
    pixels: Pixels


class Spectrogram(Feature):
    """A picture of a sound, for networks. ``seconds`` unset: those of the longest sound, at most ``longest``.

    >>> import pyarrow as pa
    >>> beep = codec.encode(np.sin(np.arange(8000) * 0.5).astype(np.float32), 8000)
    >>> seen = Spectrogram(columns=("call",), bands=16, frames=20)
    >>> seen.finish(seen.summarize(pa.record_batch({"call": [beep]}))).outputs[0].shape
    (1, 16, 20)
    """

    form: ClassVar[Form] = Form.BYTES
    transform: ClassVar[type[Transform]] = SpectrogramTransform

    kind: Literal["spectrogram"] = "spectrogram"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    rate: int = Field(default=16_000, ge=codec.LEAST_RATE, le=96_000)
    """Samples per second, to which all are brought."""
    bands: int = Field(default=64, ge=4, le=256)
    """Bands of pitch: the height of the picture."""
    frames: int = Field(default=128, ge=1, le=_MOST_FRAMES)
    """Moments in time: the width of the picture."""
    seconds: float | None = Field(default=None, gt=0, le=3600)
    """How much of the beginning is seen."""
    longest: float = Field(default=10.0, gt=0, le=3600)
    """Seconds, at most, where they are learnt."""

    def _gauge(self, seconds: float) -> SoundGauge:
        return SoundGauge(rate=self.rate, bands=self.bands, seconds=seconds)

    def summarize(self, batch: RecordBatch) -> Heard:
        """The longest, and the brightness at its own length. Skips what cannot be read."""
        heard = Heard(0.0, Pixels())
        for i, data in enumerate(lift(batch.column(self.columns[0]), Form.BYTES, self.columns[0])):
            if data is not None:
                try:
                    samples = listen(data, self._gauge(self.seconds or self.longest), self.columns[0], i)
                except BadRowError:
                    continue  # ``apply`` will say which row
                length = max(len(samples), 1) / self.rate
                pixels = Pixels.of(picture(samples, self._gauge(length), self.frames)[None])
                heard = self.merge(heard, Heard(length, pixels))
        return heard

    def merge(self, left: Heard, right: Heard) -> Heard:
        """Exact."""
        return Heard(max(left.seconds, right.seconds), left.pixels + right.pixels)

    def finish(self, summary: Heard) -> SpectrogramTransform:
        """How much is seen, and how bright it is."""
        mean, std = colours(summary.pixels, 1)
        gauge = self._gauge(self.seconds or summary.seconds or self.longest)
        return SpectrogramTransform(self.columns, gauge, self.frames, float(mean[0]), float(std[0]))
