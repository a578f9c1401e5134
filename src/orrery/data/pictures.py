"""Columns of pictures, sounds, videos and tensors, looked at as they are read: a corrupt one is set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.codecs import audio, image, tensor, video
from orrery.data.quarantine import BadRows
from orrery.data.steps import positions, union_of
from orrery.errors import BadRowError
from orrery.schema import Kind


def checked_kinds(kinds: Mapping[str, str | Kind]) -> dict[str, Kind]:
    """The columns whose values can be looked at, and as what.

    >>> checked_kinds({"photo": "image", "age": "number"})
    {'photo': <Kind.IMAGE: 'image'>}
    """
    return {name: Kind(kind) for name, kind in kinds.items() if Kind(kind) in _CHECKS}


@dataclass(frozen=True, eq=False)
class Pictures:
    """The step that sets rows aside whose pictures cannot be decoded; rows are numbered from 1.

    ``kinds`` says what each column holds where they are not all pictures.
    """

    columns: tuple[str, ...]
    place: str
    bad: BadRows = field(default_factory=lambda: BadRows("quarantine"))
    kinds: tuple[Kind, ...] = ()

    def schema(self, have: Any) -> Any:
        """Unchanged; the columns must be there."""
        positions(have, self.columns)
        return have

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """Adds the pictures: a bad row is bad whatever columns are asked for."""
        return union_of(wanted, self.columns)

    def run(self, batches: Iterator[RecordBatch], have: Any, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        """Filtered."""
        row = 1
        kinds = self.kinds or (Kind.IMAGE,) * len(self.columns)
        for batch in batches:
            good = [True] * batch.num_rows
            for name, kind in zip(self.columns, kinds, strict=True):
                values = tensor.from_arrow(batch.column(batch.schema.get_field_index(name)))
                for i, value in enumerate(values):
                    good[i] = good[i] and self._good(value, row + i, name, kind)
            row += batch.num_rows
            yield batch if all(good) else batch.filter(pa.array(good))

    def _good(self, value: Any, row: int, name: str, kind: Kind) -> bool:
        if value is None:
            return True
        try:
            _CHECKS[kind](value)
        except BadRowError as error:
            shown = bytes(value[:16]).hex(" ") if isinstance(value, bytes) else repr(value)
            self.bad.report(self.place, row, name, shown, f"cannot be read: {error.message.rstrip('.')}")
            return False
        return True

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        kinds = {"kinds": [kind.value for kind in self.kinds]} if self.kinds else {}
        return {"step": "pictures", "columns": list(self.columns), **kinds}


def _check_picture(data: bytes) -> None:
    height, width, _ = image.size(data)
    image.decode(data, height=height, width=width)


def _check_sound(data: bytes) -> None:
    audio.decode(data, rate=audio.info(data).rate)


def _check_video(data: bytes) -> None:
    for _ in video.frames(data):
        pass


_CHECKS: dict[Kind, Callable[[Any], object]] = {
    Kind.IMAGE: _check_picture,
    Kind.AUDIO: _check_sound,
    Kind.VIDEO: _check_video,
    Kind.TENSOR: tensor.decode,
}
