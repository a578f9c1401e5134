"""``orrery route`` changes who answers, with a reason; and several models are served by one process."""

from __future__ import annotations

import json
from typing import Any

import pytest

import orrery as ory
from orrery.cli.main import run
from orrery.registry.folder import open_registry

ROWS = [{"x": float(i), "y": 2.0 * i + 1.0} for i in range(60)]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def published() -> None:
    model = ory.fit(ROWS, "y", learner="linear")
    for _ in range(3):
        ory.publish(model, "line")


def answer(words: list[str], capsys: Capture) -> Any:
    assert run([*words, "--output", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_route_is_set_read_and_told(capsys: Capture) -> None:
    words = ["route", "set", "line", "--arm", "2=0.1", "--by", "id", "--shadow", "3", "--fallback", "1"]
    change = answer([*words, "--deadline", "0.5", "--why", "a look at 2"], capsys)
    assert (change["revision"], change["why"]) == (1, "a look at 2")
    assert change["routing"]["arms"] == [{"to": 2, "share": 0.1}]
    assert answer(["route", "get", "line"], capsys) == change
    assert run(["route", "history", "line"]) == 0
    assert "a look at 2" in capsys.readouterr().out
    assert answer(["route", "set", "line"], capsys)["routing"]["arms"] == []
    assert len(answer(["route", "history", "line"], capsys)) == 2


def test_a_canary_is_begun_and_stopped(capsys: Capture) -> None:
    run(["route", "set", "line", "--shadow", "3"])
    capsys.readouterr()
    begun = answer(["route", "canary", "line", "challenger", "--share", "0.1", "--step", "0.5"], capsys)
    assert begun["routing"]["canary"]["steps"] == [0.5]
    assert begun["routing"]["shadows"] == [3]
    assert run(["model", "rollback", "line"]) == 0
    assert open_registry().route("line").routing.canary is None
    capsys.readouterr()
    assert answer(["route", "canary", "line", "--stop"], capsys)["routing"]["canary"] is None


def test_a_rollback_says_what_the_route_now_is(capsys: Capture) -> None:
    run(["route", "set", "line", "--arm", "2=0.5", "--by", "id"])
    run(["route", "set", "line", "--main", "3"])
    capsys.readouterr()
    assert run(["model", "rollback", "line"]) == 0
    said = "The route of line is: champion answers, 2 a share of 0.5, by 'id'. Its main version is 1."
    assert capsys.readouterr().out.strip() == said
    assert run(["model", "rollback", "line"]) == 0
    assert capsys.readouterr().out.strip() == "models:/line/1 answers again."


def test_long_texts_are_cut_in_the_history_and_whole_in_json(capsys: Capture) -> None:
    by, why = "c" * 200, "w" * 500
    change = answer(["route", "set", "line", "--main", "2", "--by", by, "--why", why], capsys)
    assert (change["why"], change["routing"]["by"]) == (why, by)
    assert answer(["route", "history", "line"], capsys)[0]["why"] == why
    assert run(["route", "history", "line"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 200
    assert "w" * 50 in shown
    assert "w" * 61 not in shown
    assert "c" * 25 not in shown
    assert run(["route", "set", "line", "--why", "w" * 501]) == 2


def test_what_is_wrong_is_said(capsys: Capture) -> None:
    assert run(["route", "set", "line", "--main", "9"]) == 4
    assert run(["route", "set", "line", "--arm", "2"]) == 2
    assert run(["route", "set", "line", "--arm", "2=2"]) == 2
    assert run(["route", "canary", "line"]) == 2
    assert run(["route", "get", "lime"]) == 4
    assert run(["route", "set", "line", "--main", "2", "--revision", "7"]) == 1
    assert "revision 0, not 7" in capsys.readouterr().err
    assert run(["serve"]) == 2
    assert "no model to serve" in capsys.readouterr().err
