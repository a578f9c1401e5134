"""The house rules in numbers: sizes of files, functions, classes and constructors.

``python scripts/check_sizes.py`` prints what breaks a rule and exits 1; ``--show`` prints the figures.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "orrery"

FILE_MEDIAN, FILE_MOST = 150, 400
BODY_MOST, BODY_LONG, BODY_LONG_SHARE = 50, 30, 0.03
METHODS_MOST, ARGUMENTS_MOST, PROTOCOL_MOST = 12, 8, 5
FORBIDDEN_NAMES = {"utils", "common", "helpers", "manager", "base", "core"}

LARGE_FILES: dict[str, str] = {}
"""File over FILE_MOST lines -> why it may be."""

MANY_METHODS: dict[str, str] = {
    "Table": "what a user holds: one verb each, every one a line or two over a step",
}
"""Class over METHODS_MOST public methods -> why it may be."""


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, its docstring left out."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a file."""
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def class_faults(node: ast.ClassDef, where: str) -> Iterator[str]:
    """What a class breaks."""
    members = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    public = [
        m
        for m in members
        if not m.name.startswith("_")
        and not any(isinstance(d, ast.Name) and d.id == "property" for d in m.decorator_list)
    ]
    if len(public) > METHODS_MOST and node.name not in MANY_METHODS:
        yield f"{where}: class {node.name} has {len(public)} public methods; at most {METHODS_MOST}"
    if any("Protocol" in ast.unparse(b) for b in node.bases) and len(public) > PROTOCOL_MOST:
        yield f"{where}: protocol {node.name} has {len(public)} members; at most {PROTOCOL_MOST}"
    for m in members:
        count = len(m.args.args) + len(m.args.kwonlyargs) - 1
        if m.name == "__init__" and count > ARGUMENTS_MOST:
            yield f"{where}: {node.name}() takes {count} arguments; at most {ARGUMENTS_MOST}"


def main() -> int:
    """Check every file of the package."""
    faults: list[str] = []
    file_sizes: list[int] = []
    bodies: list[int] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = str(path.relative_to(ROOT))
        text = path.read_text()
        lines = len(text.splitlines())
        if path.name != "__init__.py":
            file_sizes.append(lines)
        if lines > FILE_MOST and where not in LARGE_FILES:
            faults.append(f"{where}: {lines} lines; at most {FILE_MOST}")
        if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES:
            faults.append(f"{where}: say what it holds; {path.stem!r} could hold anything")
        tree = ast.parse(text)
        for function in functions(tree):
            bodies.append(body_lines(function))
            if bodies[-1] > BODY_MOST:
                faults.append(
                    f"{where}:{function.lineno}: {function.name} has {bodies[-1]} lines; at most {BODY_MOST}"
                )
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                faults.extend(class_faults(node, f"{where}:{node.lineno}"))
    median = statistics.median(file_sizes)
    long = sum(b > BODY_LONG for b in bodies) / max(len(bodies), 1)
    if median >= FILE_MEDIAN:
        faults.append(f"the median file has {median:.0f} lines; under {FILE_MEDIAN} is the rule")
    if long >= BODY_LONG_SHARE:
        faults.append(
            f"{long:.1%} of functions are over {BODY_LONG} lines; under {BODY_LONG_SHARE:.0%} is the rule"
        )
    if "--show" in sys.argv or faults:
        print(
            f"{len(file_sizes)} files, {sum(file_sizes)} lines, median {median:.0f}, most {max(file_sizes)}; "
            f"{len(bodies)} functions, {long:.1%} over {BODY_LONG} lines, most {max(bodies)}"
        )
    print("\n".join(faults) or "sizes: all rules hold")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
