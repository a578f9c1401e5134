"""Tables as plain text, for terminals and ``repr``; Chinese and emoji take two places."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from orrery.display.words import Both, Words, figure


def text_table(
    columns: Sequence[Words], rows: Sequence[Sequence[object]], *, language: str = "en", widest: int = 40
) -> str:
    """Rows under their column names, numbers to the right; long values are cut at ``widest`` places.

    >>> print(text_table(["city", "people"], [["北京", 21893095], ["Lyon", 522228]]))
    city      people
    ────  ──────────
    北京  21,893,095
    Lyon     522,228
    """
    head = [plain(name, language) for name in columns]
    body = [[_cell(value, language) for value in row] for row in rows]
    cut = [[shorten(text, widest) for text in row] for row in [head, *body]]
    sizes = [max(width(row[i]) for row in cut) for i in range(len(head))]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(_pad(t, s, right) for t, s, right in zip(row, sizes, numeric, strict=True)) for row in cut
    ]
    lines.insert(1, "  ".join("─" * size for size in sizes))
    return "\n".join(line.rstrip() for line in lines)


def text_facts(facts: Mapping[str, object], *, language: str = "en") -> str:
    """Names and values, a line each.

    >>> print(text_facts({"rows": 1797, "target": "label"}))
    rows    1,797
    target  label
    """
    names = [plain(name, language) for name in facts]
    size = max((width(name) for name in names), default=0)
    return "\n".join(
        f"{_pad(name, size, False)}  {_cell(value, language)}"
        for name, value in zip(names, facts.values(), strict=True)
    )


def plain(text: Words, language: str = "en") -> str:
    """One of the two languages, as plain text on one line."""
    if isinstance(text, Both):
        text = text.zh if language == "zh" else text.en
    return "".join(c if c.isprintable() else " " for c in text)


def width(text: str) -> int:
    """How many places a terminal gives to the text.

    >>> width("ab"), width("北京"), width("e\u0301")
    (2, 4, 1)
    """
    return sum(_places(c) for c in text)


def shorten(text: str, most: int) -> str:
    """The text, cut to at most so many places.

    >>> shorten("a long sentence", 8)
    'a long …'
    """
    if width(text) <= most:
        return text
    kept, used = [], 1
    for c in text:
        used += _places(c)
        if used > most:
            break
        kept.append(c)
    return "".join(kept) + "…"


def _places(c: str) -> int:
    if unicodedata.combining(c) or unicodedata.category(c) in {"Cf", "Mn"}:
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _cell(value: object, language: str) -> str:
    if isinstance(value, Both):
        return plain(value, language)
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return plain(str(value), language)
    return figure(value)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _pad(text: str, size: int, right: bool) -> str:
    gap = " " * (size - width(text))
    return gap + text if right else text + gap
