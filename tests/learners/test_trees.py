from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import ModelFormatError
from orrery.learners import trees
from orrery.learners.forest import Forest

COLUMNS = 4


@cache
def booster() -> lightgbm.Booster:
    """Three classes, a column of categories, and missing values."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(600, COLUMNS))
    x[:, 1] = chance.integers(0, 40, 600)
    y = np.digitize(x[:, 0] + (x[:, 1] % 3) - 1, [-0.5, 0.5])
    x[chance.random(600) < 0.2, 2] = np.nan
    settings = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "min_data_per_group": 5}
    return lightgbm.train(settings, lightgbm.Dataset(x, y, categorical_feature=[1]), 12)


@cache
def text() -> str:
    return str(booster().model_to_string())


def rows(n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    chance = np.random.default_rng(1)
    x = chance.normal(size=(n, COLUMNS))
    x[:, 1] = chance.integers(-1, 60, n)
    x[chance.random((n, COLUMNS)) < 0.1] = np.nan
    return x


def test_answers_are_lightgbms_bit_by_bit() -> None:
    forest = Forest.of(trees.parse(text(), COLUMNS), COLUMNS, 3)
    x = rows(200)
    expected = booster().predict(x, raw_score=True)
    np.testing.assert_array_equal(forest.raw(x), expected)
    np.testing.assert_array_equal(np.vstack([forest.raw(x[i : i + 1]) for i in range(200)]), expected)


def test_what_is_written_reads_back_as_it_was() -> None:
    once = trees.write(trees.parse(text(), COLUMNS), COLUMNS, 3)
    assert trees.write(trees.parse(once, COLUMNS), COLUMNS, 3) == once


def test_models_side_by_side_give_each_its_own_score() -> None:
    short, long = trees.parse(text(), COLUMNS)[:3], trees.parse(text(), COLUMNS)[3:10]
    both = Forest.of(trees.interleave([short, long]), COLUMNS, 2)
    x = rows(50)
    for i, model in enumerate((short, long)):
        alone = Forest.of(model, COLUMNS, 1)
        np.testing.assert_allclose(both.raw(x)[:, i], alone.raw(x)[:, 0], rtol=1e-13, atol=1e-15)


def test_threads_do_not_mix_their_rows() -> None:
    forest = Forest.of(trees.parse(text(), COLUMNS), COLUMNS, 3)
    x = rows(64)
    expected, wrong = forest.raw(x), []

    def ask(start: int) -> None:
        for _ in range(20):
            for i in range(start, 64, 4):
                if not np.array_equal(forest.raw(x[i : i + 1]), expected[i : i + 1]):
                    wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


BAD: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a child outside the tree": ("left_child", lambda v: np.where(np.arange(len(v)) == 0, 999, v)),
    "a leaf outside the tree": ("right_child", lambda v: np.where(np.arange(len(v)) == 0, -999, v)),
    "a walk in circles": ("left_child", lambda v: np.where(np.arange(len(v)) == 0, 0, v)),
    "a column that is not there": ("split_feature", lambda v: v + COLUMNS),
    "a column below zero": ("split_feature", lambda v: v - 10),
    "a set that is not there": ("threshold", lambda v: v + 1000),
    "a set that overlaps": ("cat_boundaries", lambda v: v[::-1]),
    "a set without end": ("cat_boundaries", lambda v: v * 1000),
    "a word that is too long": ("cat_threshold", lambda v: v + (1 << 40)),
    "an unknown decision": ("decision_type", lambda v: v + 64),
    "too few children": ("left_child", lambda v: v[:-1]),
    "too many leaves": ("leaf_value", lambda v: np.append(v, 1.0)),
}


@pytest.mark.parametrize("what", BAD)
def test_a_tree_that_would_read_foreign_memory_is_refused(what: str) -> None:
    key, change = BAD[what]
    lines = text().split("\n")
    if key == "threshold":  # of a categorical split: the number of its set
        trees_with_sets = [
            i for i, line in enumerate(lines) if line.startswith("num_cat=") and line[8:] != "0"
        ]
        at = next(i for i in range(trees_with_sets[0], len(lines)) if lines[i].startswith("threshold="))
    else:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{key}=") and " " in line)
    values = np.array(lines[at].partition("=")[2].split(), np.float64)
    changed = change(values)
    lines[at] = f"{key}=" + " ".join(
        repr(v if key in ("threshold", "leaf_value") else int(v)) for v in changed
    )
    with pytest.raises(ModelFormatError, match=r"trees\.txt.*tree \d+"):
        trees.parse("\n".join(lines).replace("np.float64(", "").replace(")", ""), COLUMNS)


@pytest.mark.parametrize(
    "bad", ["", "tree", "tree\n", "end of trees", "\x00" * 100, "tree\nTree=0\nnum_leaves=2\n"]
)
def test_what_is_not_lightgbms_text_is_refused(bad: str) -> None:
    with pytest.raises(ModelFormatError, match="cut short"):
        trees.parse(bad, COLUMNS)


@pytest.mark.parametrize(
    "line",
    ["num_leaves=99999999999", "num_leaves=-1", "num_leaves=²", "leaf_value=nan inf", "left_child=1e300"],
)
def test_counts_and_numbers_are_checked(line: str) -> None:
    bad = text().replace(next(x for x in text().split("\n") if x.startswith(line.partition("=")[0])), line, 1)
    with pytest.raises(ModelFormatError):
        trees.parse(bad, COLUMNS)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_is_refused_or_answered(data: st.DataObject) -> None:
    """Digits, signs and line ends swapped anywhere in the trees: nothing crashes."""
    spoilt = list(trees.write(trees.parse(text(), COLUMNS)[:6], COLUMNS, 3))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at] = data.draw(st.sampled_from("0123456789-. \ne=i"))
    try:
        found = trees.parse("".join(spoilt), COLUMNS)
        answers = Forest.of(found, COLUMNS, 3).raw(rows(5))
    except ModelFormatError:
        return
    assert answers.shape == (5, 3)


def test_trees_that_cannot_be_dealt_out_are_refused() -> None:
    two = [trees.Tree.constant(1.0)] * 2
    with pytest.raises(ModelFormatError, match="2 trees cannot be dealt out to 3 outputs"):
        Forest.of(two, 1, 3)
    with pytest.raises(ModelFormatError, match="0 trees"):
        Forest.of([], 1, 1)


def test_a_constant_tree_is_a_tree() -> None:
    tree = replace(trees.Tree.constant(0.5))
    assert Forest.of([tree, tree], 2, 1).raw(np.zeros((3, 2))).tolist() == [[1.0]] * 3
