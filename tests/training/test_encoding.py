"""Which row is named where one cannot be encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.data.codecs.image import encode_png
from orrery.data.table import Table, read
from orrery.errors import BadRowError
from orrery.features.image import Image
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.schema import Kind
from orrery.training import encoding
from orrery.training.encoding import encode
from orrery.training.stretches import deal

BAD = 217
TARGET = Target(name="y", kind=Kind.NUMBER, type="double")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 pictures in three row groups; one of them is cut short."""
    pixels = np.random.default_rng(0).integers(0, 255, (240, 3, 6, 6), np.uint8)
    data = [encode_png(one) for one in pixels]
    data[BAD] = data[BAD][:40]
    table = pa.table({"photo": data, "y": np.arange(240.0), "n": np.arange(240)})
    path = tmp_path_factory.mktemp("pictures") / "p.parquet"
    pq.write_table(table, path, row_group_size=80)
    return path


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_CHUNK_BYTES", 1)


def refused(table: Table, *, training: bool = True) -> BadRowError:
    sound = table.where(f"n <> {BAD}").head(8)
    plan = FeaturePlan.fit([Image(columns=("photo",), height=4, width=4)], sound)
    with pytest.raises(BadRowError) as caught:
        encode(plan, TARGET, table, None, 1 << 20, training=training)
    return caught.value


def test_a_bad_picture_is_named_by_its_row_in_the_table(pictures: Path) -> None:
    error = refused(read(pictures))
    assert (error.row, error.pointer, error.column) == (BAD, f"row {BAD}", "photo")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stratify", [None, "y"])
def test_of_a_part_of_a_split_the_row_counts_in_the_whole(
    pictures: Path, seed: int, stratify: str | None
) -> None:
    table = read(pictures)
    parts = table.split(0.5, seed=seed, stratify=stratify)
    part = next(p for p in parts if BAD in p.select("n").to_arrow()["n"].to_pylist())
    assert refused(part, training=False).row == BAD


def test_rows_that_the_user_left_out_are_not_counted(pictures: Path) -> None:
    table = read(pictures).where("n >= 100")
    parts = table.split(0.5)
    part = next(p for p in parts if BAD in p.select("n").to_arrow()["n"].to_pylist())
    assert refused(part).row == BAD - 100


@pytest.mark.parametrize("condition", [None, "n >= 100"])
def test_a_worker_names_the_row_among_those_of_all_workers(pictures: Path, condition: str | None) -> None:
    table = read(pictures) if condition is None else read(pictures).where(condition)
    for whole in (table, *table.split(0.5)):
        if BAD not in whole.select("n").to_arrow()["n"].to_pylist():
            continue
        parts = [p for p in deal(whole, 4) if BAD in p.select("n").to_arrow()["n"].to_pylist()]
        assert [refused(p).row for p in parts] == [BAD - 100 if condition else BAD]
