"""Small operators of the tests' own, in a file that tests may rewrite, and a table to run them on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.flow import operators

CODE = '''
from __future__ import annotations
from pathlib import Path
from orrery.data.table import Table
from orrery.flow.operator import OUTSIDE, Context, operator

@operator()
def keep(table: Table, *, note: str = "", times: int = 1) -> Table:
    """Keep rows; writes its note into a file, so that tests see that it ran.

    Args:
        table: The rows.
        note: What to write.
    """
    with Path("ran.txt").open("a") as file:
        file.write(note + "\\n")
    return table

@operator()
def fail(table: Table) -> Table:
    """Fail."""
    raise ValueError("no luck")

@operator()
def stop(table: Table, *, context: Context = OUTSIDE) -> Table:
    """Leave unfinished work the first time, finish it the second."""
    mark = context.folder / "half"
    if not mark.exists():
        mark.write_text("half")
        raise KeyboardInterrupt
    return table
'''


@pytest.fixture(name="code")
def own_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of operators ``keep``, ``fail`` and ``stop``."""
    path = tmp_path / "own_operators.py"
    path.write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("keep", "fail", "stop"):
        monkeypatch.setitem(operators.OPERATORS, name, f"own_operators:{name}")
    importlib.invalidate_caches()
    sys.modules.pop("own_operators", None)
    yield path
    sys.modules.pop("own_operators", None)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A CSV file of 100 rows: ``id``, ``age``, ``city``."""
    path = tmp_path / "rows.csv"
    lines = [f"{i},{20 + i % 50},{'Lyon' if i % 3 else 'Nice'}" for i in range(100)]
    path.write_text("\n".join(["id,age,city", *lines]) + "\n")
    return path
