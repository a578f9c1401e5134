"""One matrix from encoded blocks, for learners that want one: which columns each block takes.

Legend: n rows, D columns of the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orrery.features.feature import Encoded, Output, Role
from orrery.features.forms import Bag


class Span(NamedTuple):
    """The columns ``start`` to ``stop`` of the matrix belong to one block."""

    output: Output
    start: int
    stop: int

    @property
    def columns(self) -> slice:
        """The block's columns."""
        return slice(self.start, self.stop)


def spans(outputs: Sequence[Output], *, one_hot: bool) -> tuple[Span, ...]:
    """Blocks side by side. With ``one_hot`` each code is a column of its own, else each position is.

    >>> colour = Output(name="colour", role=Role.CODE, sizes=(4,))
    >>> [(s.start, s.stop) for s in spans([colour], one_hot=True)]
    [(0, 4)]
    """
    made, start = [], 0
    for output in outputs:
        made.append(Span(output, start, start + _width(output, one_hot)))
        start = made[-1].stop
    return tuple(made)


def _width(output: Output, one_hot: bool) -> int:
    if output.role is Role.TENSOR:
        return int(np.prod(output.shape, dtype=np.int64))
    if output.role is Role.BAG or (one_hot and output.role is Role.CODE):
        return sum(output.sizes)
    return output.width


def width(parts: Sequence[Span]) -> int:
    """Columns in all."""
    return parts[-1].stop if parts else 0


def labels(span: Span, *, one_hot: bool) -> list[str]:
    """What each column of a block is called, for people.

    >>> colour = Output(name="colour", role=Role.CODE, sizes=(2,), names=("colour",))
    >>> labels(Span(colour, 0, 2), one_hot=True)
    ['colour code 0', 'colour code 1']
    """
    output = span.output
    if one_hot and output.role is Role.CODE:
        names = output.names or tuple(f"{output.name} {i}" for i in range(output.width))
        return [f"{name} code {i}" for name, n in zip(names, output.sizes, strict=True) for i in range(n)]
    names = output.names if len(output.names) == span.stop - span.start else ()
    return list(names) or [f"{output.name} {i}" for i in range(span.stop - span.start)]


def rows_in(blocks: Mapping[str, Encoded]) -> int:
    """Rows of encoded blocks; all have as many."""
    for block in blocks.values():
        return len(block.offsets) - 1 if isinstance(block, Bag) else len(block)
    return 0


def first_codes(output: Output) -> NDArray[np.int64]:
    """Where the codes of each position begin, when each code is a column."""
    return np.concatenate(([0], np.cumsum(output.sizes[:-1]))).astype(np.int64)


def slice_rows(block: Encoded, start: int, stop: int) -> Encoded:
    """Rows ``start`` to ``stop`` of a block, not copied."""
    if not isinstance(block, Bag):
        return block[start:stop]
    offsets = block.offsets[start : stop + 1]
    low, high = int(offsets[0]), int(offsets[-1])
    return Bag(offsets - low, block.ids[low:high], block.weights[low:high])


def fill(parts: Sequence[Span], blocks: Mapping[str, Encoded], out: NDArray[np.float64]) -> None:
    """Write blocks into ``out`` [n, D], codes as they are; a bag's absent ids are zero."""
    for span in parts:
        block = blocks[span.output.name]
        if isinstance(block, Bag):
            out[:, span.columns] = 0.0
            if len(out) == 1:  # one row of a request
                np.add.at(out[0], span.start + block.ids, block.weights)
                continue
            rows = np.repeat(np.arange(len(out)), np.diff(block.offsets))
            np.add.at(out, (rows, span.start + block.ids), block.weights)
        else:
            out[:, span.columns] = block if block.ndim == 2 else block.reshape(len(block), -1)


def sparse(parts: Sequence[Span], blocks: Mapping[str, Encoded], *, one_hot: bool) -> Any:
    """The matrix as compressed sparse rows (SciPy), codes as ones where ``one_hot``."""
    from scipy import sparse as scipy_sparse

    pieces = []
    for span in parts:
        block, size = blocks[span.output.name], span.stop - span.start
        if isinstance(block, Bag):
            shape = (len(block.offsets) - 1, size)
            entries = (np.asarray(block.weights, np.float64), block.ids, block.offsets)
            piece = scipy_sparse.csr_matrix(entries, shape=shape)
            piece.sum_duplicates()
        elif one_hot and span.output.role is Role.CODE:
            n, positions = block.shape
            columns = (block + first_codes(span.output)).ravel()
            ends = np.arange(n + 1, dtype=np.int64) * positions
            piece = scipy_sparse.csr_matrix((np.ones(n * positions), columns, ends), shape=(n, size))
        else:
            piece = scipy_sparse.csr_matrix(np.asarray(block, np.float64).reshape(len(block), -1))
        pieces.append(piece)
    return scipy_sparse.hstack(pieces, format="csr")


def size_bytes(parts: Sequence[Span], blocks: Mapping[str, Encoded], *, dense: bool) -> int:
    """Memory that the matrix takes, dense or sparse."""
    n = rows_in(blocks)
    if dense:
        return 8 * n * width(parts)
    entries = 0
    for span in parts:
        block = blocks[span.output.name]
        entries += len(block.ids) if isinstance(block, Bag) else block.size
    return 12 * entries + 8 * n
