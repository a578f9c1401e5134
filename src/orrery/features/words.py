"""Text into words, and words into bags of ids.

Words are runs of letters and digits, in any script that puts spaces between words; Chinese, Japanese and
emoji characters stand for themselves (two neighbours make a word with ``ngrams=2``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orrery.features.forms import Bag

_ALONE = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\u2600-\u27bf\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


def split_words(text: str, ngrams: int = 1, most: int = 10_000) -> list[str]:
    """The words of a text, lower case and in compatibility form; then pairs, triples … of neighbours.

    >>> split_words("Good day, 世界!", ngrams=2)
    ['good', 'day', '世', '界', 'good day', 'day 世', '世 界']
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    words = _WORD.findall(text.lower())[:most]
    out = list(words)
    for n in range(2, ngrams + 1):
        out += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    return out


def make_bag(ids: Sequence[int], lengths: Sequence[int], size: int) -> Bag:
    """Rows of ids (below ``size``, in any order) as a bag: each id once a row, in order, with its count.

    >>> bag = make_bag([3, 1, 3, 2], [3, 1], size=4)
    >>> bag.offsets, bag.ids
    (array([0, 2, 3]), array([1, 3, 2], dtype=int32))
    >>> bag.weights
    array([1., 2., 1.], dtype=float32)
    """
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    keys, counts = np.unique(rows * size + np.array(ids, np.int64), return_counts=True)
    offsets: NDArray[np.int64] = np.searchsorted(keys, np.arange(len(lengths) + 1) * size).astype(np.int64)
    return Bag(offsets, (keys % size).astype(np.int32), counts.astype(np.float32))
