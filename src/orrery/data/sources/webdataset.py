"""WebDataset: tar shards whose files of one name are a sample, and their endings its columns.

Source: the WebDataset format, github.com/webdataset/webdataset (``tariterators.py``, ``autodecode.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files, packed, remote, values
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.file import FileSource, steady, version_of
from orrery.data.sources.webdataset_members import Member, members
from orrery.errors import SourceError, UnknownColumnError
from orrery.schema import Field, Kind, Schema, parse_type

KEY = "__key__"
_KINDS = {
    **dict.fromkeys(("png", "jpg", "jpeg", "webp", "gif", "bmp", "ppm", "pgm"), Kind.IMAGE),
    **dict.fromkeys(("wav", "flac", "ogg", "mp3"), Kind.AUDIO),
    **dict.fromkeys(("mp4", "avi", "mov", "mkv", "webm"), Kind.VIDEO),
    "npy": Kind.TENSOR,
}
_NUMBERS = ("cls", "cls2", "class", "count", "index", "inx", "id")
_TEXTS = ("txt", "text", "transcript")
_SAMPLES = 1_000
_SAMPLE_BYTES = 64 << 20
_BATCH_ROWS = 1_024
_BATCH_BYTES = 32 << 20

Sample = dict[str, Any]
"""Its columns; under the empty name, the number of its first member."""


class WebDataset(FileSource):
    """One tar, a glob, a range (``shard-{000..099}.tar``) or a folder of them; a part is a shard.

    A sample is the files of one name; what stands behind the first dot is the column. Its last part says
    what it is: pictures, sounds and other bytes stay as they are, ``cls`` and the like are whole numbers,
    ``txt`` is text, ``json`` is a struct, or, with ``flatten``, one column for each of its names.
    ``types`` pins columns. The columns are those of the first samples; ``__key__`` is of kind KEY.
    """

    endings = (".tar", ".tar.gz", ".tgz", *(f".tar{e}" for e in packed.ENDINGS))

    def __init__(
        self,
        place: str,
        flatten: bool = False,
        types: Mapping[str, str] | None = None,
        most_bytes: int = 1 << 30,
        on_bad: OnBad = "stop",
    ) -> None:
        super().__init__(place)
        self.flatten = flatten
        self.types = dict(types or {})
        self.most_bytes = most_bytes
        self.bad = BadRows(on_bad)

    @cached_property
    def _schema(self) -> Schema:
        found: dict[str, list[Any]] = {}
        size = count = 0
        for path in self.paths:
            for sample in self._samples(path, None, None):
                for name, value in sample.items():
                    found.setdefault(name, []).append(None if isinstance(value, _Broken) else value)
                    size += len(value) if isinstance(value, bytes | str) else 64
                count += 1
                if count >= _SAMPLES or size >= _SAMPLE_BYTES:
                    break
            if count >= _SAMPLES or size >= _SAMPLE_BYTES:
                break
        for name in self.types:
            if found and name not in found:
                raise UnknownColumnError(name, [n for n in found if n])
        found = found or {name: [] for name in ("", KEY, *self.types)}
        return Schema(fields=tuple(self._field(name, column) for name, column in found.items() if name))

    def _field(self, name: str, column: list[Any]) -> Field:
        if name == KEY:
            return Field(name=KEY, type="string", kind=Kind.KEY)
        if name in self.types:
            return Field.of(pa.field(name, parse_type(self.types[name])))
        if all(isinstance(value, bytes) for value in column):
            return Field(name=name, type="binary", kind=_KINDS.get(_last(name)))
        return Field.of(pa.field(name, values.infer_type(column, name, files.shown(self.place))))

    def schema(self) -> Schema:
        """The columns of the first samples."""
        return self._schema

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Samples of one shard. Files of columns that are not needed are passed over."""
        names = self._schema.names
        wanted = needed(names, columns, where)
        batches = steady(partition, self._batches(partition, wanted))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, partition: Partition, wanted: list[str]) -> Iterator[RecordBatch]:
        path = str(partition.where["path"])
        rows: list[Sample] = []
        size = 0
        for sample in self._samples(path, version_of(partition.where), set(wanted)):
            rows.append(sample)
            size += sum(len(v) for v in sample.values() if isinstance(v, bytes | str))
            if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield self._batch(path, rows, wanted)
                rows, size = [], 0
        if rows:
            yield self._batch(path, rows, wanted)

    def _batch(self, path: str, rows: list[Sample], wanted: list[str]) -> RecordBatch:
        """Typed columns of some samples, without the bad ones, which are reported."""
        # A sample that is bad is bad whatever is asked for: all that is small is looked at.
        looked = [f.name for f in self._schema.fields if f.name in wanted or f.type != "binary"]
        schema = pa.schema([self._schema[name].arrow() for name in looked])
        faults: dict[int, tuple[str, object, str]] = {}
        known = set(self._schema.names)
        for i, row in enumerate(rows):
            strange = next((name for name in row if name and name not in known), None)
            if strange is not None:
                faults[i] = (strange, row[KEY], "is in a column that the first samples did not have")
            broken = next((name for name, value in row.items() if isinstance(value, _Broken)), None)
            if broken is not None:
                faults[i] = (broken, row[KEY], str(row[broken]))
        arrays = []
        for f in schema:
            column = [None if i in faults else row.get(f.name) for i, row in enumerate(rows)]
            array, bad = values.to_array(column, f.type)
            for i in bad:
                faults.setdefault(i, (f.name, column[i], f"is not {f.type}"))
            arrays.append(array)
        for i in sorted(faults):
            self.bad.report(files.shown(path), rows[i][""], *faults[i])
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return batch.filter(pa.array([i not in faults for i in range(len(rows))])) if faults else batch

    def _samples(self, path: str, version: files.State | None, wanted: set[str] | None) -> Iterator[Sample]:
        """Members of one name together. A shard that is cut short ends there, if bad rows are set aside."""
        shown = files.shown(path)
        sample: Sample = {}
        seen: set[str] = set()
        number = 0
        try:
            for member, key, ending in self._named(path, version, wanted):
                number = member.number
                if key != sample.get(KEY):
                    if sample:
                        yield sample
                    if key in seen:
                        raise SourceError(
                            f"{shown}: the files of the sample {key[:200]!r} do not lie together.",
                            hint="Write the tar in the order of its names.",
                        )
                    seen.add(key)
                    sample = {"": member.number, KEY: key}
                if ending in sample:
                    raise SourceError(f"{shown}: the sample {key[:200]!r} has {ending!r} twice.")
                self._add(sample, member, ending)
        except SourceError as error:
            if self.bad.on_bad == "stop":
                raise
            self.bad.report(shown, number + 1, None, sample.get(KEY, ""), f"is not whole: {error.message}")
            return  # the sample that was begun may lack some of its files
        if sample:
            yield sample

    def _named(
        self, path: str, version: files.State | None, wanted: set[str] | None
    ) -> Iterator[tuple[Member, str, str]]:
        """The members, with the key and the ending that their names tell."""

        def keep(name: str) -> bool:
            ending = _split(name)[1]
            small = _last(ending) in ("json", *_NUMBERS, *_TEXTS) or ending in self.types
            return wanted is None or small or ending in wanted

        with files.opened(path, version=version) as file:
            bare = remote.bare(path)
            with packed.unpacking(file, f"{bare}.gz" if bare.lower().endswith(".tgz") else bare) as plain:
                for member in members(plain, keep, self.most_bytes, files.shown(path)):
                    self.bytes_read += len(member.data or b"")
                    key, ending = _split(member.name)
                    if ending:
                        yield member, key, ending
                    else:
                        shown = files.shown(path)
                        self.bad.report(shown, member.number, None, member.name, "has no ending")

    def _add(self, sample: Sample, member: Member, ending: str) -> None:
        """The value of one member; what is wrong with it is told when it is typed."""
        if member.data is None:
            sample[ending] = None
        elif _last(ending) == "json" and ending not in self.types:
            try:
                value = json.loads(member.data)
            except (ValueError, RecursionError) as error:
                value = _Broken(f"is not JSON: {str(error).splitlines()[0]}")
            if self.flatten and isinstance(value, dict):
                sample.update({name: part for name, part in value.items() if name not in sample})
            else:
                sample[ending] = value
        else:
            kind = parse_type(self.types[ending]) if ending in self.types else None
            sample[ending] = _value(member.data, _last(ending), kind)

    def _options(self) -> dict[str, Any]:
        return {
            "flatten": self.flatten or None,
            "types": self.types or None,
            "most_bytes": self.most_bytes if self.most_bytes != 1 << 30 else None,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
        }


def _split(name: str) -> tuple[str, str]:
    """Key and ending of a member's name: the file's name up to its first dot, and what is behind it."""
    folder, slash, last = name.removeprefix("./").rpartition("/")
    key, dot, ending = last.partition(".")
    return (f"{folder}{slash}{key}", ending.lower()) if dot and key else (name, "")


def _last(ending: str) -> str:
    return ending.rpartition(".")[2]


class _Broken(str):
    """Why a value cannot be read."""

    __slots__ = ()


def _value(data: bytes, last: str, kind: Any) -> Any:
    """What the bytes of a member are, by its ending or by the type that was pinned."""
    if (last not in (*_NUMBERS, *_TEXTS) and kind is None) or (kind is not None and pa.types.is_binary(kind)):
        return data
    try:
        text = data.decode()
        if kind is not None and pa.types.is_floating(kind):
            return float(text)
    except ValueError:
        return _Broken("is not UTF-8" if kind is None else f"is not {kind}")
    if not (last in _NUMBERS if kind is None else pa.types.is_integer(kind)):
        return text
    return int(text) if re.fullmatch(r"\s*-?\d{1,18}\s*", text) else _Broken("is not a whole number")
