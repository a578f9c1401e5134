"""Encoded blocks as the plain arrays that a network takes, in torch and in ONNX Runtime alike. No torch here.

A bag becomes four arrays, since a graph knows no sparse rows: ``NAME.ids`` and ``NAME.weights`` of all rows
in one line, ``NAME.rows`` with the row each belongs to, and ``NAME.sizes`` with how many each row has.

Legend: n rows, m ids in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orrery.features.feature import Encoded, Output, Role
from orrery.features.forms import Bag

ImageNetwork = Literal["auto", "small", "resnet18"]
"""Which network looks at pictures; ``auto`` decides by their size."""

BAG_PARTS = ("ids", "weights", "rows", "sizes")


def input_names(output: Output) -> tuple[str, ...]:
    """The arrays that stand for one block."""
    return tuple(f"{output.name}.{part}" for part in BAG_PARTS) if output.role is Role.BAG else (output.name,)


def as_arrays(blocks: Mapping[str, Encoded], outputs: Sequence[Output]) -> dict[str, NDArray[Any]]:
    """NUMBER float32 [n, width]; CODE int64 [n, width]; TENSOR uint8 or float32 [n, ...]; BAG four arrays.

    >>> bag = Bag(np.array([0, 2, 2, 3]), np.array([5, 6, 7], np.int32), np.ones(3, np.float32))
    >>> arrays = as_arrays({"t": bag}, [Output(name="t", role="bag", sizes=(8,))])
    >>> arrays["t.rows"], arrays["t.sizes"]
    (array([0, 0, 2]), array([2, 0, 1]))
    """
    arrays: dict[str, NDArray[Any]] = {}
    for output in outputs:
        block = blocks[output.name]
        if isinstance(block, Bag):
            if len(block.offsets) == 2:  # one row of a request
                sizes, rows = block.offsets[1:], np.zeros(len(block.ids), np.int64)
            else:
                sizes = np.diff(block.offsets)
                rows = np.repeat(np.arange(len(sizes)), sizes)
            parts = (block.ids.astype(np.int64), block.weights, rows, sizes)
            arrays.update(zip(input_names(output), parts, strict=True))
        elif output.role is Role.CODE:
            arrays[output.name] = block.astype(np.int64)
        elif block.dtype == np.uint8:
            arrays[output.name] = block
        else:
            arrays[output.name] = block.astype(np.float32)
    return arrays


def row_chunks(
    blocks: Mapping[str, Encoded], outputs: Sequence[Output], rows: int
) -> Iterator[dict[str, Encoded]]:
    """The blocks cut into pieces of so many rows; nothing is copied."""
    total = count_rows(blocks, outputs)
    for low in range(0, total, rows):
        yield {o.name: _slice(blocks[o.name], low, min(low + rows, total)) for o in outputs}


def count_rows(blocks: Mapping[str, Encoded], outputs: Sequence[Output]) -> int:
    """How many rows the blocks hold."""
    first = blocks[outputs[0].name]
    return len(first.offsets) - 1 if isinstance(first, Bag) else len(first)


def _slice(block: Encoded, low: int, high: int) -> Encoded:
    if not isinstance(block, Bag):
        return block[low:high]
    first, last = block.offsets[low], block.offsets[high]
    return Bag(block.offsets[low : high + 1] - first, block.ids[first:last], block.weights[first:last])
