"""Rows of an iterator that do not fit on the disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pyarrow as pa
import pytest

from orrery.data.sources.generator import Spilled
from orrery.errors import SourceError


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}

    source = Spilled(rows())
    monkeypatch.setattr(pa, "OSFile", full)
    for _ in range(2):
        with pytest.raises(SourceError, match="do not fit on the disk"):
            source.schema()
