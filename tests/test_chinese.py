"""The Chinese page is set as Chinese is: full-width punctuation, and no spaces from broken lines."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "README.zh-CN.md"


def prose() -> str:
    """The page without its blocks of code, and without spans of code."""
    text = re.sub(r"^```.*?^```", "", PAGE.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`]*`", "码", text)


def test_punctuation_beside_chinese_is_full_width() -> None:
    assert re.findall(r"[一-鿿*][,:;()!?].{0,9}|.{0,9}[,:;(][一-鿿]", prose()) == []


def test_no_line_breaks_inside_a_paragraph() -> None:
    broken = [line for line in re.findall(r"^(.+)\n(?=.)", prose(), re.M) if not line.startswith(("|", "#"))]
    assert broken == []
