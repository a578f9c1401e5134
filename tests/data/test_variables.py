"""Environment variables are filled in where they are used, and never stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.table import Table, read
from orrery.data.variables import expand, hidden, unfilled


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "s3cr3tPW")
    monkeypatch.setenv("TINY", "7")


def test_what_was_filled_in_is_stored_as_it_was_written() -> None:
    written = {
        "place": "postgresql://bob:${PW}@host/db",
        "query": "select '${PW}' as a, $$1, ${TINY}",
        "n": "${TINY}",
    }
    filled = expand(written)
    assert filled["query"] == "select 's3cr3tPW' as a, $1, 7"
    assert unfilled(filled) == written
    assert unfilled({"deep": ["x s3cr3tPW y", "postgresql://bob:***@host/db"]}) == {
        "deep": ["x ${PW} y", "postgresql://bob:${PW}@host/db"]
    }
    assert hidden("Wrong: s3cr3tPW, $$") == "Wrong: ${PW}, $$"


def test_it_is_forgotten_when_the_variable_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    expand("${TINY}/rows")
    assert unfilled("7/rows") == "${TINY}/rows"
    monkeypatch.setenv("TINY", "8")
    assert unfilled("7/rows") == "7/rows"
    monkeypatch.delenv("TINY")
    assert unfilled("7/rows") == "7/rows"


@given(st.text("ab$P{W}:-", max_size=30).map(lambda text: text.replace("PW", "s3cr3tPW")))
def test_expanding_undoes_it(text: str) -> None:
    expand("${PW}")
    assert expand(unfilled(text)) == text
    assert "s3cr3tPW" not in unfilled(text)


def test_a_plan_names_variables_and_is_read_with_what_they_hold_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "rows.csv"
    place.write_text("a,b\n1,s3cr3tPW\n2,${PW}\n", encoding="utf-8")
    table = read(place).where(expand("b <> '${PW}'")).where("b <> '$x'")
    plan = json.loads(json.dumps(table.union(read(place).where("b = 's3cr3tPW'")).to_dict()))
    assert "s3cr3tPW" not in json.dumps(plan)
    assert Table.from_dict(plan).select("a").to_rows() == [{"a": 2}, {"a": 1}]
    assert Table.from_dict(read(place).where("b = '${PW}'").to_dict()).select("a").to_rows() == [{"a": 2}]
    monkeypatch.setenv("PW", "${PW}")
    assert Table.from_dict(plan["steps"][0] and {**plan, "steps": plan["steps"][:1]}).count() == 1
