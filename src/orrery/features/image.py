"""Pictures: decoded, brought to one size, with the colours' mean and spread for the network.

Legend: n rows, c channels, h and w in pixels.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.data.codecs import image as codec
from orrery.errors import BadRowError
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, bad_row, lift
from orrery.features.pixels import Pixels, colours

SAMPLED = 1024
"""Pictures whose pixels are counted: those whose content has the smallest hash, whatever the order."""

_LARGEST = 4096
_FALLBACK = (32, 32)  # height and width where no picture could be read


class ImageTransform(Transform):
    """One TENSOR block, uint8 [n, c, h, w], values 0 to 255. A missing picture has the mean colour."""

    kind = "image"
    form = Form.BYTES

    def __init__(
        self,
        inputs: tuple[str, ...],
        shape: tuple[int, int, int],
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
        resize: codec.Resize = "antialias",
    ) -> None:
        self.inputs = inputs
        self.shape = shape  # channels, height, width
        self.resize = resize
        self.mean = mean  # per channel, of values 0 to 255
        self.std = std
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs),
                role=Role.TENSOR,
                photo=True,
                shape=shape,
                dtype="uint8",
                names=inputs,
                mean=tuple(mean.tolist()),
                std=tuple(std.tolist()),
            ),
        )

    def apply(self, *columns: list[bytes | None]) -> tuple[Encoded, ...]:
        """uint8 [n, c, h, w]. Raises BadRowError that names the row."""
        channels, height, width = self.shape
        out = np.empty((len(columns[0]), *self.shape), np.uint8)
        pixels = np.empty((height, width, channels), np.uint8)
        settings = codec.Decoding(self.resize)
        for i, data in enumerate(columns[0]):
            if data is None:
                out[i] = np.rint(self.mean)[:, None, None]
                continue
            try:
                codec.decode_into(data, pixels, settings=settings)
                out[i] = pixels.transpose(2, 0, 1)
            except BadRowError as error:
                found = bad_row(self.inputs[0], i, error.message)
                found.hint = error.hint
                raise found from None
        return (out,)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The size and the colours."""
        values = {"inputs": list(self.inputs), "shape": list(self.shape), "resize": self.resize}
        return values, {"mean": state.arrow_floats(self.mean), "std": state.arrow_floats(self.std)}

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError, and MissingExtraError for a package that resizes."""
        inputs = state.columns(values)
        shape = values.get("shape")
        if len(inputs) != 1 or not isinstance(shape, list) or len(shape) != 3:
            raise state.broken("a picture has one column and a shape of three numbers")
        sizes = dict(zip(("channels", "height", "width"), shape, strict=True))
        channels, height, width = (state.whole(sizes, name, 1, _LARGEST) for name in sizes)
        mean, std = (state.floats(arrays, name, channels) for name in ("mean", "std"))
        resize = values.get("resize", "antialias")
        if resize not in codec.RESIZES:
            raise state.broken("pictures are resized in a way that is not known")
        codec.Decoding(resize).check()
        if channels not in (1, 3, 4) or mean.min() < 0 or mean.max() > 255 or std.min() <= 0:
            raise state.broken("the channels or colours of a picture are not of this world")
        return cls(inputs, (channels, height, width), mean, std, resize)


@dataclass(frozen=True)
class Pictures:
    """How often each (height, width, channels) occurs, and the pixels of a sample, by content hash."""

    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    sample: dict[bytes, Pixels] = field(default_factory=dict)


class Image(Feature):
    """Decode and resize. ``height`` and ``width`` unset: the most common size, at most ``largest``.

    >>> import pyarrow as pa
    >>> png = codec.encode_png(np.full((1, 2, 2), 100, np.uint8))
    >>> image = Image(columns=("photo",))
    >>> fitted = image.finish(image.summarize(pa.record_batch({"photo": [png, None]})))
    >>> fitted.apply([None])[0]
    array([[[[100, 100],
             [100, 100]]]], dtype=uint8)
    """

    form: ClassVar[Form] = Form.BYTES
    transform: ClassVar[type[Transform]] = ImageTransform

    kind: Literal["image"] = "image"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    height: int | None = Field(default=None, ge=1, le=_LARGEST)
    """In pixels; unset, that of the most common size."""
    width: int | None = Field(default=None, ge=1, le=_LARGEST)
    """In pixels; unset, that of the most common size."""
    channels: Literal[1, 3, 4] | None = None
    """1 grey, 3 colour, 4 with transparency; unset, colour if any picture has it."""
    resize: codec.Resize = "antialias"
    """``bilinear`` is many times faster, needs the extra ``images``, and is then needed for serving too."""
    largest: int = Field(default=224, ge=1, le=_LARGEST)
    """The longer side, at most, where the size is learnt."""

    def sized(self, sizes: Iterable[tuple[int, int, int, int]]) -> Image:
        """The same with the size filled in, from (height, width, channels, how often) as a profile has them.

        >>> Image(columns=("photo",)).sized([(8, 6, 1, 9), (20, 20, 3, 1)]).height
        8
        """
        common = min(sizes, key=lambda size: (-size[3], size), default=None)
        if common is None:
            return self
        height, width = within(*common[:2], self.largest)
        return self.replace(height=self.height or height, width=self.width or width)

    def summarize(self, batch: RecordBatch) -> Pictures:
        """Sizes of all, from their headers, and the pixels of a sample. Skips what cannot be read."""
        found: list[bytes] = [
            data
            for data in lift(batch.column(self.columns[0]), Form.BYTES, self.columns[0])
            if data is not None
        ]
        sizes: Counter[tuple[int, int, int]] = Counter()
        readable: dict[bytes, bytes] = {}
        for data in found:
            try:
                sizes[codec.size(data)] += 1
            except BadRowError:
                continue  # ``apply`` will say which row
            readable[hashlib.blake2b(data, digest_size=16).digest()] = data
        sample: dict[bytes, Pixels] = {}
        for key in sorted(readable):
            if len(sample) == SAMPLED:
                break
            try:
                sample[key] = self._pixels(readable[key])
            except BadRowError:
                continue
        return Pictures(sizes, sample)

    def _pixels(self, data: bytes) -> Pixels:
        height, width, channels = codec.size(data)
        height, width = within(height, width, self.largest)
        x = np.empty((height, width, self.channels or channels), np.uint8)
        codec.decode_into(data, x, settings=codec.Decoding(self.resize))
        return Pixels.of(x.transpose(2, 0, 1))

    def merge(self, left: Pictures, right: Pictures) -> Pictures:
        """Exact."""
        both = {**left.sample, **right.sample}
        return Pictures(
            Counter({**left.sizes}) + right.sizes, {key: both[key] for key in heapq.nsmallest(SAMPLED, both)}
        )

    def finish(self, summary: Pictures) -> ImageTransform:
        """The size, and the colours of the sample."""
        common = min(summary.sizes, key=lambda size: (-summary.sizes[size], size), default=None)
        height, width = within(*common[:2], self.largest) if common else _FALLBACK
        channels: int = self.channels or max((size[2] for size in summary.sizes), default=1)
        mean, std = colours(sum(summary.sample.values(), Pixels()), channels)
        shape = (channels, self.height or height, self.width or width)
        return ImageTransform(self.columns, shape, mean, std, self.resize)


def within(height: int, width: int, largest: int) -> tuple[int, int]:
    """The same proportions, the longer side at most ``largest``."""
    longer = max(height, width)
    if longer <= largest:
        return height, width
    return max(1, height * largest // longer), max(1, width * largest // longer)
