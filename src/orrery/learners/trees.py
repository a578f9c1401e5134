"""Trees as LightGBM writes them in text: read, checked to the last index, and written again.

LightGBM's own reader trusts its file: a child that points outside the tree is read from anywhere in memory.
So nothing reaches it but what is written here, from trees that were checked here.

Legend: s splits of a tree, s + 1 leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.errors import ModelFormatError
from orrery.learners.state import broken

MOST_BYTES = 512 << 20
NAME = "trees.txt"


@dataclass(frozen=True)
class Tree:
    """One tree. A child of 0 or more is a split, ``-1 - i`` is leaf i; split 0 is the root."""

    leaves: NDArray[np.float64]  # [s + 1] values
    columns: NDArray[np.int64]  # [s] of the matrix
    thresholds: NDArray[np.float64]  # [s]; of a categorical split, the number of its set
    decisions: NDArray[
        np.int64
    ]  # [s] bit 0: categorical, bit 1: missing goes left, bits 2-3: what is missing
    left: NDArray[np.int64]  # [s]
    right: NDArray[np.int64]  # [s]
    set_ends: NDArray[np.int64]  # sets of categories, as ranges of ``set_words``
    set_words: NDArray[np.int64]  # bits, 32 to a word

    @classmethod
    def constant(cls, value: float) -> Tree:
        """The tree that says the same for every row."""
        no = np.empty(0, np.int64)
        return cls(np.array([value]), no, np.empty(0), no, no, no, np.zeros(1, np.int64), no)


def parse(text: str, columns: int) -> list[Tree]:
    """The trees in LightGBM's text, of a matrix with so many columns. Raises ModelFormatError."""
    if len(text) > MOST_BYTES:
        raise broken(NAME, f"it is longer than {MOST_BYTES >> 20} MiB")
    head, *sections = text.partition("end of trees")[0].split("\nTree=")
    if not head.startswith("tree\n") or "end of trees" not in text:
        raise broken(NAME, "it is cut short, or not what LightGBM writes")
    trees = []
    for number, section in enumerate(sections):
        try:
            trees.append(_tree(_fields(section), columns))
        except ModelFormatError as error:
            raise broken(NAME, f"tree {number}: {error.message}") from None
    return trees


def write(trees: Sequence[Tree], columns: int, outputs: int) -> str:
    """LightGBM's text for trees in turn: the first of each output, the second of each output, and so on."""
    head = {
        "version": "v4",
        "num_class": outputs,
        "num_tree_per_iteration": outputs,
        "label_index": 0,
        "max_feature_idx": columns - 1,
        "feature_names": " ".join(f"c{i}" for i in range(columns)),
        "feature_infos": " ".join(["none"] * columns),
    }
    lines = ["tree", *(f"{key}={value}" for key, value in head.items()), ""]
    for number, tree in enumerate(trees):
        lines += [f"Tree={number}", *_lines(tree), "", ""]
    return "\n".join([*lines, "end of trees", ""])


def interleave(models: Sequence[Sequence[Tree]]) -> list[Tree]:
    """Several models as one with several outputs; the shorter ones go on with trees that add nothing."""
    longest = max(map(len, models))
    nothing = Tree.constant(0.0)
    return [model[i] if i < len(model) else nothing for i in range(longest) for model in models]


def _fields(section: str) -> dict[str, str]:
    lines = (line.partition("=") for line in section.splitlines()[1:])
    return {key: value for key, _, value in lines if key}


def _tree(fields: dict[str, str], columns: int) -> Tree:
    leaves = _numbers(fields, "leaf_value", np.float64)
    splits = len(leaves) - 1
    if splits < 0 or _count(fields, "num_leaves") != len(leaves):
        raise ModelFormatError("num_leaves is not how many leaves there are")
    if _count(fields, "is_linear", 0):
        raise ModelFormatError("linear trees are not read")
    if not splits:
        return Tree.constant(float(leaves[0]))
    sets = _count(fields, "num_cat", 0)
    tree = Tree(
        leaves,
        _numbers(fields, "split_feature", np.int64, splits),
        _numbers(fields, "threshold", np.float64, splits),
        _numbers(fields, "decision_type", np.int64, splits),
        _numbers(fields, "left_child", np.int64, splits),
        _numbers(fields, "right_child", np.int64, splits),
        _numbers(fields, "cat_boundaries", np.int64, sets + 1) if sets else np.zeros(1, np.int64),
        _numbers(fields, "cat_threshold", np.int64) if sets else np.empty(0, np.int64),
    )
    for wrong in _wrongs(tree, columns):
        raise ModelFormatError(wrong)
    return tree


def _wrongs(tree: Tree, columns: int) -> Iterator[str]:
    splits, numbers = len(tree.columns), np.arange(len(tree.columns))
    if ((tree.columns < 0) | (tree.columns >= columns)).any():
        yield f"a split is on a column that the matrix of {columns} columns does not have"
    children = np.concatenate((tree.left, tree.right))
    if not np.array_equal(np.sort(children), np.r_[np.arange(-1 - splits, 0), np.arange(1, splits)]):
        yield "not every split and leaf is the child of exactly one split"
    elif any(((side >= 0) & (side <= numbers)).any() for side in (tree.left, tree.right)):
        yield "a split comes before its parent"  # so no walk down the tree can go in circles
    if ((tree.decisions < 0) | (tree.decisions > 15)).any():
        yield "a decision is of no known type"
    ends = tree.set_ends
    if ends[0] != 0 or (np.diff(ends) < 1).any() or ends[-1] != len(tree.set_words):
        yield "the sets of categories overlap"
    if ((tree.set_words < 0) | (tree.set_words >= 1 << 32)).any():
        yield "a set of categories is not of 32-bit words"
    chosen = tree.thresholds[(tree.decisions & 1) == 1]
    if not np.isin(chosen, np.arange(len(ends) - 1)).all():
        yield "a split is on a set of categories that is not there"


def _count(fields: dict[str, str], key: str, default: int | None = None) -> int:
    text = fields.get(key, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ModelFormatError(f"{key} is {text!r:.40}, not a count")
    return int(text)


def _numbers(fields: dict[str, str], key: str, dtype: Any, count: int | None = None) -> NDArray[Any]:
    words = fields.get(key, "").split()
    try:
        with np.errstate(invalid="ignore"):  # what no integer can hold is found by the comparison
            found = np.array(words, np.float64).astype(dtype)
        exact = dtype is np.float64 or np.array_equal(found, np.array(words, np.float64))
    except (ValueError, OverflowError):
        raise ModelFormatError(f"{key} holds something that is not a number") from None
    finite = np.isfinite(found) | ((key == "threshold") & np.isinf(found))  # infinite: all but the missing
    if not exact or not finite.all() or (count is not None and len(found) != count):
        raise ModelFormatError(f"{key} has to be {count or len(found)} finite numbers, and is {len(found)}")
    return found


def _lines(tree: Tree) -> Iterator[str]:
    sets = len(tree.set_ends) - 1
    yield f"num_leaves={len(tree.leaves)}"
    yield f"num_cat={sets}"
    if len(tree.columns):
        yield f"split_feature={_words(tree.columns)}"
        yield f"threshold={_words(tree.thresholds)}"
        yield f"decision_type={_words(tree.decisions)}"
        yield f"left_child={_words(tree.left)}"
        yield f"right_child={_words(tree.right)}"
    yield f"leaf_value={_words(tree.leaves)}"
    if sets:
        yield f"cat_boundaries={_words(tree.set_ends)}"
        yield f"cat_threshold={_words(tree.set_words)}"
    yield "is_linear=0"
    yield "shrinkage=1"


def _words(values: NDArray[Any]) -> str:
    return " ".join(map(repr, values.tolist()))  # the shortest text that reads back as the same number
