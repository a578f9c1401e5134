"""The work sets, made once under ``build/bench-data``: numbers that repeat, whatever makes them.

A: rows of 40 float32 and an int64 ``label``. B: float32 [64, 64] and ``label``. C: JPEG 256 x 256 and
``label``. ``label`` is the row's number from 0. ``ORRERY_BENCH_SCALE`` (1.0) makes files of fewer rows.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2] / "build" / "bench-data"
SCALE = float(os.environ.get("ORRERY_BENCH_SCALE", "1.0"))
SHAPES = {"A": (8, 10, 62_500), "B": (8, 8, 1000), "C": (4, 10, 250)}
"""Set -> files, row groups in each, rows in each of those."""
FEATURES = [f"f{i:02}" for i in range(40)]
SIDE = 224
"""Of pictures as they are delivered."""


def groups(name: str) -> int:
    """Row groups of a set."""
    files, of_file, _ = shape(name)
    return files * of_file


def shape(name: str) -> tuple[int, int, int]:
    """Files, row groups in each, rows in each of those; at the scale that was asked for."""
    files, of_file, rows = SHAPES[name]
    return files, max(1, round(of_file * SCALE)), rows


def rows(name: str) -> int:
    """Rows of a set."""
    files, of_file, of_group = shape(name)
    return files * of_file * of_group


def folder(kind: str) -> Path:
    """The files of a set in one form, ``A_plain`` or ``B_fsl``, say; made if they are not there."""
    made = ROOT / f"{kind}-{SCALE:g}"
    if not made.exists():
        fresh = made.with_name(made.name + ".new")
        fresh.mkdir(parents=True, exist_ok=True)
        for f in range(shape(kind[0])[0]):
            _MAKERS[kind[0]](kind, f, fresh / f"{f}.parquet")
        fresh.rename(made)
    return made


def warm(place: Path) -> None:
    """Read every file once, so that the disk is out of it."""
    for path in sorted(place.iterdir()):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def _labels(name: str, f: int) -> Any:
    _, of_file, of_group = shape(name)
    count = of_file * of_group
    return pa.array(np.arange(f * count, (f + 1) * count))


def _floats(n: int, f: int) -> Iterator[Any]:
    r = np.random.default_rng(f)
    for i in range(40):
        x = r.standard_normal(n, dtype=np.float32)
        if 20 <= i < 30:
            x = np.round(x * 10, 2).astype(np.float32)
        if i >= 30:
            x = np.floor(np.abs(x) * 10).astype(np.float32)
        yield pa.array(x)


_CODECS: dict[str, dict[str, Any]] = {
    "plain": {"compression": "none", "use_dictionary": False},
    "zstd": {"compression": "zstd", "compression_level": 1},
    "snappy": {"compression": "snappy"},
}


def _make_a(kind: str, f: int, path: Path) -> None:
    _, of_file, of_group = shape("A")
    names = [*FEATURES, "label"]
    kinds = [pa.float32()] * 40 + [pa.int64()]
    schema = pa.schema([pa.field(n, k, nullable=False) for n, k in zip(names, kinds, strict=True)])
    table = pa.table([*_floats(of_file * of_group, f), _labels("A", f)], schema=schema)
    pq.write_table(table, path, row_group_size=of_group, **_CODECS[kind.partition("_")[2]])


def _make_b(kind: str, f: int, path: Path) -> None:
    _, of_file, of_group = shape("B")
    count = of_file * of_group
    x = np.random.default_rng(100 + f).standard_normal((8000, 4096), dtype=np.float32)[:count]
    inner = pa.field("item", pa.float32(), nullable=False)
    if kind == "B_fsb":
        column: Any = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16_384), count, [None, pa.py_buffer(x)])
    elif kind == "B_fsl":
        column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), type=pa.list_(inner, 4096))
    else:
        offsets = pa.array(np.arange(0, (count + 1) * 4096, 4096, dtype=np.int32))
        column = pa.ListArray.from_arrays(offsets, pa.array(x.reshape(-1)), type=pa.list_(inner))
    fields = [pa.field("x", column.type, nullable=False), pa.field("label", pa.int64(), nullable=False)]
    table = pa.table([column, _labels("B", f)], schema=pa.schema(fields))
    pq.write_table(table, path, row_group_size=of_group, **_CODECS["plain"])


def _picture(r: np.random.Generator) -> bytes:
    from PIL import Image

    def up(n: int) -> Any:
        small = Image.fromarray(r.integers(0, 256, (n, n, 3), dtype=np.uint8))
        return np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC), np.float32)

    a = up(8) * 0.65 + up(48) * 0.25
    for _ in range(6):
        x0, y0 = r.integers(0, 236), r.integers(0, 236)
        x1, y1 = x0 + r.integers(10, 120), y0 + r.integers(10, 120)
        a[y0:y1, x0:x1] = a[y0:y1, x0:x1] * 0.5 + r.integers(0, 128, 3)
    grain = r.standard_normal((256, 256, 1), dtype=np.float32) * 4
    out = io.BytesIO()
    Image.fromarray(np.clip(a + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def _make_c(kind: str, f: int, path: Path) -> None:
    _, of_file, of_group = shape("C")
    r = np.random.default_rng(200 + f)
    column = pa.array([_picture(r) for _ in range(of_file * of_group)])
    fields = [pa.field("image", pa.binary(), nullable=False), pa.field("label", pa.int64(), nullable=False)]
    table = pa.table([column, _labels("C", f)], schema=pa.schema(fields))
    pq.write_table(table, path, row_group_size=of_group, **_CODECS["plain"])


_MAKERS: dict[str, Callable[[str, int, Path], None]] = {"A": _make_a, "B": _make_b, "C": _make_c}
