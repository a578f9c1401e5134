"""Files by address: one, a folder, or a glob; on this machine or behind fsspec."""

from __future__ import annotations

import codecs
import datetime as dt
import glob
import hashlib
import logging
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from orrery.data import braces, packed, remote, shards
from orrery.data.masking import hide, masked
from orrery.errors import MissingExtraError, SettingsError, SourceError, did_you_mean

WHOLE = 64 << 20
"""Bytes up to which a file is hashed in full; of a larger one, its ends and its time."""

EXTRA_OF_SCHEME = {"s3": "s3", "s3a": "s3", "webhdfs": "hdfs", "swebhdfs": "hdfs"}
"""Scheme of a file system -> the extra of ``orrery-ml`` that brings it."""

_log = logging.getLogger("orrery.data")
_END = 1 << 20
_MARKS = ("ETag", "etag", "mtime", "modificationTime", "LastModified", "Last-Modified", "created")
_CLIENTS = ("aiohttp", "aiobotocore", "botocore", "requests", "urllib3")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def is_local(path: str) -> bool:
    """Whether a path is of this machine's own files."""
    return not _SCHEME.match(path) or path.startswith("file://")


def local(path: str) -> Path:
    """The path of a file of this machine."""
    return Path(path.removeprefix("file://"))


def find(place: str, endings: Sequence[str]) -> list[str]:
    """Every file at a place, sorted: the file itself, those of a glob, or those of a folder with the endings.

    ``{000..009}`` and ``{a,b}`` stand for each of what they name, and each must be there. Links in a folder
    are followed to files of the same folder only; others need a name, or a glob. Raises SourceError where
    there is none.
    """
    return list(listed(place, endings))


def listed(place: str, endings: Sequence[str]) -> dict[str, State | None]:
    """The files of :func:`find`, with their versions where one listing told them all."""
    found: dict[str, State | None] = {}
    for one in braces.expanded(place):
        found |= dict.fromkeys(_find_local(one, endings)) if is_local(one) else _find_remote(one, endings)
    return found


def _find_local(place: str, endings: Sequence[str]) -> list[str]:
    path = local(place)
    if path.is_file():
        return [str(path)]
    if path.is_dir():
        found = sorted(str(p) for p in _inside(path) if _ends(p.relative_to(path).as_posix(), endings))
    else:
        found = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not found:
        raise _absent(place, endings)
    return found


def _inside(folder: Path) -> Iterator[Path]:
    """The files of a folder. A link that leads out of it is skipped, and the log says so."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            _log.warning("Skipped: the link %s leads out of the folder %s.", path, folder)
        elif path.is_file():
            yield path


def _find_remote(place: str, endings: Sequence[str]) -> dict[str, State | None]:
    found: dict[str, Any] = {}
    with reading(place), installed(place):
        try:
            system, path = remote.system_of(place)
            if "*" in path:
                found = {p: i for p, i in system.glob(path, detail=True).items() if i["type"] != "directory"}
            elif place.endswith("/") or (info := system.info(path))["type"] == "directory":
                inside = system.find(path, detail=True)
                chosen = shards.finished(system, path, inside, shown(place))
                found = {p: i for p, i in chosen.items() if _ends(p[len(path) :].strip("/"), endings)}
            else:
                found = {path: info}
        except FileNotFoundError as error:
            _tell_refused(error, place)
    if not found:
        if place.startswith(("s3://", "s3a://")):
            _tell_bucket(system, path.partition("/")[0], place)
        raise SourceError(f"There is no file at {shown(place)}.")
    addresses = remote.addresses(system, found, place)
    return dict(sorted((addresses[path], State.of(info)) for path, info in found.items()))


def _tell_bucket(system: Any, bucket: str, place: str) -> None:
    """Raises SourceError where it is the bucket that is not there."""
    with reading(place):
        try:
            system.ls(bucket)
        except FileNotFoundError as error:
            _tell_refused(error, place)


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
    """Whether a file below a folder is meant: those that are hidden, or in hidden folders, are not."""
    hidden = any(part[0] in "._" and "=" not in part for part in name.split("/") if part)
    return not hidden and name.lower().endswith(tuple(endings))


def _absent(place: str, endings: Sequence[str]) -> SourceError:
    path = local(place)
    if path.is_dir():
        return SourceError(f"The folder {path} holds no file that ends in {', '.join(endings)}.")
    if glob.has_magic(str(path)):
        return SourceError(f"No file matches {shown(place)}.")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return SourceError(f"There is no file {shown(place)}.", hint=did_you_mean(path.name, beside))


def shown(place: str) -> str:
    """An address as it may be shown: without passwords, keys and signatures."""
    return masked(place)


class State(NamedTuple):
    """What tells one version of a file from the next: its size, and when or as what it was written."""

    size_bytes: int
    mark: str = ""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self | None:
        """From what a file system elsewhere says of a file; None where it does not even know its size."""
        if info.get("size") is None:
            return None
        mark = next((f"{key.lower()}={_mark(info[key])}" for key in _MARKS if info.get(key)), "")
        return cls(int(info["size"]), mark)

    def same(self, other: State) -> bool:
        """Whether both may be one version; marks of different sorts tell nothing."""
        sorts = {self.mark.partition("=")[0], other.mark.partition("=")[0]}
        return self.size_bytes == other.size_bytes and (len(sorts) > 1 or self.mark == other.mark)


def _mark(value: object) -> object:
    """A moment as seconds: some systems list a date and tell it as a number, or the other way round."""
    return value.timestamp() if isinstance(value, dt.datetime) else value


def state(path: str) -> State:
    """The version of a file that lies there now. Raises SourceError."""
    with reading(path):
        if is_local(path):
            now = local(path).stat()
            return State(now.st_size, f"mtime={now.st_mtime_ns}-{now.st_ino}")
        system, inner = remote.system_of(path)
        return State.of(system.info(inner)) or State(0)


def unchanged(path: str, before: State | None, now: State | None) -> None:
    """Raises SourceError where a file is no longer the version that was found before."""
    if before is not None and now is not None and not before.same(now):
        raise SourceError(
            f"{shown(path)} changed while it was read: rows of two versions would be mixed.",
            hint="Read the table again once nobody writes to it.",
        )


def size(path: str) -> int:
    """Bytes of a file."""
    return state(path).size_bytes


@contextmanager
def opened(path: str, ranges: bool = False, version: State | None = None) -> Iterator[Any]:
    """A file to read bytes from: in ``ranges``, here and there, or all of it. Raises SourceError.

    With ``version``, only if it is still that version.
    """
    with reading(path):
        if is_local(path):
            with local(path).open("rb") as file:
                if version is not None:
                    unchanged(path, version, state(path))
                yield file
        else:
            with remote.open_range(path, ranges) as file:
                unchanged(path, version, State.of(getattr(file, "details", None) or {}))
                yield file


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what the system says about a file into SourceError that names it."""
    try:
        with installed(path):
            yield
    except FileNotFoundError as error:
        _tell_refused(error, path)
        raise SourceError(f"The file {shown(path)} is not there (any more).") from None
    except PermissionError as error:
        _tell_refused(error, path)
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
        _tell_refused(error, path)
        text = hide(" ".join(str(error).split()), path) or type(error).__name__
        raise SourceError(f"{shown(path)} cannot be reached: {text}") from None


def _tell_refused(error: BaseException, path: str) -> None:
    """Raises SourceError where a server said that it wants a login, has none of that right, or no bucket."""
    cause: BaseException | None = error
    while cause is not None:
        answer = getattr(cause, "response", None)
        status = getattr(cause, "status", None) or getattr(answer, "status_code", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if type(cause).__name__ == "NoSuchBucket":
            bucket = remote.bare(path).partition("://")[2].partition("/")[0]
            raise SourceError(f"There is no bucket {bucket!r}, so {shown(path)} cannot be read.") from None
        if status in (401, 403):
            said = "it wants a login (401)" if status == 401 else "it does not let this login in (403)"
            raise SourceError(
                f"{shown(path)} refuses to be read: {said}.",
                hint="Name a login with connection=, whose address ORRERY_CONNECTION__<NAME> holds.",
            ) from None
        cause = cause.__cause__ or cause.__context__


def _of_network(error: Exception) -> bool:
    """Whether an error is one of the clients that fsspec uses; some of theirs are plain ValueErrors."""
    return type(error) is ValueError or type(error).__module__.split(".")[0] in _CLIENTS


def fingerprint(
    paths: Sequence[str], names: Sequence[str] = (), versions: Mapping[str, State | None] | None = None
) -> str:
    """A hash of what the files hold, and of ``names``: of a large file its size, time and both ends.

    Of files elsewhere it is their versions, asked for where ``versions`` does not tell them.
    """
    seen = hashlib.sha256("\0".join(names).encode())
    for path in paths:
        with reading(path):
            seen.update(_fingerprint_of(path, (versions or {}).get(path)).encode())
    return seen.hexdigest()[:20]


def _fingerprint_of(path: str, version: State | None) -> str:
    if is_local(path):
        now = local(path).stat()
        return _hashed(path, now.st_size, now.st_mtime_ns)
    found = version if version is not None else state(path)
    if known := remote.checksum(path):
        return f"{found.size_bytes}|{known}"
    return f"{found.size_bytes}|{found.mark.partition('=')[2]}"


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
def unpacked(path: str, encoding: str = "utf-8", version: State | None = None) -> Iterator[Any]:
    """A file to read UTF-8 lines from: unpacked where its name ends so, and recoded. Raises SourceError."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise SettingsError(
            f"There is no encoding {encoding!r}.", hint="Try 'utf-8', 'gbk' or 'latin-1'."
        ) from None
    with (
        opened(path, version=version) as file,
        reading(path),
        packed.unpacking(file, remote.bare(path)) as plain,
    ):
        held = packed.lines_within(plain, packed.MOST_BYTES, shown(path)) if plain is not file else plain
        yield packed.recoded(held, encoding)


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
