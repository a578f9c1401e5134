"""Data sets of Petastorm, laid out by hand as its sources do it: it cannot be installed beside our pyarrow.

The layout is that of github.com/uber/petastorm: ``codecs.py`` (``NdarrayCodec.encode`` is ``np.save``,
``CompressedNdarrayCodec.encode`` is ``np.savez_compressed(arr=…)``, ``CompressedImageCodec`` is what OpenCV
encodes), ``unischema.py``, and ``etl/dataset_metadata.py`` (``pickle.dumps`` of the schema under
``dataset-toolkit.unischema.v1`` in the footer of ``_common_metadata``).
"""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orrery.data.codecs import tensor
from orrery.data.foreign import petastorm
from orrery.data.table import read
from orrery.errors import SourceError

ROWS = 5


class UnischemaField(NamedTuple):
    name: str
    numpy_dtype: Any
    shape: tuple[int | None, ...]
    codec: Any = None
    nullable: bool = False


class Unischema:
    def __init__(self, name: str, fields: list[UnischemaField]) -> None:
        self._name = name
        self._fields = OrderedDict([(f.name, f) for f in fields])
        for f in fields:
            setattr(self, f.name, f)


class NdarrayCodec: ...


class CompressedNdarrayCodec: ...


class CompressedImageCodec:
    def __init__(self) -> None:
        self._image_codec = ".png"
        self._quality = 80


class IntegerType: ...


class ScalarCodec:
    def __init__(self) -> None:
        self._spark_type = IntegerType()


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The classes under the names that Petastorm's own have, for as long as one is pickled."""
    names = {
        "petastorm.unischema": (Unischema, UnischemaField),
        "petastorm.codecs": (NdarrayCodec, CompressedNdarrayCodec, CompressedImageCodec, ScalarCodec),
        "pyspark_sql_types": (IntegerType,),
    }
    for name, classes in names.items():
        module = types.ModuleType(name)
        for one in classes:
            monkeypatch.setattr(one, "__module__", name)
            setattr(module, one.__name__, one)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], types.ModuleType(name))
        monkeypatch.setitem(sys.modules, name, module)
    return


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(array: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, arr=array)
    return out.getvalue()


def matrix(i: int) -> Any:
    return np.arange(6, dtype=np.float32).reshape(2, 3) + i


def dataset(protocol: int = 4, pickled: bytes | None = None) -> Path:
    """A data set of five rows in two files."""
    folder = Path("hello")
    folder.mkdir()
    schema = Unischema(
        "HelloWorldSchema",
        [
            UnischemaField("id", np.int32, (), ScalarCodec(), False),
            UnischemaField("image1", np.uint8, (3, 4, 3), CompressedImageCodec(), False),
            UnischemaField("matrix", np.float32, (2, 3), NdarrayCodec(), False),
            UnischemaField("ragged", np.int64, (None, 2), CompressedNdarrayCodec(), True),
            UnischemaField("vector", np.float64, (3,), NdarrayCodec(), False),
            UnischemaField("plain", np.bytes_, (), None, False),
        ],
    )
    table = pa.table(
        {
            "id": pa.array(range(ROWS), pa.int32()),
            "image1": [png(i) for i in range(ROWS)],
            "matrix": [npy(matrix(i)) for i in range(ROWS)],
            "ragged": [None if i == 3 else npz(np.ones((i, 2), np.int64)) for i in range(ROWS)],
            "vector": [npy(np.arange(3.0) + i) for i in range(ROWS)],
            "plain": [b"x"] * ROWS,
        }
    )
    pq.write_table(table.slice(0, 3), folder / "part-0.parquet")
    pq.write_table(table.slice(3), folder / "part-1.parquet")
    data = pickle.dumps(schema, protocol) if pickled is None else pickled
    marked = table.schema.with_metadata({b"dataset-toolkit.unischema.v1": data})
    pq.write_metadata(marked, folder / "_common_metadata")
    return folder


@pytest.mark.parametrize("protocol", range(6))
def test_pictures_arrays_and_scalars(protocol: int) -> None:
    table = read(dataset(protocol))
    kinds = {f.name: (str(f.kind) if f.kind else None, f.shape) for f in table.schema.fields}
    assert kinds == {
        "id": (None, None),
        "image1": ("image", (3, 4, 3)),
        "matrix": ("tensor", (2, 3)),
        "ragged": ("tensor", None),
        "vector": ("vector", (3,)),
        "plain": (None, None),
    }
    rows = table.to_rows()
    assert [row["id"] for row in rows] == list(range(ROWS))
    assert [row["image1"] for row in rows] == [png(i) for i in range(ROWS)]
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(tensor.decode(row["matrix"]), matrix(i))
        assert row["vector"] == [float(i), 1.0 + i, 2.0 + i]
        assert (row["ragged"] is None) == (i == 3)
        if row["ragged"] is not None:
            assert tensor.decode(row["ragged"]).shape == (i, 2)


def test_conditions_and_columns_on_what_was_unpacked() -> None:
    table = read(dataset()).where('"vector"[1] >= 2 and id < 4').select("id", "vector")
    assert [row["id"] for row in table.to_rows()] == [2, 3]


def test_a_hostile_pickle_is_not_run_and_the_bytes_tell() -> None:
    evil = b"cbuiltins\nexec\n(S\"open('boom','w')\"\ntR."
    table = read(dataset(pickled=evil))
    assert table.count() == ROWS
    assert not Path("boom").exists()
    assert [str(table.schema[name].kind) for name in ("image1", "matrix", "ragged")] == [
        "image",
        "tensor",
        "tensor",
    ]
    assert tensor.decode(table.to_rows()[1]["ragged"]).shape == (1, 2)


def test_arrays_of_objects_are_never_unpickled() -> None:
    folder = dataset()
    table = pq.read_table(folder / "part-1.parquet")
    bad = npy(np.array([print], dtype=object))
    place = table.schema.get_field_index("vector")
    pq.write_table(table.set_column(place, "vector", [[bad] * len(table)]), folder / "part-1.parquet")
    with pytest.raises(SourceError, match=r"part-1\.parquet: an array of 'vector'"):
        read(folder).to_rows()


def test_an_archive_that_says_it_is_small_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor, "MAX_VALUES", 8)
    folder = dataset()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr.npy", npy(np.zeros(10_000)))
    table = pq.read_table(folder / "part-0.parquet")
    place = table.schema.get_field_index("ragged")
    pq.write_table(
        table.set_column(place, "ragged", [[out.getvalue()] * len(table)]), folder / "part-0.parquet"
    )
    with pytest.raises(SourceError, match=r"an array of 'ragged' cannot be read: it has 80,128 bytes"):
        read(folder).select("ragged").to_rows()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_broken_or_encrypted_archive_is_told(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("arr.npy", npy(np.arange(1000)))
    broken, secret = bytearray(out.getvalue()), bytearray(out.getvalue())
    broken[45:60] = b"\xff" * 15
    secret[6] |= 1
    secret[secret.find(b"PK\x01\x02") + 8] |= 1
    for data in (broken, secret):
        with pytest.raises(SourceError, match="an array of 'x'"):
            petastorm._each(pa.array([bytes(data)]), petastorm._unzipped, pa.field("x", pa.binary()), "f")
