"""The page for people with Spark is true: its code runs, as one program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "concepts" / "spark.md"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_code_of_the_page_runs(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORRERY_REGISTRY__URL", str(tmp_path / "registry"))
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S))
    program = program.replace(
        "visits-pipeline", f"{tmp_path}/visits-pipeline"
    )  # Spark has a folder of its own
    program = program.replace('parquet("answers")', f'parquet("{tmp_path}/answers")')
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)
    assert names["answered"].count() == 600
    assert names["plain"].predict({"pages": 39.0, "device": "phone"})["prediction"] == 1.0
    assert [stage.uid for stage in names["again"].stages] == [stage.uid for stage in names["pipeline"].stages]
