from __future__ import annotations

import json

import pytest

from orrery.cli.doctor import PURPOSES
from orrery.cli.main import run
from orrery.extras import EXTRA_OF


def test_every_extra_is_told_with_the_way_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["extra"] for row in told["extras"]} == set(EXTRA_OF.values()) == set(PURPOSES)
    assert all(row["get"] == f'pip install "orrery-ml[{row["extra"]}]"' for row in told["extras"])
    assert told["machine"]["cores"] >= 1


def test_the_page_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "memory" in told
    assert "serving over HTTP" in told
