"""Columns of pictures, looked at while they are read, so that a corrupt one is set aside with its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.codecs import image
from orrery.data.quarantine import BadRows
from orrery.data.steps import positions, union_of
from orrery.errors import BadRowError


@dataclass(frozen=True, eq=False)
class Pictures:
    """The step that sets rows aside whose pictures cannot be decoded; rows are numbered from 1."""

    columns: tuple[str, ...]
    place: str
    bad: BadRows = field(default_factory=lambda: BadRows("quarantine"))

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
        for batch in batches:
            good = [True] * batch.num_rows
            for name in self.columns:
                for i, value in enumerate(batch.column(batch.schema.get_field_index(name)).to_pylist()):
                    good[i] = good[i] and self._good(value, row + i, name)
            row += batch.num_rows
            yield batch if all(good) else batch.filter(pa.array(good))

    def _good(self, value: bytes | None, row: int, name: str) -> bool:
        if value is None:
            return True
        try:
            height, width, _ = image.size(value)
            image.decode(value, height=height, width=width)
        except BadRowError as error:
            shown = bytes(value[:16]).hex(" ")
            self.bad.report(self.place, row, name, shown, f"cannot be read: {error.message.rstrip('.')}")
            return False
        return True

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": "pictures", "columns": list(self.columns)}
