"""Trees that answer: LightGBM's C library, called without its Python package.

Loading the library takes milliseconds, the package a second. One row takes the library's fast path, on
arrays that are made once.

Legend: n rows, D columns, m raw scores per row.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.errors import ModelFormatError
from orrery.extras import require
from orrery.learners import openmp
from orrery.learners.state import broken
from orrery.learners.trees import NAME, Tree, write

# Constants of LightGBM's C API (include/LightGBM/c_api.h)
_FLOAT64, _ROW_MAJOR, _RAW_SCORE, _ALL = 1, 1, 1, -1


class Forest:
    """Checked trees in LightGBM's memory; safe to call from several threads.

    >>> forest = Forest.of([Tree.constant(2.0), Tree.constant(3.0)], columns=1, outputs=2)
    >>> forest.raw(np.zeros((1, 1)))
    array([[2., 3.]])
    """

    def __init__(self, trees: Sequence[Tree], columns: int, outputs: int, handle: ctypes.c_void_p) -> None:
        self.columns = columns
        self.outputs = outputs
        self.trees = len(trees)
        self._library = library()
        self._handle = handle
        self._lock = threading.Lock()
        self._row = np.zeros((1, columns))
        self._answer = np.zeros((1, outputs))
        self._fast = self._prepare()
        self._row_at = ctypes.c_void_p(self._row.ctypes.data)
        self._answer_at = ctypes.c_void_p(self._answer.ctypes.data)
        self._length = ctypes.c_int64()
        self._length_at = ctypes.byref(self._length)
        weakref.finalize(self, _free, self._library, handle, self._fast)

    @classmethod
    def of(cls, trees: Sequence[Tree], columns: int, outputs: int) -> Forest:
        """Trees in turn: the first of each output, the second of each output, and so on."""
        if not trees or len(trees) % outputs:
            raise broken(NAME, f"{len(trees)} trees cannot be dealt out to {outputs} outputs")
        handle, rounds = ctypes.c_void_p(), ctypes.c_int()
        text = write(trees, max(columns, 1), outputs).encode()
        _call(library().LGBM_BoosterLoadModelFromString, text, ctypes.byref(rounds), ctypes.byref(handle))
        return cls(trees, max(columns, 1), outputs, handle)

    def raw(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw scores [n, m] of rows [n, D]."""
        n = len(x)
        if n == 1:
            with self._lock:
                self._row[:] = x
                return self._one()
        out = np.empty((n, self.outputs))
        if n:
            x = np.ascontiguousarray(x, np.float64)
            at, to = ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data)
            length = ctypes.c_int64()
            _call(
                self._library.LGBM_BoosterPredictForMat,
                *(self._handle, at, ctypes.c_int(_FLOAT64), ctypes.c_int32(n), ctypes.c_int32(self.columns)),
                *(ctypes.c_int(_ROW_MAJOR), ctypes.c_int(_RAW_SCORE), ctypes.c_int(0), ctypes.c_int(_ALL)),
                *(_parameters(), ctypes.byref(length), to),
            )
        return out

    def _one(self) -> NDArray[np.float64]:
        predict = self._library.LGBM_BoosterPredictForMatSingleRowFast
        if predict(self._fast, self._row_at, self._length_at, self._answer_at):
            raise _failure()
        return self._answer.copy()

    def _prepare(self) -> ctypes.c_void_p:
        fast = ctypes.c_void_p()
        _call(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit,
            *(self._handle, ctypes.c_int(_RAW_SCORE), ctypes.c_int(0), ctypes.c_int(_ALL)),
            *(ctypes.c_int(_FLOAT64), ctypes.c_int32(self.columns), b"num_threads=1", ctypes.byref(fast)),
        )
        return fast


@cache
def library() -> ctypes.CDLL:
    """LightGBM's C library. Raises MissingExtraError."""
    found = importlib.util.find_spec("lightgbm")
    for folder in (found and found.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*/lib_lightgbm.*")):
            with openmp.passive():
                opened = ctypes.CDLL(str(path))
            opened.LGBM_GetLastError.restype = ctypes.c_char_p
            return opened
    with openmp.passive():
        require("lightgbm", "The boosted learner")
        loaded: ctypes.CDLL = require("lightgbm.basic", "The boosted learner")._LIB
    return loaded


def _parameters() -> bytes:
    return f"num_threads={openmp.threads()} verbosity=-1".encode()


def _call(function: Any, *arguments: Any) -> None:
    if function(*arguments):
        raise _failure()


def _failure() -> ModelFormatError:
    return broken(NAME, f"LightGBM says: {library().LGBM_GetLastError().decode(errors='replace')[:200]}")


def _free(opened: ctypes.CDLL, handle: ctypes.c_void_p, fast: ctypes.c_void_p) -> None:
    opened.LGBM_FastConfigFree(fast)
    opened.LGBM_BoosterFree(handle)
