"""Files of a model: written all or not at all, read with suspicion."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from orrery.errors import ModelError, ModelFormatError, ModelNotFoundError, SettingsError
from orrery.estimators.archive import MOST_FILES, check_name, read_files, write_files

FILES = {"model.json": b"{}", "linear/linear.arrow": b"ARROW", "trees.txt": b"tree" * 1000}


@pytest.mark.parametrize("name", ["model", "model.zip", "deep/er/model.zip"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    write_files(FILES, tmp_path / name)
    assert read_files(tmp_path / name) == FILES


def test_a_zip_of_the_same_files_has_the_same_bytes(tmp_path: Path) -> None:
    write_files(FILES, tmp_path / "a.zip")
    write_files(FILES, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_model_replaces_a_model_and_leaves_nothing_aside(tmp_path: Path, name: str) -> None:
    write_files(FILES, tmp_path / name)
    write_files({"model.json": b"[]"}, tmp_path / name)
    assert read_files(tmp_path / name) == {"model.json": b"[]"}
    assert [p.name for p in tmp_path.iterdir() if p.name != "home"] == [name]


@pytest.mark.parametrize("name", ["thesis", "thesis.zip"])
def test_something_else_is_never_replaced(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "thesis":
        place.mkdir()
        (place / "chapter.tex").write_text("years of work")
    else:
        place.write_text("years of work")
    with pytest.raises(SettingsError, match="exists and is not"):
        write_files(FILES, place)
    assert "years of work" in (place / "chapter.tex" if place.is_dir() else place).read_text()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/evil.json",
        "a/../../evil.json",
        "C:\\evil.json",
        "a\\b.json",
        ".hidden.json",
        "weights.pkl",
        "run.py",
        "lib.so",
        "a/b/c/d/e.json",
        "x" * 200 + ".json",
        "nul\0.json",
        "",
        "newline\n.json",
    ],
)
def test_names_that_could_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFormatError, match="not a file that a model may hold"):
        check_name(name)
    with pytest.raises(ModelFormatError):
        write_files({name: b""}, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def zip_of(place: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return place


def test_a_zip_that_climbs_out_writes_nothing(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    evil = zip_of(inside / "evil.zip", ("model.json", b"{}"), ("../escaped.json", b"gotcha"))
    with pytest.raises(ModelFormatError, match="not a file that a model may hold"):
        read_files(evil)
    assert not (tmp_path / "escaped.json").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = zip_of(tmp_path / "bomb.zip", ("model.json", b"{}"), ("w.json", b"0" * (64 << 20)))
    with pytest.raises(ModelFormatError, match="would unpack"):
        read_files(bomb)


def test_a_bomb_of_many_small_files_is_refused(tmp_path: Path) -> None:
    many = [(f"a{i}.json", b"0" * (1 << 20)) for i in range(40)]
    bomb = zip_of(tmp_path / "bomb.zip", *many, ("model.json", b"{}"))
    with pytest.raises(ModelFormatError, match="The zip would unpack"):
        read_files(bomb)


def test_a_zip_without_a_card_is_not_unpacked(tmp_path: Path) -> None:
    broken = zip_of(tmp_path / "z.zip", ("w.json", b"0" * 5000)).read_bytes().replace(b"w.json", b"w.txt2", 1)
    (tmp_path / "z.zip").write_bytes(broken)
    with pytest.raises(ModelFormatError, match=r"no model\.json"):
        read_files(tmp_path / "z.zip")


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    honest = zip_of(tmp_path / "lies.zip", ("model.json", b"0" * 5000)).read_bytes()
    lies = honest.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "lies.zip").write_bytes(lies)
    with pytest.raises(ModelFormatError):
        read_files(tmp_path / "lies.zip")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "link.zip"
    with zipfile.ZipFile(place, "w") as archive:
        entry = zipfile.ZipInfo("model.json")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(ModelFormatError, match="link"):
        read_files(place)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = [(f"f{i}.json", b"") for i in range(MOST_FILES + 1)]
    with pytest.raises(ModelFormatError, match="at most"):
        read_files(zip_of(tmp_path / "many.zip", *many))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="same name"):
        read_files(zip_of(tmp_path / "two.zip", ("model.json", b"a"), ("model.json", b"b")))


@pytest.mark.parametrize("cut", [0, 1, 30, -1, -30])
def test_a_zip_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    write_files(FILES, tmp_path / "model.zip")
    whole = (tmp_path / "model.zip").read_bytes()
    (tmp_path / "model.zip").write_bytes(whole[:cut])
    with pytest.raises(ModelFormatError):
        read_files(tmp_path / "model.zip")


def test_links_and_pipes_in_a_folder_are_refused(tmp_path: Path) -> None:
    write_files(FILES, tmp_path / "a")
    (tmp_path / "a" / "passwd.txt").symlink_to("/etc/passwd")
    with pytest.raises(ModelFormatError, match="link"):
        read_files(tmp_path / "a")
    write_files(FILES, tmp_path / "b")
    os.mkfifo(tmp_path / "b" / "pipe.txt")
    with pytest.raises(ModelFormatError, match="plain file"):
        read_files(tmp_path / "b")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no saved model"):
        read_files(tmp_path / "nothing")
    with pytest.raises(ModelFormatError, match=r"model\.json"):
        read_files(tmp_path)


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_place_that_cannot_be_written_is_told(name: str) -> None:
    with pytest.raises(ModelError, match="could not be saved") as caught:
        write_files(FILES, Path("/proc/orrery") / name)
    assert "Choose a place that can be written" in str(caught.value)


FULL_DISK = """
import resource, sys
from pathlib import Path
from orrery.errors import ModelError
from orrery.estimators.archive import write_files
import os
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_files({"model.json": b"{}", "w.safetensors": os.urandom(100_000)}, Path(sys.argv[1]))
except ModelError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_disk_that_is_full_half_way_leaves_the_old_model(tmp_path: Path, name: str) -> None:
    """The kernel itself refuses to write more, as a full disk would."""
    write_files(FILES, tmp_path / "m" / name)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "m" / name)], capture_output=True, text=True
    )
    assert "could not be saved" in done.stdout, done.stderr
    assert read_files(tmp_path / "m" / name) == FILES
    assert [p.name for p in (tmp_path / "m").iterdir()] == [name]
