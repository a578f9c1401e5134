"""Files of a saved model, by name, in a folder or in one zip: written all or not at all, read with suspicion.

Nothing read here is ever written to disk, followed as a link, or run. Limits are in bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orrery.errors import ModelError, ModelFormatError, ModelNotFoundError, SettingsError

MOST_FILES = 256
MOST_BYTES = 8 << 30
"""Of all files together, unpacked."""
MOST_DEPTH = 4

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,3}")
_SUFFIXES = frozenset({".json", ".arrow", ".safetensors", ".onnx", ".txt"})
_MOST_RATIO = 200  # unpacked to packed; what models hold packs far less
_SMALL_BYTES = 16 << 20  # up to this, any ratio will do
_CHUNK_BYTES = 1 << 20
MLMODEL = "MLmodel"
"""The one file without a suffix; written for MLflow's tools, which may change it, and never read by us."""


def check_name(name: str) -> str:
    """The name of a file inside a model. Raises ModelFormatError for one that could lead elsewhere.

    >>> check_name("linear/linear.arrow")
    'linear/linear.arrow'
    """
    if not _NAME.fullmatch(name) or (name != MLMODEL and Path(name).suffix not in _SUFFIXES):
        raise ModelFormatError(
            f"{name[:200]!r} is not a file that a model may hold: plain names that end in "
            f"{', '.join(sorted(_SUFFIXES))}, or {MLMODEL}."
        )
    return name


# --- writing


def write_files(files: Mapping[str, bytes], place: Path) -> None:
    """Write a folder, or a zip if the name ends so; what stands there is replaced once all is written."""
    for name in files:
        check_name(name)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".zip":
            _write_zip(files, place)
        else:
            _write_folder(files, place)
    except OSError as error:
        raise ModelError(
            f"The model could not be saved in {str(place)!r}: {error.strerror or error}.",
            hint="Nothing was left there. Choose a place that can be written and has room.",
        ) from None


def _write_zip(files: Mapping[str, bytes], place: Path) -> None:
    if place.exists() and not zipfile.is_zipfile(place):
        raise SettingsError(f"{str(place)!r} exists and is not a zip file.", hint="Choose another name.")
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for file, content in files.items():
                    # A fixed date: the same model gives the same bytes.
                    entry = zipfile.ZipInfo(file, (1980, 1, 1, 0, 0, 0))
                    entry.external_attr = 0o644 << 16
                    archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            out.flush()
            os.fsync(out.fileno())
        aside.chmod(0o644)
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


def _write_folder(files: Mapping[str, bytes], place: Path) -> None:
    if place.exists() and not (place.is_dir() and (_is_model(place) or not any(place.iterdir()))):
        raise SettingsError(
            f"{str(place)!r} exists and is not a model's folder.", hint="Choose another name, or remove it."
        )
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent))
    try:
        new = aside / "new"
        for file, content in files.items():
            path = new / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        if place.exists():
            place.rename(aside / "old")
        new.rename(place)
    finally:
        if not place.exists() and (aside / "old").exists():
            (aside / "old").rename(place)
        shutil.rmtree(aside, ignore_errors=True)


def _is_model(folder: Path) -> bool:
    return (folder / "model.json").is_file()


# --- reading


def read_files(place: Path) -> dict[str, bytes]:
    """Every file of a model's folder or zip. Raises ModelNotFoundError and ModelFormatError."""
    if not place.exists():
        raise ModelNotFoundError(
            f"There is no saved model at {str(place)!r}.",
            hint="Published models have URLs such as models:/name@champion: use ory.load.",
        )
    with _as_format_error(place):
        files = dict(_read_folder(place) if place.is_dir() else _read_zip(place))
    if "model.json" not in files:
        raise ModelFormatError(f"{str(place)!r} is not a saved model: it holds no model.json.")
    return files


@contextmanager
def _as_format_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise ModelFormatError(f"{str(place)!r} cannot be read as a model: {error}.") from None


def _read_folder(place: Path) -> Iterator[tuple[str, bytes]]:
    left = MOST_BYTES
    paths = _plain_files(place, MOST_DEPTH)
    for count, path in enumerate(paths):
        name = check_name(path.relative_to(place).as_posix())
        if count >= MOST_FILES:
            raise ModelFormatError(f"A model holds at most {MOST_FILES} files.")
        # Not followed if it is a link, not waited for if it is a pipe.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelFormatError(f"{name!r} is not a plain file.")
            left -= status.st_size
            _check_room(left)
            yield name, file.read(status.st_size)


def _plain_files(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_symlink():
            raise ModelFormatError(f"{entry.name[:200]!r} is a link; a model holds plain files only.")
        if entry.is_dir(follow_symlinks=False):
            if depth == 1:
                raise ModelFormatError(f"{entry.name[:200]!r} lies deeper than {MOST_DEPTH} folders.")
            yield from _plain_files(Path(entry.path), depth - 1)
        else:
            yield Path(entry.path)


def _read_zip(place: Path) -> Iterator[tuple[str, bytes]]:
    left = MOST_BYTES
    with place.open("rb") as raw, zipfile.ZipFile(raw) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > MOST_FILES:
            raise ModelFormatError(f"A model holds at most {MOST_FILES} files, this zip {len(entries)}.")
        names = [check_name(entry.filename) for entry in entries]
        if len(set(names)) < len(names):
            raise ModelFormatError("Two files in the zip have the same name.")
        if "model.json" not in names:
            raise ModelFormatError(f"{str(place)!r} is not a saved model: it holds no model.json.")
        _check_ratio("The zip", sum(entry.file_size for entry in entries), place.stat().st_size)
        for entry in entries:
            left -= entry.file_size
            _check_room(left)
            yield entry.filename, _unpack(archive, entry)


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ModelFormatError(f"{entry.filename!r} is a link; a model holds plain files only.")
    _check_ratio(repr(entry.filename), entry.file_size, entry.compress_size)
    content = bytearray()
    with archive.open(entry) as file:
        while chunk := file.read(_CHUNK_BYTES):
            content += chunk
            if len(content) > entry.file_size:
                raise ModelFormatError(f"{entry.filename!r} unpacks to more than it claims.")
    if len(content) < entry.file_size:
        raise ModelFormatError(f"{entry.filename!r} is cut short.")
    return bytes(content)


def _check_ratio(what: str, unpacked: int, packed: int) -> None:
    if unpacked > max(_SMALL_BYTES, _MOST_RATIO * packed):
        raise ModelFormatError(
            f"{what} would unpack from {packed} to {unpacked} bytes, more than {_MOST_RATIO} times."
        )


def _check_room(left: int) -> None:
    if left < 0:
        raise ModelFormatError(f"The files of a model together hold at most {MOST_BYTES >> 30} GiB.")
