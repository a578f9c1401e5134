"""The page on Ray is true: its code runs, as one program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "ray.md"


@pytest.mark.slow
def test_the_code_of_the_page_runs_as_one_program(
    ray_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S))
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["ranks"] == [0, 1]
    assert names["model"].predict({"pages": 39.0})["prediction"] == "yes"
    assert names["model"].lineage["gang"]["workers"] == 2
