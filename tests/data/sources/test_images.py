"""Folders of pictures: labels from sub-folders, bad pictures with their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orrery.data.codecs.image import encode_png
from orrery.data.table import read
from orrery.errors import BadRowError, SourceError


def picture(size: int = 4) -> bytes:
    return encode_png(np.random.default_rng(size).integers(0, 255, (3, size, size), np.uint8))


@pytest.fixture
def folder() -> Path:
    for label in ("cat 猫", "dog"):
        Path("pets", label, "deep").mkdir(parents=True)
        for i in range(3):
            Path("pets", label, f"{i}.PNG").write_bytes(picture())
        Path("pets", label, "deep", "x.png").write_bytes(picture(9))
    Path("pets", ".hidden.png").write_bytes(b"")
    Path("pets", "notes.txt").write_text("not a picture")
    return Path("pets")


def test_the_sub_folder_is_the_label(folder: Path) -> None:
    table = read(folder)
    assert [(row["label"], row["path"]) for row in table.select("label", "path").to_rows()][3:5] == [
        ("cat 猫", "cat 猫/deep/x.png"),
        ("dog", "dog/0.PNG"),
    ]
    assert table.count() == 8
    assert table.schema["image"].kind == "image"
    assert table.schema["path"].kind == "key"
    assert table.head(1).to_rows()[0]["image"] == picture()
    assert table.where("label = 'dog'").describe()["image"].sizes == ((4, 4, 3, 3), (9, 9, 3, 1))


def test_bad_pictures_stop_or_are_set_aside(folder: Path) -> None:
    (folder / "dog" / "empty.png").write_bytes(b"")
    (folder / "dog" / "text.jpg").write_text("hello")
    (folder / "dog" / "cut.png").write_bytes(picture(40)[:200])
    with pytest.raises(BadRowError, match=r"pets/dog/empty\.png"):
        read(folder).count()
    table = read(folder, on_bad="quarantine")
    assert (table.count(), table.select("label").count(), table.quarantined().count()) == (8, 8, 3)
    assert {Path(row["place"]).name for row in table.quarantined().to_rows()} == {
        "empty.png",
        "text.jpg",
        "cut.png",
    }


def test_files_without_folder_have_no_label() -> None:
    Path("a.png").write_bytes(picture())
    assert read("a.png").select("label", "path").to_rows()[0]["path"].endswith("a.png")
    Path("flat").mkdir()
    Path("flat/a.png").write_bytes(picture())
    assert read("flat").select("label", "path").to_rows() == [{"label": None, "path": "a.png"}]


def test_no_pictures_are_told() -> None:
    Path("none").mkdir()
    with pytest.raises(Exception, match="no file that can be read"):
        read("none")
    with pytest.raises(SourceError):
        read("*.png").count()


def test_corrupt_pictures_of_a_column_are_set_aside_too() -> None:
    rows = [{"id": i, "image": picture()} for i in range(10)] + [{"id": 10, "image": None}]
    rows[4]["image"] = picture(40)[:300]
    table = read(rows, kinds={"image": "image"}, on_bad="quarantine")
    assert [row["id"] for row in table.select("id").to_rows()] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert table.where("id > 3").count() == 6
    (bad,) = table.where("id > 3").quarantined().to_rows()
    assert (bad["line"], bad["column"]) == (5, "image")
    assert sum(part.count() for part in table.split(0.5)) == 10
    assert read(rows, kinds={"image": "image"}).count() == 11
