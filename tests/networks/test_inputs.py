from __future__ import annotations

import numpy as np

from orrery.features.feature import Encoded, Output, Role
from orrery.features.forms import Bag
from orrery.networks.inputs import as_arrays, count_rows, input_names, row_chunks

NUMBER = Output(name="x", role=Role.NUMBER)
BAG = Output(name="t", role=Role.BAG, sizes=(9,))


def blocks() -> dict[str, Encoded]:
    bag = Bag(np.array([0, 2, 2, 5]), np.array([1, 2, 3, 4, 5], np.int32), np.ones(5, np.float32))
    return {"x": np.array([[1.0], [2.0], [3.0]]), "t": bag}


def test_arrays_have_the_types_that_a_network_takes() -> None:
    codes = Output(name="c", role=Role.CODE, width=1, sizes=(3,), dtype="int32")
    picture = Output(name="p", role=Role.TENSOR, shape=(1, 2, 2), dtype="uint8")
    given: dict[str, Encoded] = {
        **blocks(),
        "c": np.zeros((3, 1), np.int32),
        "p": np.zeros((3, 1, 2, 2), np.uint8),
    }
    arrays = as_arrays(given, [NUMBER, BAG, codes, picture])
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "x": "float32",
        "t.ids": "int64",
        "t.weights": "float32",
        "t.rows": "int64",
        "t.sizes": "int64",
        "c": "int64",
        "p": "uint8",
    }
    assert [name for output in (NUMBER, BAG, codes, picture) for name in input_names(output)] == list(arrays)


def test_chunks_are_the_rows_in_order() -> None:
    pieces = list(row_chunks(blocks(), [NUMBER, BAG], 2))
    assert [count_rows(piece, [BAG]) for piece in pieces] == [2, 1]
    arrays = [as_arrays(piece, [NUMBER, BAG]) for piece in pieces]
    assert [a["x"].ravel().tolist() for a in arrays] == [[1.0, 2.0], [3.0]]
    assert [a["t.ids"].tolist() for a in arrays] == [[1, 2], [3, 4, 5]]
    assert [a["t.rows"].tolist() for a in arrays] == [[0, 0], [0, 0, 0]]
