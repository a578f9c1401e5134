"""The members of a tar, one after the other, as names and bytes: nothing is ever unpacked to disk.

What a stranger's tar could do harm with is refused: absolute names, ``..``, links, devices, sparse files,
headers without an end.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from orrery.errors import SourceError

_BLOCK = 512
_HEADER_BYTES = 1 << 20
_HEADERS = 16
_NUMBER = re.compile("[0-9]{1,18}")
_PIECE_BYTES = 1 << 20
_NAMES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_SORTS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class Member(NamedTuple):
    """One file of a tar."""

    number: int
    """From 1, among its members."""
    name: str
    data: bytes | None
    """None, where it was not wanted."""


def members(file: Any, wanted: Callable[[str], bool], most_bytes: int, shown: str) -> Iterator[Member]:
    """The files of a tar, in order. Raises SourceError that names the member where it cannot go on."""
    number = 0
    headers = 0  # of the member that follows
    longer: dict[str, Any] = {}
    while block := _read(file, _BLOCK, f"{shown}: the tar is cut short after member {number}"):
        if not block.strip(b"\0"):
            return  # the end, and whatever lies behind it
        try:
            head = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise SourceError(f"{shown} is no tar behind member {number}: {error}.") from None
        if head.type in (*_NAMES, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            what, headers = f"{shown}: the header of member {number + 1}", headers + 1
            if headers > _HEADERS:
                raise SourceError(f"{what} has more than {_HEADERS} parts.")
            said = _header(file, head, what)
            longer |= said if head.type in _NAMES else {}
            continue
        number, headers = number + 1, 0
        name, size = str(longer.get("path", head.name)), int(longer.get("size", head.size))
        sparse = any(key.startswith("GNU.sparse") for key in longer)
        longer = {}
        where = f"{shown}: member {number}, {name[:200]!r},"
        if head.type == tarfile.DIRTYPE:
            continue
        _check(head.type, name, size, sparse, most_bytes, where)
        data = _content(file, size, wanted(name), where)
        yield Member(number, name, data)


def _check(kind: bytes, name: str, size: int, sparse: bool, most_bytes: int, where: str) -> None:
    if kind not in _FILES or sparse:
        sort = "a sparse file" if sparse else _SORTS.get(kind, f"of type {kind!r}")
        raise SourceError(f"{where} is {sort}; only plain files are read.")
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name:
        raise SourceError(f"{where} has a name that leads out of its folder.")
    if not 0 <= size <= most_bytes:
        raise SourceError(
            f"{where} has {size:,} bytes; at most {most_bytes:,} are read.", hint="Say more with most_bytes=."
        )


def _content(file: Any, size: int, keep: bool, where: str) -> bytes | None:
    """The bytes of a member; the file stands behind them then."""
    short = f"{where} is cut short"
    padding = -size % _BLOCK
    if keep:
        data = _exactly(file, size, short)
        _exactly(file, padding, short)
        return data
    left = size + padding
    while left:
        left -= len(_exactly(file, min(left, _PIECE_BYTES), short))
    return None


def _header(file: Any, head: tarfile.TarInfo, what: str) -> dict[str, Any]:
    """A longer name, or attributes, of the member that follows."""
    if not 0 <= head.size <= _HEADER_BYTES:
        raise SourceError(f"{what} has {head.size:,} bytes; at most {_HEADER_BYTES:,} are read.")
    data = _content(file, head.size, True, what) or b""
    if head.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    found = _attributes(data, what)
    if not _NUMBER.fullmatch(found.get("size", "0")):
        raise SourceError(f"{what} is broken: its size is {found['size'][:40]!r}.")
    return found


def _attributes(data: bytes, what: str) -> dict[str, str]:
    """The pairs of a header, each with its length before it."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data) and (at + 1 < len(data) or data[at]):
        space = data.find(b" ", at, at + 20)
        length = data[at : max(space, at)].decode("latin-1")
        end = at + int(length) if _NUMBER.fullmatch(length) else -1
        key, equals, value = data[space + 1 : max(end - 1, 0)].partition(b"=")
        if not space < end <= len(data) or not equals:
            raise SourceError(f"{what} is broken.")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at = end
    return found


def _exactly(file: Any, size: int, short: str) -> bytes:
    data = _read(file, size, short) if size else b""
    if len(data) < size:
        raise SourceError(f"{short}.", hint="Set on_bad='quarantine' to keep the samples before it.")
    return data


def _read(file: Any, size: int, short: str) -> bytes:
    """As many bytes as there are, up to a size; none at the end. Raises SourceError."""
    pieces: list[bytes] = []
    left = size
    try:
        while left and (piece := file.read(min(left, _PIECE_BYTES))):
            pieces.append(piece)
            left -= len(piece)
    except (OSError, EOFError) as error:
        raise SourceError(f"{short}: {error}.") from None
    if 0 < left < size and size == _BLOCK:
        raise SourceError(f"{short}.")
    return b"".join(pieces)
