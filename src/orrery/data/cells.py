"""Cells of a text file as typed columns: what type a column has, and which cells do not fit it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orrery.data.values import TOLERATED
from orrery.errors import SettingsError
from orrery.schema import Kind

MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None", "nan", "NaN"]
"""How a missing value is spelt, in columns that are not text; in text only the empty cell is missing."""

_DATES: Sequence[Any] = (pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"))
_CANDIDATES: Sequence[Any] = (pa.int64(), pa.uint64(), pa.float64(), *_DATES)
_WHOLE: Sequence[Any] = (pa.int64(), pa.uint64())
_PROBE = 200
_EXACT_DIGITS = 15  # of a whole number that every double holds
_LONG_WHOLE = r"^[+-]?\d{16,}$"
_LEADING_ZERO = r"^[+-]?0\d+$"


def infer(cells: Any, kind: str | None = None) -> Any:
    """The type of a column, from a sample of its cells (binary) and from what it is said to mean.

    Where nearly all cells are numbers or dates, the column is such, and the others are bad cells.

    >>> infer(pa.array([b"1", b"", b"2.5"]))
    DataType(double)
    """
    if kind == Kind.TEXT:
        return pa.string()
    text = _present(_as_text(cells)[0])
    if kind == Kind.NUMBER:
        return next((t for t in _WHOLE if not bad_cells(text, t)), pa.float64())
    if kind == Kind.DATETIME:
        fits = (t for t in _DATES if not bad_cells(text, t))
        return next(fits, pa.timestamp("us"))
    if not len(text) or pc.any(pc.match_substring_regex(text, _LEADING_ZERO)).as_py():
        return pa.string()
    if pc.all(pc.is_in(pc.utf8_lower(text), pa.array(["true", "false"]))).as_py():
        return pa.bool_()
    for candidate in _CANDIDATES:
        if _fits(text, candidate):
            return candidate
    return _nearly(text)


def infer_dates(texts: Sequence[str]) -> Any | None:
    """The type of dates or times that every one of some texts (ISO 8601) is; None if they are not.

    >>> infer_dates(["2024-01-01", "2024-01-02"]), infer_dates(["2024-01-01T08:00:00Z"]), infer_dates(["no"])
    (DataType(date32[day]), TimestampType(timestamp[us, tz=UTC]), None)
    """
    text = pa.array(texts, pa.string())
    return next((kind for kind in _DATES if len(text) and _fits(text, kind)), None)


def _fits(text: Any, kind: Any) -> bool:
    try:
        _cast(text, kind)
    except pa.ArrowException:
        return False
    return True


def _nearly(text: Any) -> Any:
    """The type that all but a few cells fit; else text."""
    allowed = int(TOLERATED * len(text))
    probe = text.take(pa.array(range(0, len(text), max(1, len(text) // _PROBE))))
    for candidate in _CANDIDATES[2:] if allowed else ():
        if len(bad_cells(probe, candidate, _PROBE // 10)) > _PROBE // 10:
            continue  # most are of another sort: the search over all would be long
        bad = bad_cells(text, candidate, allowed)
        if len(bad) <= allowed:
            good = text.filter(pa.array([not b for b in _mask(len(text), bad)]))
            whole = pa.types.is_float64(candidate) and _fits(good, pa.int64())
            return pa.int64() if whole else candidate
    return pa.string()


def convert(cells: Any, kind: Any) -> tuple[Any, list[int]]:
    """A typed array from cells (binary), and the positions of cells that do not fit, missing in the array.

    >>> convert(pa.array([b"1", b"x"]), pa.int64())[1]
    [1]
    """
    text, bad = _as_text(cells)
    if pa.types.is_string(kind):
        return text, bad
    text = pc.if_else(pc.is_in(pc.utf8_trim_whitespace(text), pa.array(MISSING)), None, text)
    try:
        return _cast(text, kind), bad
    except pa.ArrowNotImplementedError:
        raise SettingsError(
            f"A cell of text cannot become {kind}.", hint="Read it as 'string', then use map()."
        ) from None
    except pa.ArrowException:
        wrong = bad_cells(text, kind)
    text = pc.if_else(pa.array(_mask(len(text), wrong)), None, text)
    return _cast(text, kind), sorted({*bad, *wrong})


def bad_cells(text: Any, kind: Any, most: int | None = None) -> list[int]:
    """Positions of texts that are not of a type; the search ends once there are more than ``most``."""
    found: list[int] = []

    def search(start: int, end: int) -> None:
        if most is not None and len(found) > most:
            return
        if _fits(text.slice(start, end - start), kind):
            return
        if end - start == 1:
            found.append(start)
            return
        middle = (start + end) // 2
        search(start, middle)
        search(middle, end)

    if len(text):
        search(0, len(text))
    return found


def _cast(text: Any, kind: Any) -> Any:
    text = pc.utf8_trim_whitespace(text)
    if pa.types.is_integer(kind):
        text = pc.replace_substring_regex(text, r"^\+(\d)", r"\1")
    elif pa.types.is_floating(kind):
        _check_exact(text)
    return text.cast(kind)


def _check_exact(text: Any) -> None:
    """Raises ArrowInvalid for a whole number that a double would round: two ids could become one."""
    if (pc.max(pc.binary_length(text)).as_py() or 0) <= _EXACT_DIGITS:
        return
    long = text.filter(pc.fill_null(pc.match_substring_regex(text, _LONG_WHOLE), False))
    for digits in long.to_pylist():
        if len(digits) > 310 or int(float(digits)) != int(digits):
            raise pa.ArrowInvalid(f"A double would round {digits[:40]}.")


def _as_text(cells: Any) -> tuple[Any, list[int]]:
    """Bytes as UTF-8; and where they are not."""
    try:
        return cells.cast(pa.string()), []
    except pa.ArrowException:
        bad = [i for i, cell in enumerate(cells.to_pylist()) if cell is not None and not _is_utf8(cell)]
    kept = pc.if_else(pa.array(_mask(len(cells), bad)), None, cells)
    return kept.cast(pa.string()), bad


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _present(text: Any) -> Any:
    trimmed = pc.utf8_trim_whitespace(text)
    return trimmed.filter(pc.invert(pc.is_in(trimmed, pa.array([*MISSING, None]))))


def _mask(length: int, positions: list[int]) -> list[bool]:
    marked = set(positions)
    return [i in marked for i in range(length)]
