"""Video as a few of its frames, one behind the other as the channels of a picture.

Legend: n rows, k frames, h and w in pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.data.codecs import video as codec
from orrery.errors import BadRowError
from orrery.extras import require
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, bad_row, lift
from orrery.features.image import within
from orrery.features.pixels import Pixels, colours

_MOST_FRAMES = 64
_LARGEST = 1024
_FALLBACK = (32, 32)  # height and width where no video could be read


class VideoTransform(Transform):
    """One TENSOR block, uint8 [n, 3 k, h, w]: frames evenly spread. A missing video has the mean colours."""

    kind = "video"
    form = Form.BYTES

    def __init__(
        self,
        inputs: tuple[str, ...],
        shape: tuple[int, int, int],
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
    ) -> None:
        self.inputs = inputs
        self.shape = shape  # frames, height, width
        self.mean = mean  # per channel of each frame
        self.std = std
        frames, height, width = shape
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs),
                role=Role.TENSOR,
                photo=True,
                shape=(3 * frames, height, width),
                dtype="uint8",
                mean=tuple(mean.tolist()),
                std=tuple(std.tolist()),
            ),
        )

    def apply(self, *columns: list[bytes | None]) -> tuple[Encoded, ...]:
        """uint8 [n, 3 k, h, w]. Raises BadRowError that names the row."""
        out = np.empty((len(columns[0]), *self.outputs[0].shape), np.uint8)
        for i, data in enumerate(columns[0]):
            try:
                out[i] = np.rint(self.mean)[:, None, None] if data is None else _frames(data, self.shape)
            except BadRowError as error:
                found = bad_row(self.inputs[0], i, error.message)
                found.hint = error.hint
                raise found from None
        return (out,)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The size and the colours."""
        values = {"inputs": list(self.inputs), "shape": list(self.shape)}
        return values, {"mean": state.arrow_floats(self.mean), "std": state.arrow_floats(self.std)}

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError, and MissingExtraError for the package that decodes."""
        inputs = state.columns(values)
        shape = values.get("shape")
        if len(inputs) != 1 or not isinstance(shape, list) or len(shape) != 3:
            raise state.broken("a video has one column and a shape of three numbers")
        sizes = dict(zip(("frames", "height", "width"), shape, strict=True))
        frames = state.whole(sizes, "frames", 1, _MOST_FRAMES)
        height, width = (state.whole(sizes, name, 1, _LARGEST) for name in ("height", "width"))
        mean, std = (state.floats(arrays, name, 3 * frames) for name in ("mean", "std"))
        if mean.min() < 0 or mean.max() > 255 or std.min() <= 0:
            raise state.broken("the colours of a video are not of this world")
        require("av", "A model that watches video")
        return cls(inputs, (frames, height, width), mean, std)


def _frames(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """uint8 [3 k, h, w]."""
    count, height, width = shape
    found = codec.spread(data, count, height=height, width=width)
    return found.transpose(0, 3, 1, 2).reshape(3 * count, height, width)


@dataclass(frozen=True)
class Watched:
    """How often each (height, width) occurs, and the colours of the frames."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: Pixels = field(default_factory=Pixels)


class Video(Feature):
    """A few frames, evenly spread. ``height`` and ``width`` unset: the most common size, within ``largest``.

    >>> Video(columns=("clip",), frames=8).frames
    8
    """

    form: ClassVar[Form] = Form.BYTES
    transform: ClassVar[type[Transform]] = VideoTransform

    kind: Literal["video"] = "video"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    frames: int = Field(default=4, ge=1, le=_MOST_FRAMES)
    """How many."""
    height: int | None = Field(default=None, ge=1, le=_LARGEST)
    """In pixels."""
    width: int | None = Field(default=None, ge=1, le=_LARGEST)
    """In pixels."""
    largest: int = Field(default=64, ge=1, le=_LARGEST)
    """The longer side, at most, where the size is learnt."""

    def summarize(self, batch: RecordBatch) -> Watched:
        """Sizes, and colours of the frames made small. Skips what cannot be read."""
        sizes: Counter[tuple[int, int]] = Counter()
        pixels = Pixels()
        for data in lift(batch.column(self.columns[0]), Form.BYTES, self.columns[0]):
            if data is None:
                continue
            try:
                clip = codec.info(data)
                found = _frames(data, (self.frames, *within(clip.height, clip.width, self.largest)))
            except BadRowError:
                continue  # ``apply`` will say which row
            sizes[clip.height, clip.width] += 1
            pixels = pixels + Pixels.of(found)
        return Watched(sizes, pixels)

    def merge(self, left: Watched, right: Watched) -> Watched:
        """Exact."""
        return Watched(Counter({**left.sizes}) + right.sizes, left.pixels + right.pixels)

    def finish(self, summary: Watched) -> VideoTransform:
        """The size and the colours."""
        common = min(summary.sizes, key=lambda size: (-summary.sizes[size], size), default=_FALLBACK)
        height, width = within(*common, self.largest)
        mean, std = colours(summary.pixels, 3 * self.frames)
        shape = (self.frames, self.height or height, self.width or width)
        return VideoTransform(self.columns, shape, mean, std)
