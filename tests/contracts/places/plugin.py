"""A source of somebody else's: the one of docs/concepts/sources.md, as an installed package."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.contracts.rows import NAMES, SIZE

from orrery.data.table import Table, read

PAGE = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "sources.md"
TYPES = {"id": "int64", SIZE: "double", NAMES[2]: "string"}


def code() -> str:
    """The source as the page has it."""
    found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    return next(block for block in found if "PlainSource" in block)


def install(site: Path, name: str, module: str, points: str, monkeypatch: Any) -> None:
    """A package in a folder of its own, as an installer leaves it there."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("")
    (info / "entry_points.txt").write_text(f"[orrery.data.sources]\n{points}\n")
    (site / f"{name}.py").write_text(module, "utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, name, raising=False)


def place_ledger(rows: list[dict[str, Any]], ask: Callable[[str], Any]) -> Table:
    install(
        Path("site").resolve(), "ledger_source", code(), "ledger = ledger_source:Ledger", ask("monkeypatch")
    )
    lines = [TYPES, *rows]
    Path("rows.ledger").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return read("ledger://rows.ledger")


PLACES = {"a plug-in": place_ledger}
