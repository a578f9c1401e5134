from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import FlowError
from orrery.flow.graph import Graph, Node


def graph(**parents: str) -> Graph:
    """``graph(b="a", c="a b")``: nodes that need others."""
    nodes = tuple(
        Node(id=name, operator="keep", inputs={"table": tuple(needs.split())} if needs else {})
        for name, needs in parents.items()
    )
    return Graph(name="g", nodes=nodes)


def test_nodes_come_after_those_they_need() -> None:
    assert [n.id for n in graph(c="b.train", b="a", a="").order()] == ["a", "b", "c"]


def test_only_what_is_needed() -> None:
    assert [n.id for n in graph(a="", b="a", c="a").order(to=["c"])] == ["a", "c"]


def test_a_circle_is_named() -> None:
    with pytest.raises(FlowError, match=r"in a circle: (a → b → a|b → a → b)"):
        graph(a="b", b="a").order()


def test_an_unknown_node_is_told_with_a_suggestion() -> None:
    with pytest.raises(FlowError, match=r"no node 'modle'.*'model'.*Did you mean 'model'"):
        graph(model="").node("modle")


def test_settings_are_changed_in_a_copy() -> None:
    before = graph(a="")
    after = before.with_settings({"a.seed": 8})
    assert after.node("a").settings == {"seed": 8}
    assert before.node("a").settings == {}
    inside = after.with_settings({"a.learner": "network"}).with_settings({"a.learner.epochs": 5})
    assert inside.node("a").settings == {"seed": 8, "learner": {"kind": "network", "epochs": 5}}
    with pytest.raises(FlowError, match="names no setting"):
        before.with_settings({"a": 8})


@settings(max_examples=40)
@given(st.integers(1, 9), st.data())
def test_any_graph_without_circles_has_an_order(size: int, data: st.DataObject) -> None:
    needs = {
        f"n{i}": " ".join(f"n{j}" for j in data.draw(st.sets(st.integers(0, i - 1)) if i else st.just(set())))
        for i in range(size)
    }
    shuffled = dict(data.draw(st.permutations(list(needs.items()))))
    order = [node.id for node in graph(**shuffled).order()]
    assert sorted(order) == sorted(needs)
    for name, parents in needs.items():
        assert all(order.index(parent) < order.index(name) for parent in parents.split())
