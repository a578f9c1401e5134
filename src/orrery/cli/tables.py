"""From the words of a command to a table: a place, and what to read of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from orrery.cli.options import pairs
from orrery.data.table import Table, read
from orrery.errors import BadRowError

_SPELT: dict[str, Any] = {"true": True, "false": False, r"\t": "\t"}
"""What a word of the shell stands for; any other is itself."""

STDIN = "-"
"""As a place: rows as JSON lines from standard input."""


def open_table(
    place: str,
    query: str | None = None,
    kinds: Sequence[str] | None = None,
    where: str | None = None,
    options: Sequence[str] | None = None,
) -> Table:
    """The table of a command."""
    source: Any = _stdin_rows() if place == STDIN else place
    given = {name: _SPELT.get(text, text) for name, text in pairs(options, "option").items()}
    table = read(source, query=query, kinds=pairs(kinds, "kind") or None, **given)
    return table.where(where) if where else table


def _stdin_rows() -> list[dict[str, Any]]:
    """Rows from standard input: one JSON object per line, or one array of them."""
    text = sys.stdin.read().strip()
    if text.startswith("["):
        text = "\n".join(json.dumps(row) for row in _json(text, 1))
    return [_json(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _json(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRowError(f"Line {line} of the input is not JSON: {error}.", hint='Write {"x": 1}.') from None
