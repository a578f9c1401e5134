"""CSV files, also compressed: types found in a sample, bad rows told by file, line, column and value."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from orrery.aggregate import RecordBatch
from orrery.data import cells, files, packed, rows
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed
from orrery.data.source import Partition
from orrery.data.sources.csv_quotes import Open, Tail, behind, open_quote
from orrery.data.sources.file import FileSource, steady
from orrery.errors import SchemaError, SettingsError, SourceError, UnknownColumnError
from orrery.schema import Schema, parse_type

_BLOCK_BYTES = (4 << 20, 64 << 20, 1 << 30)
"""What is parsed at once; more, where one row is longer than that."""
_SAMPLE_ROWS = 100_000
_LESS_ROWS = 1_000
_LOOKED_AT = 64
"""Files, and rows of each after the first, by which whole numbers are found to have fractions elsewhere."""
_WIDENS = (pa.int64(), pa.float64())


class Csv(FileSource):
    """One CSV file, a glob or a folder of them, of the same columns; a part is a file.

    ``types`` pins columns (``{"zip": "string"}``); all others get the type that a sample of the first file
    fits; whole numbers are ``double`` where another file of this machine begins with fractions. Every cell
    is read whatever columns are asked for, so that a bad row is always bad.
    """

    endings = packed.every(".csv", ".tsv")

    def __init__(
        self,
        place: str,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        header: bool | Sequence[str] = True,
        types: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        on_bad: OnBad = "stop",
    ) -> None:
        super().__init__(place)
        self.delimiter = delimiter
        self.encoding = encoding
        self.header = header
        self.types = dict(types or {})
        self.kinds = dict(kinds or {})
        self.bad = BadRows(on_bad)

    @cached_property
    def _arrow(self) -> Any:
        names, skip = self._names(self.paths[0])
        for name in self.types:
            if name not in names:
                raise UnknownColumnError(name, names)
        found = self._inferred(self.paths[0], names, skip)
        for path in self.paths[1:_LOOKED_AT] if files.is_local(self.place) else ():
            if pa.int64() not in found.values():
                break
            with suppress(SourceError, SchemaError):  # told when it is read
                theirs, skip = self._names(path)
                other = self._inferred(path, theirs, skip, _LESS_ROWS)
                found = {n: pa.float64() if (k, other.get(n)) == _WIDENS else k for n, k in found.items()}
        return pa.schema([pa.field(name, found[name]) for name in names])

    def _inferred(self, path: str, names: list[str], skip: int, most: int = _SAMPLE_ROWS) -> dict[str, Any]:
        """The type of each column, by the first rows of a file."""
        sample = self._sample(path, names, skip, most)
        return {
            name: parse_type(self.types[name])
            if name in self.types
            else cells.infer(sample.column(i).combine_chunks(), self.kinds.get(name))
            for i, name in enumerate(names)
        }

    def _sample(self, path: str, names: list[str], skip: int, most: int) -> Any:
        taken: list[Any] = []
        for batch in self._raw(path, names, _Skipped(skip)):
            taken.append(batch)
            if sum(b.num_rows for b in taken) >= most:
                break
        schema = pa.schema([pa.field(str(i), pa.binary()) for i in range(len(names))])
        return pa.Table.from_batches(taken, schema).slice(0, most)

    def schema(self) -> Schema:
        """The columns of the first file."""
        return Schema.of(self._arrow)

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one file."""
        batches = steady(partition, self._typed(str(partition.where["path"])))
        return narrowed(batches, self._arrow.names, columns, where, start)

    def _typed(self, path: str) -> Iterator[RecordBatch]:
        """Batches of typed columns, without the bad rows, which are reported."""
        schema = self._arrow
        names, skip = self._names(path)
        if set(names) != set(schema.names):
            raise SchemaError(
                f"{files.shown(path)} has the columns {names}, "
                f"but {files.shown(self.paths[0])} has {schema.names}.",
                hint="Read them as two tables.",
            )
        skipped = _Skipped(skip)
        found: dict[int, _Bad] = {}
        seen = 0  # good records so far
        for batch in self._raw(path, names, skipped):
            arrays, wrong = [], set()
            for f in schema:
                column = batch.column(names.index(f.name))
                array, bad = cells.convert(column, f.type)
                arrays.append(array)
                for j in bad:
                    cell = column[j].as_py()
                    found.setdefault(skipped.record(seen + j), (f.name, _shown(cell), _reason(cell, f)))
                wrong.update(bad)
            self._report(path, found, skipped, at_end=False)
            seen += batch.num_rows
            typed = pa.RecordBatch.from_arrays(arrays, schema=schema)
            yield typed.filter(pa.array([i not in wrong for i in range(len(typed))])) if wrong else typed
        self._report(path, found, skipped, at_end=True)
        self.bytes_read += files.size(path)

    def _report(self, path: str, found: dict[int, _Bad], skipped: _Skipped, at_end: bool) -> None:
        """Find the lines of bad records and report them: at once if that stops the run, or at the end."""
        every = {**found, **skipped.rows}
        if not every or (self.bad.on_bad == "quarantine" and not at_end):
            return
        lines = self._lines(path, set(every))
        for record in sorted(every):
            column, value, reason = every[record]
            line = skipped.lines.get(record) or lines.get(record, 0)
            self.bad.report(files.shown(path), line, column, value, reason)

    def _lines(self, path: str, records: set[int]) -> dict[int, int]:
        """The line on which each record begins; found by reading again, since cells may hold line ends."""
        lines: dict[int, int] = {}
        names, skip = self._names(path)
        with self._text(path) as text, suppress(csv.Error):  # of a row that is too large for any reader
            reader = csv.reader(text, delimiter=self._delimiter(path))
            record, begins = -skip, 1
            for row in reader:
                if row or len(names) == 1:
                    if record in records:
                        lines[record] = begins
                    record += 1
                begins = reader.line_num + 1
        return lines

    def _raw(self, path: str, names: list[str], skipped: _Skipped) -> Iterator[RecordBatch]:
        """Every record with as many cells as there are columns, as bytes, named by number."""
        given = 0
        for block_bytes in _BLOCK_BYTES:
            try:
                for batch in rows.skipped(self._parsed(path, names, skipped, block_bytes), given):
                    given += batch.num_rows
                    yield batch
                return
            except _LongRow as error:  # parsed again in larger blocks, from the rows that were given on
                longest = error
        raise SourceError(f"{files.shown(path)} cannot be read: {longest}") from None

    def _parsed(
        self, path: str, names: list[str], skipped: _Skipped, block_bytes: int
    ) -> Iterator[RecordBatch]:
        """The same, for rows that fit into a block. Raises _LongRow for one that does not."""
        numbers = [str(i) for i in range(len(names))]
        skipped.above = self._above(path) if skipped.first else 0
        with files.unpacked(path, self.encoding) as file:
            tail: Any = Tail(file)
            try:
                batches = pacsv.open_csv(
                    tail,
                    pacsv.ReadOptions(
                        use_threads=False,
                        block_size=block_bytes,
                        column_names=numbers,
                        skip_rows=skipped.above,
                        encoding="utf8",
                    ),
                    pacsv.ParseOptions(
                        delimiter=self._delimiter(path),
                        newlines_in_values=True,
                        ignore_empty_lines=len(names) > 1,  # in a single column they are missing values
                        invalid_row_handler=skipped.take,
                    ),
                    pacsv.ConvertOptions(
                        check_utf8=False,
                        column_types=dict.fromkeys(numbers, pa.binary()),
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                    ),
                )
                for batch, is_last in behind(batches):
                    yield self._closed(path, batch, skipped, tail) if is_last else batch
            except pa.ArrowInvalid as error:
                if "straddling" in str(error) and (found := self._open_quote(path)) is not None:
                    raise SourceError(f"{files.shown(path)}:{found.line}: This row {found.reason}.") from None
                if "straddling" in str(error):
                    raise _LongRow(str(error)) from None
                if "Empty CSV" not in str(error):
                    raise SourceError(f"{files.shown(path)} cannot be read: {error}") from None

    def _closed(self, path: str, last: RecordBatch, skipped: _Skipped, tail: Tail) -> RecordBatch:
        """The last batch, without the row whose quote is still open at the end; that one is a bad row."""
        cell = last.column(last.num_columns - 1)[-1].as_py() if last.num_rows else b""
        bad = skipped.rows[max(skipped.rows)][1] if skipped.rows else ""
        if not tail.may_be_open(cell or b"") and '"' not in bad:
            return last
        found = self._open_quote(path)
        if found is None:
            return last
        record = found.record - skipped.first
        kept = record not in skipped.rows
        skipped.rows[record] = (None, found.text, found.reason)
        skipped.lines[record] = found.line
        return last.slice(0, last.num_rows - 1) if kept else last

    def _open_quote(self, path: str) -> Open | None:
        names, _ = self._names(path)
        with self._text(path) as text:
            return open_quote(text, self._delimiter(path), blank=len(names) == 1)

    def _names(self, path: str) -> tuple[list[str], int]:
        """The column names, and how many records at the beginning are not rows."""
        with self._text(path) as text:
            try:
                first = next(csv.reader(text, delimiter=self._delimiter(path)), None)
            except csv.Error as error:
                raise SourceError(
                    f"The line of names of {files.shown(path)} cannot be read: {error}."
                ) from None
        if first is None:
            raise SourceError(f"{files.shown(path)} is empty: it has not even a line of column names.")
        if any("\udc80" <= c <= "\udcff" for name in first for c in name):
            raise SourceError(
                f"The column names of {files.shown(path)} are not {self.encoding}.",
                hint=files.suggestion(b",".join(n.encode("utf-8", "surrogateescape") for n in first)),
            )
        self._check_header(path, first)
        self._check_delimiter(path, first)
        if self.header is True:
            names = [name.strip() or f"column_{i + 1}" for i, name in enumerate(first)]
        elif self.header is False:
            names = [f"column_{i + 1}" for i in range(len(first))]
        else:
            names = list(self.header)
        Schema.of(pa.schema([pa.field(name, pa.binary()) for name in names]))  # no name twice
        return names, int(self.header is True)

    def _above(self, path: str) -> int:
        """The lines that the names take: a name may hold line ends."""
        with self._text(path) as text:
            reader = csv.reader(text, delimiter=self._delimiter(path))
            next(reader, None)
            return reader.line_num

    def _check_header(self, path: str, first: Sequence[str]) -> None:
        """A quote left open among the column names would take in the whole file."""
        if first and ("\n" in first[-1] or "\r" in first[-1]):
            with self._text(path) as text:
                found = open_quote(text, self._delimiter(path), blank=True)
            if found is not None and found.record == 0:
                raise SourceError(f"{files.shown(path)}:{found.line}: The line of names {found.reason}.")

    def _check_delimiter(self, path: str, first: Sequence[str]) -> None:
        """One column whose name holds what usually parts columns: they were not parted."""
        found = next((d for d in ";\t|" if len(first) == 1 and d in first[0]), None)
        if found is not None and self.delimiter is None:
            used = self._delimiter(path)
            hint = f'Say delimiter="{found}"; if it is one column, delimiter="{used}".'
            raise SchemaError(
                f"{files.shown(path)} has one column only, {first[0]!r:.200}: "
                f"its columns seem to be parted by {found!r}, not by {used!r}.",
                hint=hint.replace("\t", "\\t"),
            )

    def _delimiter(self, path: str) -> str:
        if self.delimiter is not None:
            if len(self.delimiter) != 1:
                raise SettingsError(f"The delimiter must be one character, not {self.delimiter!r}.")
            return self.delimiter
        return "\t" if ".tsv" in path.lower() else ","

    @contextmanager
    def _text(self, path: str) -> Iterator[Any]:
        with files.unpacked(path, self.encoding) as file:
            yield io.TextIOWrapper(io.BufferedReader(file), "utf-8-sig", errors="surrogateescape", newline="")

    def _options(self) -> dict[str, Any]:
        header = self.header if isinstance(self.header, bool) else list(self.header)
        return {
            "delimiter": self.delimiter,
            "encoding": self.encoding if self.encoding != "utf-8" else None,
            "header": header if header is not True else None,
            "types": self.types or None,
            "kinds": self.kinds or None,
            "on_bad": self.bad.on_bad if self.bad.on_bad != "stop" else None,
        }


class _LongRow(Exception):  # noqa: N818 - caught where the file is parsed in larger blocks
    """A row is longer than a block."""


_Bad = tuple[str | None, str, str]
"""Column, value, reason."""


@dataclass
class _Skipped:
    """Records that have too many or too few cells, which Arrow hands over while it parses."""

    first: int = 0
    """Records at the beginning that are not rows."""
    above: int = 0
    """The lines of those."""
    rows: dict[int, _Bad] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    """Where it is not the line on which the record begins."""

    def take(self, row: Any) -> Any:
        """Arrow's callback."""
        reason = f"has {row.actual_columns} cells, where {row.expected_columns} belong"
        self.rows[row.number - 1 - self.above] = (None, row.text, reason)
        return "skip"

    def record(self, good: int) -> int:
        """The number of a record in the file, from its number among the good ones."""
        for number in sorted(self.rows):
            if number > good:
                break
            good += 1
        return good


def _reason(cell: bytes | None, field: Any) -> str:
    """Why a cell is bad; of one in another encoding, with an encoding that fits."""
    try:
        (cell or b"").decode()
    except UnicodeDecodeError:
        return f"is not UTF-8. {files.suggestion(cell or b'').rstrip('.')}"
    told = f"is not {field.type}"
    if field.type == pa.int64() and not cells.bad_cells(pa.array([_shown(cell)]), pa.float64()):
        return f'{told}; types={{"{field.name}": "double"}} reads it'
    return told


def _shown(cell: bytes | None) -> str:
    return "" if cell is None else cell.decode("utf-8", "backslashreplace")
