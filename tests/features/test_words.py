from __future__ import annotations

import pytest

from orrery.features.words import make_bag, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't PANIC, 42!", ["don", "t", "panic", "42"]),
        ("北京2026年", ["北", "京", "2026", "年"]),
        ("ｆｕｌｌ　ｗｉｄｔｈ", ["full", "width"]),
        ("ok 👍🏽", ["ok", "👍", "🏽"]),
        ("Ünïcödé Straße", ["ünïcödé", "straße"]),
        ("  \n\t", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_long_texts_are_cut() -> None:
    assert split_words("a b c d", ngrams=2, most=3) == ["a", "b", "c", "a b", "b c"]


def test_an_empty_bag() -> None:
    bag = make_bag([], [0, 0], 5)
    assert bag.offsets.tolist() == [0, 0, 0]
    assert bag.ids.tolist() == []
