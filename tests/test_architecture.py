"""The house stands: light imports, layers, sizes, no loose ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import orrery

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "orrery"

HEAVY = {
    "torch",
    "pandas",
    "pyspark",
    "ray",
    "polars",
    "sklearn",
    "lightgbm",
    "fastapi",
    "onnxruntime",
    "duckdb",
}


def modules_loaded_by(code: str) -> set[str]:
    """Top-level packages in a fresh Python after running some code."""
    names = "sorted({m.partition('.')[0] for m in sys.modules})"
    script = f"{code}\nimport sys, json\nprint('\\n' + json.dumps({names}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_orrery_loads_nothing_heavy() -> None:
    loaded = modules_loaded_by("import orrery")
    assert loaded & HEAVY == set()
    assert loaded & {"pyarrow", "numpy", "pydantic"} == set()


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from orrery.cli.main import main
sys.argv = ["orrery", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert modules_loaded_by(code) & HEAVY == set()


def test_sizes_hold() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "check_sizes.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_public_name_exists() -> None:
    for name in orrery.__all__:
        assert getattr(orrery, name) is not None


def test_no_pickle_eval_or_exec_in_the_package() -> None:
    """Nothing that comes from a file, a request or a database is unpickled or evaluated.

    Tasks of a gang travel pickled between processes that one program started, in one file and no other.
    """
    forbidden = re.compile(
        r"^\s*(import|from)\s+(pickle|dill|cloudpickle|joblib|marshal|shelve)\b|\b(eval|exec)\(", re.M
    )
    allowed = re.compile(r"\.eval\(\)|model\.eval\(|session\.exec")
    found = []
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "engines" / "freight.py"}:
        for match in forbidden.finditer(path.read_text()):
            line = path.read_text()[: match.start()].count("\n") + 1
            text = path.read_text().splitlines()[line - 1 if not match[0].startswith("\n") else line]
            if not allowed.search(text):
                found.append(f"{path.relative_to(ROOT)}:{line}: {match[0].strip()}")
    assert found == []


def test_every_package_says_what_it_holds() -> None:
    for init in PACKAGE.rglob("__init__.py"):
        text = init.read_text()
        assert text.startswith('"""'), init
        assert "TODO" not in text, init


def test_every_exception_stands_in_the_drawing() -> None:
    from orrery import errors

    drawn = set(re.findall(r"\w+Error", errors.__doc__ or ""))
    defined = {
        n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.OrreryError)
    }
    assert drawn == defined


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "docs" / "concepts" / "dependencies.md").read_text()
    wanted = [*project["dependencies"], *(d for e in project["optional-dependencies"].values() for d in e)]
    names = {re.split(r"[\[><=; ]", d)[0] for d in wanted} - {"orrery-ml"}
    missing = sorted(n for n in names if f"`{n}`" not in text)
    assert missing == []


def test_lock_file_has_no_addresses() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text(), lock
