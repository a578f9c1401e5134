"""Files that Hugging Face ``datasets`` wrote, by the real library."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orrery.data.table import read
from orrery.errors import SourceError

datasets = pytest.importorskip("datasets")


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 3), shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def data() -> Any:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "tokens": datasets.Sequence(datasets.Value("string")),
            "box": datasets.Array2D((2, 2), "float32"),
        }
    )
    rows = {
        "image": [{"bytes": png(i), "path": None} if i else None for i in range(4)],
        "label": [0, 1, None, 1],
        "tokens": [["a"], [], ["b", "c"], ["d"]],
        "box": [[[1.0, 2.0], [3.0, 4.0]]] * 4,
    }
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize("form", ["parquet", "folder"])
def test_pictures_sounds_and_classes(data: Any, form: str) -> None:
    if form == "parquet":
        data.to_parquet("rows.parquet")
    else:
        data.save_to_disk("rows")
    table = read("rows.parquet" if form == "parquet" else "rows")
    kinds = {f.name: str(f.kind) if f.kind else None for f in table.schema.fields}
    assert kinds == {"image": "image", "label": "category", "tokens": None, "box": None}
    rows = table.to_rows()
    assert [row["image"] for row in rows] == [None, png(1), png(2), png(3)]
    assert [row["label"] for row in rows] == ["cat", "dog", None, "dog"]
    assert [row["tokens"] for row in rows] == [["a"], [], ["b", "c"], ["d"]]
    assert rows[0]["box"] == [[1.0, 2.0], [3.0, 4.0]]
    assert table.where("label = 'dog'").count() == 2
    assert table.select("label").to_rows()[0] == {"label": "cat"}


def test_sounds() -> None:
    """Laid out as ``datasets`` does: encoding one needs a package that is not among ours."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    sounds = pa.array([{"bytes": b"RIFF", "path": "a.wav"}, None], kind)
    told = {"info": {"features": {"sound": {"sampling_rate": 8000, "_type": "Audio"}}}}
    table = pa.table({"sound": sounds}).replace_schema_metadata({"huggingface": json.dumps(told)})
    pq.write_table(table, "rows.parquet")
    assert str(read("rows.parquet").schema["sound"].kind) == "audio"
    assert read("rows.parquet").to_rows() == [{"sound": b"RIFF"}, {"sound": None}]


def test_only_the_files_that_the_folder_names_count(data: Any) -> None:
    data.save_to_disk("rows")
    data.save_to_disk("more")
    next(Path("more").glob("data-*.arrow")).rename("rows/data-00000-of-00009.arrow")
    assert read("rows").count() == 4


def test_several_splits_are_not_mixed(data: Any) -> None:
    datasets.DatasetDict(train=data, test=data).save_to_disk("both")
    with pytest.raises(SourceError, match=r"several data sets: test, train"):
        read("both").count()
    assert read("both/train").count() == 4


def test_a_file_that_a_row_names_is_not_opened() -> None:
    Path("secret.png").write_bytes(png(1))
    features = datasets.Features({"image": datasets.Image(decode=False)})
    rows = {"image": [{"bytes": None, "path": str(Path("secret.png").absolute())}]}
    pq.write_table(datasets.Dataset.from_dict(rows, features=features).data.table, "rows.parquet")
    with pytest.raises(SourceError, match=r"names the file .*secret\.png.* instead of holding it"):
        read("rows.parquet").to_rows()


@pytest.mark.parametrize("text", ["{", "[]", '{"info": 3}', "[" * 100_000])
def test_broken_metadata_is_no_trouble(text: str) -> None:
    table = pa.table({"label": [0]}).replace_schema_metadata({"huggingface": text})
    pq.write_table(table, "rows.parquet")
    assert read("rows.parquet").to_rows() == [{"label": 0}]
