"""A report is the same, to the last bit, however the rows are cut and in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.evaluation.report import Report, evaluate
from orrery.evaluation.scored import Outcome
from orrery.evaluation.sums import CellSums, exact_dot

Make = Callable[..., pa.RecordBatch]


def told(report: Report) -> dict[str, Any]:
    return {key: value for key, value in report.to_dict().items() if key != "created"}


@pytest.mark.parametrize("name", ["binary", "classes", "number", "labels", "vector"])
@pytest.mark.parametrize("weighted", [False, True])
def test_any_cut_and_order(make: Make, outcomes: dict[str, Outcome], name: str, weighted: bool) -> None:
    @settings(max_examples=8, deadline=None)
    @given(
        rows=st.integers(1, 60),
        seed=st.integers(0, 1000),
        cuts=st.lists(st.integers(0, 60), max_size=4),
        order=st.randoms(use_true_random=False),
    )
    def check(rows: int, seed: int, cuts: list[int], order: Any) -> None:
        batch = make(name, rows, seed, weighted)
        expected = told(evaluate([batch], outcomes[name], by="city"))
        places = list(range(rows))
        order.shuffle(places)
        mixed = batch.take(pa.array(places))
        ends = sorted({0, rows, *(c for c in cuts if c < rows)})
        parts = [mixed.slice(a, b - a) for a, b in pairwise(ends)]
        assert expected == told(evaluate([*parts, batch.slice(0, 0)], outcomes[name], by=["city"]))

    check()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 2.0**31)), max_size=40), st.integers(0, 40))
def test_cell_sums_do_not_depend_on_the_cut(rows: list[tuple[int, float]], cut: int) -> None:
    cells = np.array([c for c, _ in rows], np.int64)
    values = np.array([v for _, v in rows], float)[:, None]
    whole = CellSums.of(cells, values)
    halves = CellSums.of(cells[cut:], values[cut:]) + CellSums.of(cells[:cut], values[:cut])
    assert whole.cells.tolist() == halves.cells.tolist()
    assert whole.limbs.tolist() == halves.limbs.tolist()
    expected = np.zeros(6)
    np.add.at(expected, cells, values[:, 0])
    np.testing.assert_allclose(whole.dense(6)[:, 0], expected, rtol=1e-12, atol=1e-18)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 3), max_size=20))
def test_products_are_summed_without_rounding(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array([row[i] for row in rows], float) for i in range(3)]
    exact = sum(a * b * c for a, b, c in rows)
    assert exact_dot(*columns).value() == float(exact)
