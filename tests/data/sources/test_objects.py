"""Objects of other libraries as tables: lazily, bounded, with what their columns mean."""

from __future__ import annotations

import gc
import io
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from orrery.data.table import read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError
from orrery.schema import Kind


def numbers(n: int) -> Iterator[dict[str, Any]]:
    for i in range(n):
        yield {"a": i, "b": str(i)}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_function_is_called_anew_for_each_pass() -> None:
    calls: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        calls.append(1)
        return numbers(3000)

    table = read(rows)
    assert table.count() == table.count() == 3000
    assert table.where("a >= 2998").to_rows() == [{"a": 2998, "b": "2998"}, {"a": 2999, "b": "2999"}]
    assert len(calls) == 4
    assert repr(table) == "Table(rows in memory)"


def left(scratch: Path) -> list[Path]:
    """What lies there, but for the folder that the queries of a process share until it ends."""
    return [path for path in scratch.iterdir() if not path.name.startswith("orrery-sql")]


def test_an_iterator_is_put_down_once_and_its_scratch_file_goes(scratch: Path) -> None:
    table = read(numbers(3000))
    assert left(scratch) == []
    assert [table.count(), table.count()] == [3000, 3000]
    assert table.head(2).to_rows() == [{"a": 0, "b": "0"}, {"a": 1, "b": "1"}]
    assert len(list(scratch.glob("*/rows.arrow"))) == 1
    del table
    gc.collect()
    assert left(scratch) == []


def test_the_scratch_file_is_bounded(scratch: Path) -> None:
    table = read(numbers(100_000), most_bytes=10_000)
    with pytest.raises(SourceError, match=r"more than 10,000 bytes .* read\(lambda"):
        table.count()
    del table
    gc.collect()
    assert left(scratch) == []


def test_an_iterator_that_fails_half_way_is_not_read_again_as_less(scratch: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from numbers(2000)
        raise OSError("gone")

    table = read(rows())
    for _ in range(2):
        with pytest.raises(SourceError, match="failed after 2,000 rows: OSError: gone"):
            table.count()


def test_a_reader_of_batches_larger_than_memory_is_not_held() -> None:
    code = """
import numpy as np, pyarrow as pa
from orrery.data.table import read
def peak_kib():  # that of the module resource may be the peak of the process that started this one
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
schema = pa.schema({"a": pa.float64()})
def batches():
    for i in range(300):
        yield pa.record_batch({"a": np.full(131_072, float(i))})
table = read(pa.RecordBatchReader.from_batches(schema, batches()))
before = peak_kib()
assert sum(b.num_rows for b in table.source.read(table.source.partitions()[0], [])) == 300 * 131_072
print(peak_kib() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150 << 10


def test_types_are_of_the_first_rows_and_what_does_not_fit_is_a_bad_row() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from numbers(1500)
        yield {"a": "x", "b": "y"}
        yield {"a": 1, "b": "z", "c": 1}

    with pytest.raises(BadRowError, match=r":1501: column 'a': 'x' is not int64"):
        read(rows).to_rows()
    table = read(rows, on_bad="quarantine")
    assert len(table.to_rows()) == 1500
    assert [(r["line"], r["column"]) for r in table.quarantined().to_rows()] == [(1501, "a"), (1502, "c")]
    assert read(rows, types={"a": "string", "b": "string", "c": "int64"}).count() == 1502


def test_what_gives_no_rows_is_told() -> None:
    for wrong in (lambda: 5, lambda: "rows", lambda: None):
        with pytest.raises(SettingsError, match="should give rows"):
            read(wrong).count()
    with pytest.raises(SchemaError, match="Row 1 is a int"):
        read(lambda: [1, 2]).count()
    for thing in (object(), 5, int, np.arange(3)):
        with pytest.raises(SettingsError, match="cannot be read as a table"):
            read(thing)


def test_leaving_early_closes_the_generator() -> None:
    closed: list[bool] = []

    def rows() -> Iterator[dict[str, Any]]:
        try:
            yield from numbers(100_000)
        finally:
            closed.append(True)

    batches = read(rows, types={"a": "int64", "b": "string"}).batches(10)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # it is a generator
    gc.collect()
    assert closed == [True, True]  # the first rows were looked at for their types


def test_a_lazy_frame_is_asked_for_its_columns_only() -> None:
    asked: list[int] = []

    def spy(frame: pl.DataFrame) -> pl.DataFrame:
        asked.append(frame.width)
        return frame

    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", None], "c": [1.0, 2.0, 3.0]}), "rows.parquet")
    table = read(pl.scan_parquet("rows.parquet").map_batches(spy, schema=None))
    assert table.schema.names == ("a", "b", "c")
    assert asked == []
    assert table.where("a > 1").select("b").to_rows() == [{"b": "y"}, {"b": None}]
    assert read(pl.scan_parquet("rows.parquet")).count() == 3


def test_an_arrow_data_set_has_a_part_for_each_file() -> None:
    for i in range(3):
        Path("parts").mkdir(exist_ok=True)
        pq.write_table(pa.table({"a": [i], "b": [str(i)]}), f"parts/{i}.parquet")
    table = read(ds.dataset("parts"))
    assert len(table.source.partitions()) == 3
    assert table.select("b").to_rows() == [{"b": "0"}, {"b": "1"}, {"b": "2"}]
    assert table.count() == 3


class Pictures(Dataset[Any]):
    """Pictures and their labels."""

    def __len__(self) -> int:
        return 5000

    def __getitem__(self, index: int) -> Any:
        if index >= 5000:
            raise IndexError(index)
        return Image.new("RGB", (8, 6), (index % 255, 0, 0)), index % 3, torch.full((2, 3), float(index))


class Windows(IterableDataset[Any]):
    """A stream of arrays."""

    def __iter__(self) -> Iterator[Any]:
        for i in range(5):
            yield {"window": np.arange(i, i + 4, dtype=np.float32), "y": i}


def test_pictures_and_tensors_of_torch_are_columns() -> None:
    table = read(Pictures())
    assert [(f.name, f.kind) for f in table.schema.fields] == [
        ("x0", Kind.IMAGE),
        ("x1", None),
        ("x2", Kind.TENSOR),
    ]
    assert table.schema["x2"].type == "fixed_size_list<item: float>[6]"
    assert table.schema["x2"].shape == (2, 3)
    parts = table.source.partitions()
    assert [part.rows for part in parts] == [4096, 904]
    (first,) = (b for b in table.source.read(parts[1], ["x1", "x2"], None, start=903))
    assert first.to_pylist() == [{"x1": 4999 % 3, "x2": [4999.0] * 6}]
    picture = table.head(1).to_rows()[0]["x0"]
    assert Image.open(io.BytesIO(picture)).size == (8, 6)


def test_streams_and_tensor_data_sets_of_torch() -> None:
    table = read(Windows())
    assert table.schema["window"].kind is Kind.VECTOR
    assert table.to_rows()[2] == {"window": [2.0, 3.0, 4.0, 5.0], "y": 2}
    pair = read(TensorDataset(torch.arange(6).reshape(3, 2), torch.tensor([1.0, 2.0, 3.0])))
    assert pair.to_rows()[1] == {"x0": [2, 3], "x1": 2.0}


def hugging_face() -> Any:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    features = datasets.Features(
        {
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "image": datasets.Image(),
            "grid": datasets.Array2D((2, 2), "float32"),
        }
    )
    rows = {
        "label": [0, 1, None, 1],
        "image": [{"bytes": out.getvalue(), "path": None}] * 4,
        "grid": [[[1.0, 2.0], [3.0, 4.0]]] * 4,
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_features_of_hugging_face_keep_their_meaning() -> None:
    data = hugging_face()
    table = read(data)
    assert table.schema["label"].kind is Kind.CATEGORY
    assert table.schema["image"].kind is Kind.IMAGE
    assert [row["label"] for row in table.to_rows()] == ["cat", "dog", None, "dog"]
    assert table.describe()["image"].pictures == 1.0
    assert table.to_rows()[0]["grid"] == [[1.0, 2.0], [3.0, 4.0]]
    chosen = read(data.shuffle(seed=3).select([0, 1]))
    assert chosen.count() == 2
    assert chosen.fingerprint() != table.fingerprint() == read(data).fingerprint()
    stream = read(data.to_iterable_dataset())
    assert stream.where("label = 'dog'").select("label").to_rows() == [{"label": "dog"}] * 2


def test_a_stream_without_features_and_several_data_sets() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from numbers(5)

    assert read(datasets.IterableDataset.from_generator(rows)).count() == 5
    with pytest.raises(SettingsError, match=r"2 data sets: 'train', 'test'\. Read one of them"):
        read(datasets.DatasetDict({"train": hugging_face(), "test": hugging_face()}))


def test_objects_have_no_address_and_some_travel() -> None:
    for thing in (lambda: numbers(3), numbers(3), pl.LazyFrame({"a": [1]}), Pictures(), hugging_face()):
        with pytest.raises(SettingsError, match="Write the rows to a file first"):
            read(thing).to_dict()
    table = read(hugging_face())
    assert pickle.loads(pickle.dumps(table)).select("label").to_rows() == table.select("label").to_rows()


def test_reading_a_frame_imports_no_other_library() -> None:
    code = (
        "import sys, orrery as ory\n"
        "ory.read({'a': [1]}).count(); ory.read(lambda: [{'a': 1}]).count()\n"
        "print(sorted({'torch', 'pyspark', 'ray', 'datasets', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
