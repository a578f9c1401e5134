"""Compressed files and other encodings: bytes as they lie, and as they are meant.

What a name ends in says how it is compressed: ``.gz``, ``.bz2``, ``.xz``, ``.zst``, ``.lz4``.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from orrery.errors import SourceError

ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".lz4")
"""How the names of compressed files end."""


def packing_of(name: str) -> str:
    """How a file is compressed, going by its name; nothing for one that is not.

    >>> packing_of("rows.csv.zst"), packing_of("rows.csv")
    ('.zst', '')
    """
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")


def every(*endings: str) -> tuple[str, ...]:
    """The endings, and each with every compression behind it.

    >>> every(".csv")[:3]
    ('.csv', '.csv.gz', '.csv.bz2')
    """
    return tuple(ending + packing for ending in endings for packing in ("", *ENDINGS))


@contextmanager
def unpacking(file: Any, name: str) -> Iterator[Any]:
    """The bytes inside a file, one after the other. Cut short, it raises OSError or EOFError."""
    packing = packing_of(name)
    if packing == ".gz":
        yield gzip.GzipFile(fileobj=file)
    elif packing == ".bz2":
        yield bz2.BZ2File(file)
    elif packing == ".xz":
        with _named(lzma.LZMAError):
            yield io.BufferedReader(_Xz(file))
    elif packing:
        with pa.CompressedInputStream(file, _ARROW[packing]) as stream:
            yield io.BufferedReader(stream)
    else:
        yield file


@contextmanager
def packing(file: Any, name: str) -> Iterator[Any]:
    """A file to write to, whose bytes are compressed as its name says: equal bytes in, equal bytes out."""
    kind = packing_of(name)
    if kind == ".gz":
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
            yield stream
    elif kind == ".bz2":
        with bz2.BZ2File(file, "wb") as stream:
            yield stream
    elif kind == ".xz":
        with lzma.LZMAFile(file, "wb") as stream:
            yield stream
    elif kind:
        held: Any = _Open(file)
        with pa.CompressedOutputStream(held, _ARROW[kind]) as stream:
            yield stream
    else:
        yield file


XZ_BYTES = 256 << 20
"""What unpacking xz may take: four times what ``xz -9`` needs. A header may ask for 4 GiB."""

_ARROW: dict[str, Any] = {".zst": "zstd", ".lz4": "lz4"}


class _Open:
    """A file that Arrow does not close: who opened it may have more to do with it."""

    closed = False

    def __init__(self, file: Any) -> None:
        self.write = file.write
        self.flush = file.flush

    def close(self) -> None:
        """Nothing."""


class _Xz(io.RawIOBase):
    """The bytes of xz streams, one behind the other, for a decoder whose memory no header chooses."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._stream = self._begun()

    @staticmethod
    def _begun() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=XZ_BYTES)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end. Raises EOFError within a stream that is cut short."""
        data = b""
        while not data:
            given = self._file.read(1 << 16) if self._stream.needs_input else b""
            if self._stream.eof:
                given = self._behind()
                if not given:
                    return 0
                self._stream = self._begun()
            elif self._stream.needs_input and not given:
                raise EOFError("it ends within a compressed stream")
            data = self._stream.decompress(given, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _behind(self) -> bytes:
        """What follows a stream, without the zeros that may pad it."""
        found = self._stream.unused_data or self._file.read(1 << 16)
        while found and not found.lstrip(b"\0"):
            found = self._file.read(1 << 16)
        return bytes(found).lstrip(b"\0")


@contextmanager
def _named(kind: type[Exception]) -> Iterator[None]:
    """An error of a library's own class as OSError, which callers know."""
    try:
        yield
    except (kind, MemoryError) as error:
        raise OSError(str(error) or "it needs more memory than there is") from None


MOST_BYTES = 256 << 20
"""Of a line of compressed text: a file of some kilobytes may unpack to a line that fills the memory."""


def lines_within(file: Any, most_bytes: int, shown: str) -> Any:
    """Unpacked text, as long as its lines are no longer than that; SourceError names it by ``shown``."""
    return io.BufferedReader(_Lines(file, most_bytes, shown), 1 << 17)


class _Lines(io.RawIOBase):
    """Bytes as they come, with an eye on the ends of lines."""

    def __init__(self, file: Any, most_bytes: int, shown: str) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._shown = shown
        self._since = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end. Raises SourceError within a line that is too long."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        end = data.rfind(b"\n")
        self._since = self._since + len(data) if end < 0 else len(data) - 1 - end
        if self._since > self._most_bytes:
            raise SourceError(
                f"{self._shown} unpacks to a line of more than {self._most_bytes:,} bytes.",
                hint="If that is meant, unpack the file first.",
            )
        return len(data)


def recoded(file: Any, encoding: str) -> Any:
    """Bytes of any encoding as UTF-8. Raises LookupError for an encoding that is not known."""
    name = codecs.lookup(encoding).name
    return file if name in ("utf-8", "ascii") else io.BufferedReader(_Recoded(file, name))


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
