"""Videos, each as a row, or each of their frames as one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from orrery.aggregate import RecordBatch
from orrery.data import files
from orrery.data.codecs import image, tensor, video
from orrery.data.quarantine import OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.media import BATCH_BYTES, BATCH_ROWS, MediaFolder
from orrery.errors import BadRowError, SettingsError, listing
from orrery.schema import Field, Kind, Schema
from orrery.schema.types import type_text

FrameForm = Literal["png", "jpeg", "raw"]
FORMS: tuple[FrameForm, ...] = ("png", "jpeg", "raw")

_QUALITY = 92  # of JPEG
_MOST_CLIP = 10_000


class Videos(MediaFolder):
    """Videos in a folder and its sub-folders: ``video``, ``label``, ``path``, ``duration_s``.

    With one of the options below each row is a frame instead: ``image``, ``time_s``, ``label``, ``path``, and
    a part is a file. ``frames_per_s`` takes the first frame at or after each of these moments, ``key_frames``
    those that stand alone. ``frames`` says how: ``png``, ``jpeg``, or ``raw``, which is a tensor [h, w, 3].
    ``clip=n`` gives n frames in one row, a tensor [n, h, w, 3]; the last clip of a file is filled up with its
    last frame. ``size=(h, w)`` resizes; tensors have the size of the first file, unless it is given.
    """

    column = "video"
    kind = Kind.VIDEO
    more: ClassVar[dict[str, str]] = {"duration_s": "double"}
    endings = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".flv", ".wmv", ".ogv")

    def __init__(
        self,
        place: str,
        on_bad: OnBad = "stop",
        frames_per_s: float | None = None,
        key_frames: bool = False,
        clip: int | None = None,
        size: tuple[int, int] | None = None,
        frames: FrameForm | None = None,
    ) -> None:
        super().__init__(place, on_bad)
        if frames_per_s is not None and not (isinstance(frames_per_s, (int, float)) and frames_per_s > 0):
            raise SettingsError(f"frames_per_s is {frames_per_s!r}; it is a number above 0.")
        self.frames_per_s = frames_per_s
        self.key_frames = key_frames
        self.clip = clip
        self.size = (size[0], size[1]) if size else None
        self.frames = frames
        self.by_frame = key_frames or any(v is not None for v in (frames_per_s, clip, size, frames))
        if frames not in (None, *FORMS) or (clip is not None and not 1 <= clip <= _MOST_CLIP):
            raise SettingsError(
                f"frames={frames!r}, clip={clip!r}: frames are {listing(FORMS)}, a clip 1 to {_MOST_CLIP}."
            )

    def examine(self, data: bytes, whole: bool) -> tuple[Any, ...]:
        """The duration. Raises BadRowError."""
        length = video.info(data).duration_s
        for _ in video.frames(data) if whole else ():
            pass
        return (length,)

    def schema(self) -> Schema:
        """Of files, or of frames."""
        if not self.by_frame:
            return super().schema()
        return Schema(
            fields=(
                Field(name="image", type=type_text(self._type), kind=self._frame_kind, nullable=True),
                Field(name="time_s", type="double"),
                Field(name="label", type="string"),
                Field(name="path", type="string", kind=Kind.KEY),
            )
        )

    @property
    def _raw(self) -> bool:
        return self.clip is not None or self.frames == "raw"

    @property
    def _frame_kind(self) -> Kind:
        return Kind.TENSOR if self._raw else Kind.IMAGE

    @property
    def _type(self) -> Any:
        if not self._raw:
            return pa.binary()
        if self.size is None:
            with files.opened(self.paths[0], ranges=True) as file:
                first = next(iter(video.frames(file)), None)
            if first is None:
                raise BadRowError(f"{files.shown(self.paths[0])} holds no frame to learn the size from.")
            self.size = first.pixels.shape[0], first.pixels.shape[1]
        shape = (*self.size, 3)
        return pa.fixed_shape_tensor(pa.uint8(), shape if self.clip is None else (self.clip, *shape))

    def partitions(self) -> Sequence[Partition]:
        """Parts of files; where rows are frames, a part per file."""
        if not self.by_frame:
            return super().partitions()
        return [Partition(i, {"number": i}, size_bytes=files.size(path)) for i, path in enumerate(self.paths)]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Files, or frames in the order of time."""
        if not self.by_frame:
            return super().read(partition, columns, where, start)
        names = self.schema().names
        keep = "image" in needed(names, columns, where)
        path = self.paths[int(partition.where["number"])]
        skipped = start if where is None else 0
        return narrowed(self._frames(path, keep, skipped), names, columns, where, start - skipped)

    def _frames(self, path: str, keep: bool, start: int) -> Iterator[RecordBatch]:
        """Batches of one file; where it breaks off, the rows until there come first."""
        rows: list[tuple[Any, float]] = []
        size, line = 0, start
        source = self._rows(path, keep, start)
        while True:
            try:
                row = next(source, None)
            except BadRowError as error:
                if rows:
                    yield self._frame_batch(rows, path)
                self.set_aside(path, line + 1, error)
                return
            if row is not None:
                rows.append(row)
                size += row[0].nbytes if isinstance(row[0], np.ndarray) else len(row[0])
                line += 1
            if rows and (row is None or len(rows) >= BATCH_ROWS or size >= BATCH_BYTES):
                yield self._frame_batch(rows, path)
                rows, size = [], 0
            if row is None:
                return

    def _rows(self, path: str, keep: bool, start: int) -> Iterator[tuple[Any, float]]:
        """What each row shows, and its time."""
        held: list[video.Frame] = []
        with files.opened(path, ranges=True) as file:
            skipped = start * (self.clip or 1)
            for frame in video.frames(
                file, frames_per_s=self.frames_per_s, key_frames=self.key_frames, start=skipped
            ):
                sized = frame._replace(pixels=self._sized(frame.pixels)) if keep else frame
                if self.clip is None:
                    yield (self._shown(sized.pixels) if keep else b""), frame.time_s
                    continue
                held.append(sized)
                if len(held) == self.clip:
                    yield self._clip(held, keep), held[0].time_s
                    held = []
        if held:
            yield self._clip(held, keep), held[0].time_s

    def _clip(self, held: list[video.Frame], keep: bool) -> Any:
        if not keep:
            return b""
        full = [frame.pixels for frame in held]
        return np.stack(full + [full[-1]] * ((self.clip or 1) - len(full)))

    def _sized(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.size is None or pixels.shape[:2] == self.size:
            return pixels
        out = np.empty((*self.size, 3), np.uint8)
        image.fill(pixels, out)
        return out

    def _shown(self, pixels: NDArray[np.uint8]) -> Any:
        if self._raw:
            return pixels
        out = io.BytesIO()
        if self.frames == "jpeg":
            Image.fromarray(pixels).save(out, "JPEG", quality=_QUALITY)
        else:
            Image.fromarray(pixels).save(out, "PNG", compress_level=1)
        return out.getvalue()

    def _frame_batch(self, rows: list[tuple[Any, float]], path: str) -> RecordBatch:
        label, name = self.named(path)
        shown = [row[0] for row in rows]
        kept = isinstance(shown[0], np.ndarray)
        if kept:
            first = tensor.to_arrow(shown)
        else:
            first = pa.nulls(len(rows), self._type) if self._raw else pa.array(shown, pa.binary())
        arrays: list[Any] = [
            first,
            pa.array([row[1] for row in rows], pa.float64()),
            pa.array([label] * len(rows), pa.string()),
            pa.array([name] * len(rows), pa.string()),
        ]
        return pa.RecordBatch.from_arrays(arrays, names=["image", "time_s", "label", "path"])

    def _options(self) -> dict[str, Any]:
        names = ("frames_per_s", "clip", "size", "frames")
        found = {name: getattr(self, name) for name in names}
        return {**super()._options(), **found, "key_frames": self.key_frames or None}
