"""Files by address: one, a folder, or a glob; on this machine or behind fsspec."""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import io
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from orrery.data import remote
from orrery.data.masking import hide, masked
from orrery.errors import MissingExtraError, SettingsError, SourceError, did_you_mean

WHOLE = 64 << 20
"""Bytes up to which a file is hashed in full; of a larger one, its ends and its time."""

EXTRA_OF_SCHEME = {"s3": "s3", "s3a": "s3"}
"""Scheme of a file system -> the extra of ``orrery-ml`` that brings it."""

_log = logging.getLogger("orrery.data")
_END = 1 << 20
_MARKS = ("ETag", "etag", "mtime", "LastModified", "Last-Modified", "created")
_CLIENTS = ("aiohttp", "aiobotocore", "botocore")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def is_local(path: str) -> bool:
    """Whether a path is of this machine's own files."""
    return not _SCHEME.match(path) or path.startswith("file://")


def local(path: str) -> Path:
    """The path of a file of this machine."""
    return Path(path.removeprefix("file://"))


def find(place: str, endings: Sequence[str]) -> list[str]:
    """Every file at a place, sorted: the file itself, those of a glob, or those of a folder with the endings.

    Links in a folder are followed to files of the same folder only; others need a name, or a glob.
    Raises SourceError where there is none.
    """
    if not is_local(place):
        return _find_remote(place, endings)
    path = local(place)
    if path.is_file():
        return [str(path)]
    if path.is_dir():
        found = sorted(str(p) for p in _inside(path) if _ends(p.name, endings))
    else:
        found = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not found:
        raise _absent(path, endings)
    return found


def _inside(folder: Path) -> Iterator[Path]:
    """The files of a folder. A link that leads out of it is skipped, and the log says so."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            _log.warning("Skipped: the link %s leads out of the folder %s.", path, folder)
        elif path.is_file():
            yield path


def _find_remote(place: str, endings: Sequence[str]) -> list[str]:
    found: list[str] = []
    with reading(place), installed(place), suppress(FileNotFoundError):
        system, path = remote.system_of(place)
        if "*" in path:
            found = [p for p in system.glob(path) if not p.endswith("/")]
        elif place.endswith("/") or system.info(path)["type"] == "directory":
            found = [p for p in system.find(path) if _ends(p, endings)]
        else:
            found = [path]
    if not found:
        raise SourceError(f"There is no file at {shown(place)}.")
    return remote.addresses(system, found, place)


@contextmanager
def installed(place: str) -> Iterator[None]:
    """Turns what fsspec says of a package that is not installed into MissingExtraError."""
    try:
        yield
    except ImportError as error:
        scheme = place.partition("://")[0].lower()
        extra = EXTRA_OF_SCHEME.get(scheme)
        command = f'pip install "orrery-ml[{extra}]"' if extra else ""
        raise MissingExtraError(
            f"{scheme}:// needs a package that is not installed: {hide(str(error), place)}.",
            hint=f"Install it with: {command}" if command else "",
        ) from None


def _ends(name: str, endings: Sequence[str]) -> bool:
    hidden = Path(name).name.startswith((".", "_"))
    return not hidden and name.lower().endswith(tuple(endings))


def _absent(path: Path, endings: Sequence[str]) -> SourceError:
    if path.is_dir():
        return SourceError(f"The folder {path} holds no file that ends in {', '.join(endings)}.")
    if glob.has_magic(str(path)):
        return SourceError(f"No file matches {path}.")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return SourceError(f"There is no file {path}.", hint=did_you_mean(path.name, beside))


def shown(place: str) -> str:
    """An address as it may be shown: without passwords, keys and signatures."""
    return masked(place)


def size(path: str) -> int:
    """Bytes of a file."""
    if is_local(path):
        return local(path).stat().st_size
    system, inner = remote.system_of(path)
    with reading(path):
        return int(system.size(inner) or 0)


@contextmanager
def opened(path: str, ranges: bool = False) -> Iterator[Any]:
    """A file to read bytes from: in ``ranges``, here and there, or all of it. Raises SourceError."""
    with reading(path):
        if is_local(path):
            with local(path).open("rb") as file:
                yield file
        else:
            with remote.open_range(path, ranges) as file:
                yield file


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what the system says about a file into SourceError that names it."""
    try:
        with installed(path):
            yield
    except FileNotFoundError:
        raise SourceError(f"The file {shown(path)} is not there (any more).") from None
    except PermissionError:
        raise SourceError(
            f"The file {shown(path)} may not be read.", hint="Check its owner and its permissions."
        ) from None
    except UnicodeError as error:
        data = getattr(error, "object", b"")
        raise SourceError(
            f"{shown(path)} is not of the encoding that was said: {error}.",
            hint=suggestion(data if isinstance(data, bytes) else b""),
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"{shown(path)} cannot be read: {hide(str(error), path)}", hint="Is it cut short?"
        ) from None
    except Exception as error:
        if is_local(path) or not _of_network(error):
            raise
        text = hide(" ".join(str(error).split()), path) or type(error).__name__
        raise SourceError(f"{shown(path)} cannot be reached: {text}") from None


def _of_network(error: Exception) -> bool:
    """Whether an error is one of the clients that fsspec uses; some of theirs are plain ValueErrors."""
    return type(error) is ValueError or type(error).__module__.split(".")[0] in _CLIENTS


def fingerprint(paths: Sequence[str], names: Sequence[str] = ()) -> str:
    """A hash of what the files hold, and of ``names``: of a large file its size, time and both ends."""
    seen = hashlib.sha256("\0".join(names).encode())
    for path in paths:
        with reading(path):
            seen.update(_fingerprint_of(path).encode())
    return seen.hexdigest()[:20]


def _fingerprint_of(path: str) -> str:
    if is_local(path):
        state = local(path).stat()
        return _hashed(path, state.st_size, state.st_mtime_ns)
    system, inner = remote.system_of(path)
    info = system.info(inner)
    mark = next((info[k] for k in _MARKS if k in info), "")
    return f"{info.get('size')}|{mark}"


@lru_cache(maxsize=4096)
def _hashed(path: str, size_bytes: int, changed_ns: int) -> str:
    seen = hashlib.sha256(str(size_bytes).encode())
    with local(path).open("rb") as file:
        if size_bytes <= WHOLE:
            while block := file.read(_END):
                seen.update(block)
        else:
            seen.update(str(changed_ns).encode() + file.read(_END))
            file.seek(-_END, 2)
            seen.update(file.read(_END))
    return seen.hexdigest()


@contextmanager
def unpacked(path: str, encoding: str = "utf-8") -> Iterator[Any]:
    """A file to read UTF-8 from: gunzipped where its name ends so, and recoded. Raises SourceError."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise SettingsError(
            f"There is no encoding {encoding!r}.", hint="Try 'utf-8', 'gbk' or 'latin-1'."
        ) from None
    with opened(path) as file, reading(path):
        packed = remote.bare(path).lower().endswith(".gz")
        plain = gzip.GzipFile(fileobj=file) if packed else file
        yield plain if name in ("utf-8", "ascii") else io.BufferedReader(_Recoded(plain, name))


def suggestion(data: bytes) -> str:
    """What to do about bytes that are not UTF-8: name an encoding that fits them.

    >>> suggestion("größe".encode("latin-1")), suggestion("价格".encode("gbk"))
    ("Say it with encoding=: perhaps 'latin-1'.", "Say it with encoding=: perhaps 'gbk'.")
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        fitting = "utf-16"
    else:
        pairs = re.sub(rb"[\x00-\x7f]+", b"", data)
        chinese = len(pairs) % 2 == 0 and all(0xB0 <= lead <= 0xD7 for lead in pairs[::2])  # GB 2312, level 1
        fitting = "gbk" if pairs and chinese else "latin-1"
    return f"Say it with encoding=: perhaps {fitting!r}."


class _Recoded(io.RawIOBase):
    """Bytes of another encoding, as UTF-8."""

    def __init__(self, file: Any, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        while not self._rest:
            block = self._file.read(1 << 16)
            self._rest = self._decoder.decode(block, final=not block).encode()
            if not block:
                break
        taken = min(len(buffer), len(self._rest))
        buffer[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken
