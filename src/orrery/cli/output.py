"""Printing an answer: a table for people, JSON or YAML for programs. Nothing else goes to standard output."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import yaml

from orrery.display import text_facts, text_table
from orrery.display.terminal import width


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def show(
    answer: Any,
    output: Format,
    *,
    columns: Sequence[str] | None = None,
    text: str | None = None,
    widest: int = 48,
) -> None:
    """Print an answer: rows (a list of mappings) or facts (a mapping).

    ``columns`` chooses what the table shows of the rows, no value wider than ``widest``; ``text`` takes the
    place of the table.
    """
    if output is Format.JSON:
        say(json.dumps(plain(answer), ensure_ascii=False, indent=2))
    elif output is Format.YAML:
        say(yaml.safe_dump(plain(answer), sort_keys=False, allow_unicode=True, width=110).rstrip())
    elif text is not None:
        say(text)
    elif isinstance(answer, Mapping):
        say(text_facts({name: _cell(value) for name, value in answer.items()}))
    else:
        say(_table(list(answer), columns, widest))


def no_bars(output: Format) -> None:
    """Keep progress bars out of an answer that a program reads."""
    if output is not Format.TABLE:
        os.environ["ORRERY_PROGRESS"] = "0"


def say(text: str) -> None:
    """A line to standard output."""
    sys.stdout.write(text + "\n")


def tell(text: str) -> None:
    """A line to standard error: for people, not part of the answer."""
    sys.stderr.write(text + "\n")


def plain(value: Any) -> Any:
    """The value as JSON has it: NaN and infinity are null, bytes base64, times ISO 8601.

    >>> plain({"a": float("nan"), "b": (1, b"x")})
    {'a': None, 'b': [1, 'eA==']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int) else str(value)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None, widest: int) -> str:
    if not rows:
        return "There are none."
    names = list(columns or dict.fromkeys(name for row in rows for name in row))
    table = _lines(rows, names, widest)
    while widest > 16 and _overflows(table):  # cut the widest values, until the lines fit
        widest -= 4
        table = _lines(rows, names, widest)
    while len(names) > 3 and _overflows(table):  # then leave out columns, from the middle
        names = [name for name in names if name != _LEFT_OUT]
        middle = len(names) // 2
        names[middle : middle + 1] = [_LEFT_OUT]
        table = _lines(rows, names, widest)
    return table


_LEFT_OUT = "…"


def _lines(rows: Sequence[Mapping[str, Any]], names: Sequence[str], widest: int) -> str:
    cells = [[_LEFT_OUT if name == _LEFT_OUT else _cell(row.get(name)) for name in names] for row in rows]
    return text_table(names, cells, widest=widest)


def _overflows(table: str) -> bool:
    """Whether the lines are wider than the terminal; a file or a pipe takes any."""
    if not sys.stdout.isatty():
        return False
    return max(width(line) for line in table.splitlines()) > shutil.get_terminal_size().columns


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{_picture_type(value) or 'bytes'} ({len(value):,} bytes)"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_short(item)) for item in value)
    return value if isinstance(value, bool | int | float) else str(value)


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _picture_type(data: bytes) -> str:
    starts = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP"}
    found = [name for start, name in starts.items() if data.startswith(start)]
    return "WebP" if data[8:12] == b"WEBP" else found[0] if found else ""
