"""The operators that bring tables together."""

from __future__ import annotations

import pytest

from orrery.data.table import read
from orrery.errors import SettingsError
from orrery.flow.operators import find


def test_a_query_over_several_tables() -> None:
    sales, towns = read({"id": [1, 2], "town": ["x", "y"]}), read({"town": ["x"], "name": ["Oslo"]})
    query = "select id, name from this join t using (town)"
    joined = find("join")(table=sales, others=[towns], query=query, names=["t"])
    assert joined.to_rows() == [{"id": 1, "name": "Oslo"}]
    with pytest.raises(SettingsError, match="1 other tables and 2 names"):
        find("join")(table=sales, others=[towns], query=query, names=["t", "u"])


def test_what_was_known_then() -> None:
    events, features = read({"k": [1, 1], "t": [2, 9]}), read({"k": [1], "t": [5], "v": ["late"]})
    joined = find("as_of")(table=events, features=features, on="t", by=["k"])
    assert [row["v"] for row in joined.to_rows()] == [None, "late"]
