"""Every type of column in every form; pictures; rows of every kind of source."""

from __future__ import annotations

import datetime as dt
import io
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from orrery.data.codecs import image
from orrery.data.loader.forms import Ragged
from orrery.data.source import Partition
from orrery.data.table import Table, read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError
from orrery.schema import Schema

ROWS = 200
UTC = dt.UTC


def everything() -> Any:
    """A table of many types; column ``id`` counts."""
    n = range(ROWS)
    never = {"nullable": False}
    fields = {
        pa.field("id", pa.int64(), **never): list(n),
        pa.field("small", pa.int8(), **never): [i % 100 for i in n],
        pa.field("maybe", pa.int32()): [None if i % 5 == 0 else i for i in n],
        pa.field("yes", pa.bool_(), **never): [i % 3 == 0 for i in n],
        pa.field("f", pa.float64()): [None if i % 4 == 0 else i / 3 for i in n],
        pa.field("text", pa.string()): [None if i % 6 == 0 else f"größe {i}" for i in n],
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())): [f"k{i % 3}" for i in n],
        pa.field("raw", pa.binary()): [bytes([i % 256]) * (i % 4) for i in n],
        pa.field("day", pa.date32(), **never): [dt.date(2020, 1, 1) + dt.timedelta(i) for i in n],
        pa.field("at", pa.timestamp("us", "UTC"), **never): [
            dt.datetime(2020, 1, 1, tzinfo=UTC) + dt.timedelta(hours=i) for i in n
        ],
        pa.field("price", pa.decimal128(12, 2)): [None if i == 7 else Decimal(i) / 4 for i in n],
        pa.field("vector", pa.list_(pa.float32(), 3), **never): [[i, i + 0.5, -i] for i in n],
        pa.field("tags", pa.list_(pa.string())): [[f"t{j}" for j in range(i % 3)] for i in n],
        pa.field("numbers", pa.list_(pa.int32())): [list(range(i % 4)) for i in n],
        pa.field("deep", pa.struct([("a", pa.int64()), ("b", pa.list_(pa.int8()))])): [
            {"a": i, "b": [1] * (i % 2)} for i in n
        ],
    }
    arrays = [pa.array(values, field.type) for field, values in fields.items()]
    return pa.table(arrays, schema=pa.schema(list(fields)))


@pytest.fixture
def stored(tmp_path: Path) -> Table:
    pq.write_table(everything(), tmp_path / "all.parquet", row_group_size=30)
    return read(str(tmp_path / "all.parquet"))


def test_arrow_batches_hold_the_very_rows(stored: Table) -> None:
    found = pa.Table.from_batches(list(stored.loader(32, form="arrow", buffer_bytes=20_000)))
    assert found.num_rows == ROWS
    assert found.sort_by("id").to_pylist() == everything().to_pylist()
    assert found.schema.types == stored.schema.arrow().types


def test_pandas_batches_are_frames(stored: Table) -> None:
    found = pd.concat(stored.loader(64, form="pandas", columns=["id", "text", "day"]))
    assert list(found.columns) == ["id", "text", "day"]
    assert found.sort_values("id")["day"].tolist() == everything()["day"].to_pylist()


@pytest.mark.parametrize("form", ["torch", "numpy"])
def test_arrays_of_every_type(stored: Table, form: str) -> None:
    """Without shuffling, so that rows can be told by their place."""
    first, *_ = stored.loader(50, shuffle=False, form=form)
    like = torch.tensor if form == "torch" else np.array
    assert first["id"].tolist() == list(range(50))
    assert first["small"].dtype == like([], dtype=torch.int8 if form == "torch" else np.int8).dtype
    assert first["maybe"].tolist() == [0 if i % 5 == 0 else i for i in range(50)]
    assert first["maybe.valid"].tolist() == [i % 5 != 0 for i in range(50)]
    assert first["yes"].tolist() == [i % 3 == 0 for i in range(50)]
    assert np.isnan(np.asarray(first["f"])).tolist() == [i % 4 == 0 for i in range(50)]
    assert first["text"][1:8] == ["größe 1", "größe 2", "größe 3", "größe 4", "größe 5", None, "größe 7"]
    assert first["kind"][:4] == ["k0", "k1", "k2", "k0"]
    assert first["raw"][:3] == [b"", b"\1", b"\2\2"]
    assert float(first["price"][5]) == 1.25
    assert np.isnan(float(first["price"][7]))
    assert first["vector"].shape == (50, 3)
    assert first["vector"][4].tolist() == [4.0, 4.5, -4.0]
    assert first["tags"][5] == ["t0", "t1"]
    assert isinstance(first["numbers"], Ragged)
    low, high = first["numbers"].offsets[7:9].tolist()
    assert first["numbers"].values[low:high].tolist() == [0, 1, 2]
    assert first["deep"][3] == {"a": 3, "b": [1]}
    days = np.asarray(first["day"]).view("datetime64[D]") if form == "torch" else first["day"]
    assert days[3] == np.datetime64("2020-01-04")
    times = np.asarray(first["at"]).view("datetime64[us]")
    assert times[5] == np.datetime64("2020-01-01T05:00")


def test_features_are_one_matrix(tmp_path: Path) -> None:
    columns = {f"f{j}": np.arange(100, dtype=np.float32) + j / 10 for j in range(5)}
    pq.write_table(pa.table({**columns, "label": np.arange(100)}), tmp_path / "t.parquet", row_group_size=30)
    table = read(str(tmp_path / "t.parquet"))
    for batch in table.loader(16, features=list(columns), columns=["label"]):
        assert set(batch) == {"features", "label"}
        assert batch["features"].is_contiguous()
        expected = batch["label"][:, None].float() + torch.arange(5) / 10
        assert torch.allclose(batch["features"], expected)
    with pytest.raises(SchemaError, match="one type"):
        len(table.loader(16, features=["f0", "label"]))


def test_tensors_of_every_spelling(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((50, 2, 3)).astype(np.float32)
    flat = pa.array(values.reshape(-1))
    columns = {
        "bytes": pa.FixedSizeBinaryArray.from_buffers(pa.binary(24), 50, [None, pa.py_buffer(values)]),
        "fixed": pa.FixedSizeListArray.from_arrays(flat, 6),
        "ragged": pa.ListArray.from_arrays(pa.array(np.arange(0, 301, 6, dtype=np.int32)), flat),
        "id": pa.array(range(50)),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=20)
    loader = read(str(tmp_path / "t.parquet")).loader(8, tensors={"bytes": ("float32", (2, 3))})
    for batch in loader:
        expected = values[batch["id"].numpy()]
        assert np.array_equal(batch["bytes"].numpy(), expected)
        assert np.array_equal(batch["fixed"].numpy(), expected.reshape(-1, 6))
        assert np.array_equal(batch["ragged"].values.numpy(), expected.reshape(-1))
    with pytest.raises(SchemaError, match="24 bytes"):
        len(read(str(tmp_path / "t.parquet")).loader(8, tensors={"bytes": ("float64", (2, 3))}))


def test_bytes_and_lists_that_all_fit_become_tensors() -> None:
    values = np.arange(300, dtype=np.float32).reshape(50, 2, 3)
    rows = pa.table(
        {
            "bytes": pa.array([value.tobytes() for value in values]),
            "flat": pa.array(values.reshape(50, 6).tolist()),
            "nested": pa.array(values.tolist()),
            "id": pa.array(range(50)),
        }
    )
    named = dict.fromkeys(("bytes", "flat", "nested"), ("float32", (2, 3)))
    for batch in read(rows).loader(8, tensors=named):
        for name in named:
            assert batch[name].dtype == torch.float32
            assert np.array_equal(batch[name].numpy(), values[batch["id"].numpy()])
    for name in named:
        with pytest.raises(SchemaError, match=f"'{name}' has .* not float32 of shape"):
            list(read(rows).loader(8, tensors={name: ("float32", (2, 2))}))
    with pytest.raises(SchemaError, match="'id' is int64"):
        len(read(rows).loader(8, tensors={"id": ("float32", (2, 2))}))
    with pytest.raises(SchemaError, match="5 bytes"):
        list(read([{"x": b"1234"}, {"x": b"12345"}]).loader(2, tensors={"x": ("uint8", (4,))}))
    (batch,) = read([{"x": b"1234"}, {"x": None}]).loader(2, shuffle=False, tensors={"x": ("uint8", (4,))})
    assert (batch["x"].tolist(), batch["x.valid"].tolist()) == ([[49, 50, 51, 52], [0] * 4], [True, False])


def test_data_sets_of_torch_and_hugging_face_keep_their_shapes() -> None:
    x, y = torch.arange(12.0).reshape(6, 2), torch.arange(6)
    (batch,) = read(torch.utils.data.TensorDataset(x, y)).loader(6, shuffle=False)
    assert list(batch) == ["x0", "x1"]
    assert torch.equal(batch["x0"], x)
    assert torch.equal(batch["x1"], y)
    m = np.arange(24.0).reshape(4, 3, 2)
    kinds = datasets.Features({"m": datasets.Array2D((3, 2), "float32"), "n": datasets.Value("int64")})
    (batch,) = read(datasets.Dataset.from_dict({"m": m.tolist(), "n": [1, 2, 3, 4]}, features=kinds)).loader(
        4, shuffle=False
    )
    assert list(batch) == ["m", "n"]
    assert batch["m"].tolist() == m.tolist()


class ArrowRows:
    """As much of a source as a table needs."""

    def __init__(self, table: Any, more: int = 0) -> None:
        self.table = table
        self.more = more

    def schema(self) -> Schema:
        return Schema.of(self.table.schema)

    def fingerprint(self) -> str:
        return "told"

    def to_dict(self) -> dict[str, Any]:
        return {}


def sources(folder: Path) -> dict[str, Table]:
    rows = everything().select(["id", "text", "f"])
    pq.write_table(rows, folder / "rows.parquet", row_group_size=30)
    parquet = read(str(folder / "rows.parquet"))
    parquet.write(folder / "rows.csv")
    parquet.write(folder / "rows.jsonl")
    return {
        "memory": read(rows),
        "parquet": parquet,
        "csv": read(str(folder / "rows.csv")),
        "json lines": read(str(folder / "rows.jsonl")),
        "where": parquet.where("id >= 0"),
        "map": parquet.map(lambda batch: batch),
        "sql": parquet.sql("select * from this order by id"),
        "union": parquet.where("id < 50").union(parquet.where("id >= 50")),
    }


@pytest.mark.parametrize("name", ["memory", "parquet", "csv", "json lines", "where", "map", "sql", "union"])
def test_every_source_gives_each_row_once_and_goes_on(tmp_path: Path, name: str) -> None:
    table = sources(tmp_path)[name]

    def rows(batches: Any) -> list[list[Any]]:
        return [batch.to_pylist() for batch in batches]

    loader = table.loader(32, form="arrow", buffer_bytes=9000)
    whole = rows(loader)
    assert [len(batch) for batch in whole] == [32] * 6 + [8]
    expected = everything().select(["id", "text", "f"]).to_pylist()
    assert sorted((row for batch in whole for row in batch), key=lambda row: row["id"]) == expected
    again = table.loader(32, form="arrow", buffer_bytes=9000)
    again.load_state_dict({**loader.state_dict(), "epoch": 0, "batch": 3})
    assert rows(again) == whole[3:]


class Told(ArrowRows):
    """A source of the user's own, that knows how many rows each part has, or says so."""

    def partitions(self) -> list[Partition]:
        return [Partition(i, rows=50 + self.more) for i in range(4)]

    def read(
        self, partition: Partition, columns: Any = None, where: str | None = None, start: int = 0
    ) -> Iterator[Any]:
        rows = self.table.slice(partition.index * 50, 50).select(columns or self.table.schema.names)
        yield from rows.slice(start).to_batches(7)


def test_parts_that_know_their_rows_are_read_in_place_and_held_to_it() -> None:
    rows = everything().select(["id", "text"])
    batches = Table(Told(rows)).loader(32, form="arrow", buffer_bytes=6000)
    assert sorted(i for batch in batches for i in batch["id"].to_pylist()) == list(range(ROWS))
    with pytest.raises(SourceError, match="ended 3 rows before"):
        list(Table(Told(rows, more=3)).loader(32))


def test_a_cache_is_written_once_and_found_again(tmp_path: Path, stored: Table) -> None:
    columns = ["id", "f", "text", "vector"]

    def found() -> list[Any]:
        loader = stored.loader(32, columns, form="arrow", cache=str(tmp_path / "cache"), row_number="row")
        assert loader.quality().effective == pytest.approx(loader.quality().groups, rel=0.1)
        return [batch.to_pylist() for batch in loader]

    whole = found()
    expected = [{**row, "row": row["id"]} for row in everything().select(columns).to_pylist()]
    assert sorted((row for batch in whole for row in batch), key=lambda row: row["id"]) == expected
    (data,) = (tmp_path / "cache").glob("*/rows.bin")
    before = data.stat().st_mtime_ns
    assert found() == whole
    assert data.stat().st_mtime_ns == before
    spoilt = bytearray(data.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    data.write_bytes(spoilt)
    with pytest.raises(SourceError, match="not the rows that were written"):
        found()


def test_a_cache_and_a_spill_are_bounded(tmp_path: Path, stored: Table) -> None:
    with pytest.raises(SourceError, match="cache_bytes"):
        list(stored.loader(32, cache=str(tmp_path / "cache"), cache_bytes=1000))
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []
    with pytest.raises(SourceError, match="cache_bytes"):
        list(stored.where("id > 3").loader(32, cache_bytes=1000))


def jpeg(value: int) -> bytes:
    out = io.BytesIO()
    grey = np.linspace(0, 255 - value, 48, dtype=np.uint8)
    Image.fromarray(np.broadcast_to(grey[:, None, None], (48, 40, 3)).copy()).save(out, "JPEG")
    return out.getvalue()


def pictures(folder: Path) -> Table:
    rows = {"image": pa.array([jpeg(i) for i in range(30)]), "label": pa.array(range(30))}
    pq.write_table(pa.table(rows), folder / "pictures.parquet", row_group_size=8)
    return read(str(folder / "pictures.parquet"))


def test_pictures_are_decoded_as_elsewhere(tmp_path: Path) -> None:
    for batch in pictures(tmp_path).loader(7, images={"image": (24, 20)}):
        assert batch["image"].dtype == torch.uint8
        for found, label in zip(batch["image"], batch["label"].tolist(), strict=True):
            expected = image.decode(jpeg(label), height=24, width=20).transpose(1, 2, 0)
            assert np.array_equal(found.numpy(), expected)


def test_augmentation_depends_on_seed_epoch_and_row_only(tmp_path: Path) -> None:
    def flipped(picture: Any, chance: np.random.Generator) -> Any:
        return np.roll(picture, int(chance.integers(0, 24)), axis=0)

    def found(size: int, **more: Any) -> dict[int, bytes]:
        loader = pictures(tmp_path).loader(size, images={"image": (24, 20)}, augment=flipped, **more)
        return {
            label: picture.numpy().tobytes()
            for batch in loader
            for picture, label in zip(batch["image"], batch["label"].tolist(), strict=True)
        }

    assert found(7) == found(4, threads=1, buffer_bytes=10_000)
    assert found(7) != found(7, seed=1)
    with pytest.raises(SettingsError, match="augment gave"):
        list(pictures(tmp_path).loader(4, images={"image": (24, 20)}, augment=lambda p, c: p[:2]))


def test_a_picture_cut_short_is_named(tmp_path: Path) -> None:
    rows = [{"image": jpeg(i)[: 300 if i == 5 else None], "label": i} for i in range(10)]
    table = read(rows)
    with pytest.raises(BadRowError, match="'image' of row 5"):
        list(table.loader(4, images={"image": (24, 20)}))
    with pytest.raises(BadRowError, match=r"kinds={'image': 'image'}.*where\('image is not null'\)"):
        list(table.loader(4, images={"image": (24, 20)}))


@pytest.mark.parametrize("kinds", [None, {"image": "image"}, {"other": "image", "image": "image"}])
def test_pictures_that_are_bad_or_missing_are_set_aside(kinds: dict[str, str] | None) -> None:
    rows: list[dict[str, Any]] = [{"image": jpeg(i), "label": i, "other": None} for i in range(40)]
    rows[7]["image"], rows[19]["image"], rows[23]["image"] = jpeg(7)[:300], b"no picture", None
    table = read(rows, kinds=kinds, on_bad="quarantine")

    def loader() -> Any:
        return table.loader(4, ["label"], images={"image": (24, 20)}, seed=3)

    whole = [batch["label"].tolist() for batch in loader()]
    assert sorted(itertools.chain(*whole)) == [i for i in range(40) if i not in (7, 19, 23)]
    stopped = loader()
    first = [batch["label"].tolist() for batch in itertools.islice(stopped, 3)]
    again = loader()
    again.load_state_dict(stopped.state_dict())
    assert first + [batch["label"].tolist() for batch in again] == whole
    assert len(again) == 10
    aside = [(row["line"], row["column"]) for row in table.quarantined().to_rows()]
    assert aside == [(8, "image"), (20, "image"), (24, "image")]
