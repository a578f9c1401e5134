"""The page on kinds in both languages: the same code, the same tables, each leading to the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "concepts"
ENGLISH, CHINESE = ((FOLDER / name).read_text("utf-8") for name in ("kinds.md", "kinds.zh-CN.md"))


def test_each_leads_to_the_other() -> None:
    assert "(kinds.zh-CN.md)" in ENGLISH.splitlines()[2]
    assert "(kinds.md)" in CHINESE.splitlines()[2]


@pytest.mark.parametrize("what", [r"`[^`]+`", r"^#+ ", r"^\| `\w+"])
def test_code_headings_and_tables_are_the_same(what: str) -> None:
    assert sorted(re.findall(what, CHINESE, re.M)) == sorted(re.findall(what, ENGLISH, re.M))


def test_chinese_is_set_as_chinese_is() -> None:
    prose = re.sub(r"`[^`]*`", "码", re.sub(r"\]\([^)]*\)", "]", CHINESE))
    assert re.findall(r"[一-鿿][,:;()!?].{0,9}|.{0,9}[,:;(][一-鿿]", prose) == []
    broken = [line for line in re.findall(r"^(.+)\n(?=.)", prose, re.M) if not line.startswith(("|", "#"))]
    assert broken == []
