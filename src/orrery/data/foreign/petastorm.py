"""Data sets written by Petastorm: arrays and pictures in columns of bytes, told by a pickled ``Unischema``.

The pickle, in the footer of ``_common_metadata``, is never loaded: it is read as text
(:mod:`orrery.data.foreign.pickles`). Where it cannot be understood, the bytes themselves tell.
Source: github.com/uber/petastorm, ``codecs.py``, ``unischema.py``, ``etl/dataset_metadata.py``.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orrery.data import files, remote
from orrery.data.codecs import tensor
from orrery.data.foreign.meaning import Meaning, Values
from orrery.data.foreign.pickles import Made, Name, parsed
from orrery.errors import BadRowError, SourceError
from orrery.schema import Kind

_FILE = "_common_metadata"
_KEY = b"dataset-toolkit.unischema.v1"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff")
_NUMBERS = {
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
}
_BROKEN = (
    *(BadRowError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(ValueError, KeyError, OSError, EOFError, RuntimeError, MemoryError),  # RuntimeError: it is encrypted
)
_Shape = tuple[int | None, ...]


def meanings(schema: Any, place: str, first: str, values: Values) -> dict[str, Meaning]:
    """The columns of arrays and pictures, where the files lie beside Petastorm's metadata."""
    stored = {f.name: f for f in schema if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)}
    data = _unischema(place, first) if stored else None
    if data is None:
        return {}
    try:
        told = _fields(parsed(data))
    except SourceError:
        told = {name: (_guess(values(name)), None, ()) for name in stored}
    found = {name: _meaning(field, *told[name]) for name, field in stored.items() if name in told}
    return {name: meaning for name, meaning in found.items() if meaning is not None}


def _unischema(place: str, first: str) -> bytes | None:
    """The pickle beside the files; None where there is none."""
    if place.lower().startswith(("http://", "https://")):
        return None
    bare = remote.bare(first if place == first or "*" in place or "{" in place else place).rstrip("/")
    folder = bare.rpartition("/")[0] if bare == remote.bare(first) else bare
    path = f"{folder or '.'}/{_FILE}"
    if files.is_local(path):
        if not files.local(path).is_file():
            return None
    else:
        named = remote.connection_of(first)
        path = remote.with_connection(path, named) if named else path
        system, inner = remote.system_of(path)
        if not system.exists(inner):
            return None
    try:
        with files.opened(path, ranges=True) as file:
            return (pq.read_schema(file).metadata or {}).get(_KEY)
    except pa.ArrowException:
        return None


def _fields(unischema: Any) -> dict[str, tuple[str, str | None, _Shape]]:
    """Of each column the name of its codec, of its numbers, and its shape. Raises SourceError."""
    state = unischema.state if isinstance(unischema, Made) and unischema.is_a("Unischema") else None
    fields = state.get("_fields") if isinstance(state, Mapping) else None
    if not isinstance(fields, Made):
        raise SourceError("The pickle of Petastorm's metadata is no Unischema.")
    pairs = fields.items or _pairs(fields.arguments[0] if fields.arguments else ())
    found: dict[str, tuple[str, str | None, _Shape]] = {}
    for name, field in pairs.items():
        if not isinstance(field, Made) or len(field.arguments) < 4:
            raise SourceError("The pickle of Petastorm's metadata has a field that is none.")
        _, numbers, shape, codec = field.arguments[:4]
        kind = codec.of.name if isinstance(codec, Made) and isinstance(codec.of, Name) else ""
        dtype = numbers.name if isinstance(numbers, Name) else None
        sizes = tuple(n if isinstance(n, int) else None for n in shape) if isinstance(shape, tuple) else ()
        found[str(name)] = (kind, dtype, sizes)
    return found


def _pairs(given: Any) -> dict[str, Any]:
    """The pairs that a mapping was made of, as old pickles have them. Raises SourceError."""
    pairs: list[Any] = list(given) if isinstance(given, list | tuple) else [None]
    if not all(isinstance(p, list | tuple) and len(p) == 2 and isinstance(p[0], str) for p in pairs):
        raise SourceError("The pickle of Petastorm's metadata names no fields.")
    return dict(pairs)


def _guess(some: Any) -> str:
    """The codec that wrote some bytes."""
    first = next((row.as_py() for row in some if row.is_valid), b"") if some is not None else b""
    if tensor.is_npy(first):
        return "NdarrayCodec"
    if first.startswith(_PICTURES):
        return "CompressedImageCodec"
    return "CompressedNdarrayCodec" if first.startswith(b"PK\x03\x04") else ""


def _meaning(field: Any, codec: str, dtype: str | None, shape: _Shape) -> Meaning | None:
    """How a column of a codec is read; None for one that is stored as what it is."""
    sizes = {"orrery.shape": ",".join(map(str, shape))} if shape and None not in shape else {}
    if codec == "CompressedImageCodec":
        meta = {"orrery.kind": Kind.IMAGE.value, **sizes}
        return Meaning(pa.field(field.name, field.type, field.nullable, meta), lambda array, shown: array)
    if codec not in ("NdarrayCodec", "CompressedNdarrayCodec"):
        return None
    unpack = _unzipped if codec == "CompressedNdarrayCodec" else None
    if len(shape) == 1 and shape[0] and dtype in _NUMBERS:
        meta = {"orrery.kind": Kind.VECTOR.value, **sizes}
        kind = pa.list_(pa.from_numpy_dtype(np.dtype(dtype)), shape[0])
        given = pa.field(field.name, kind, field.nullable, meta)
        return Meaning(given, lambda array, shown: _vectors(array, given, unpack, shown))
    given = pa.field(field.name, field.type, field.nullable, {"orrery.kind": Kind.TENSOR.value, **sizes})
    return Meaning(
        given, lambda array, shown: array if unpack is None else _each(array, unpack, given, shown)
    )


def _each(array: Any, read: Callable[[bytes], Any], field: Any, shown: str) -> Any:
    """Every value through a function. Raises SourceError that names the row."""
    made: list[Any] = []
    for value in array:
        try:
            made.append(read(value.as_py()) if value.is_valid else None)
        except _BROKEN as error:
            text = error.message if isinstance(error, BadRowError) else str(error)
            raise SourceError(f"{shown}: an array of {field.name!r} cannot be read: {text}") from None
    return pa.array(made, field.type)


def _vectors(array: Any, field: Any, unpack: Callable[[bytes], bytes] | None, shown: str) -> Any:
    """Arrays of one axis as lists of one length."""

    def read(value: bytes) -> Any:
        found = tensor.decode(unpack(value) if unpack is not None else value)
        if found.shape != (field.type.list_size,):
            raise ValueError(f"its shape is {found.shape}, not ({field.type.list_size},).")
        return found

    return _each(array, read, field, shown)


def _unzipped(data: bytes) -> bytes:
    """The bytes of the ``.npy`` file in an ``.npz``; bounded, whatever its table says of it."""
    most = tensor.MAX_VALUES * 8
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo("arr.npy")
        if info.file_size > most:
            raise ValueError(f"it has {info.file_size:,} bytes, and at most {most:,} are read.")
        with archive.open(info) as file:
            return file.read(most)
