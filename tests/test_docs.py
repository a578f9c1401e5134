"""The README is true: its code runs, in both languages, and every promise names a test that exists."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
BIN = Path(sys.executable).parent


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def bare(code: str) -> str:
    """Code without comments: what both languages must share."""
    return ast.unparse(ast.parse(code))


def test_both_readmes_hold_the_same_code() -> None:
    for language in ("bash", "yaml"):
        strip = [[re.sub(r"\s*#.*", "", b) for b in blocks(p, language)] for p in (ENGLISH, CHINESE)]
        assert strip[0] == strip[1], language
    english, chinese = ([bare(b) for b in blocks(p, "python")] for p in (ENGLISH, CHINESE))
    assert english == chinese


def test_first_example_is_under_15_lines() -> None:
    lines = [line for line in blocks(ENGLISH, "python")[0].splitlines() if line.strip()]
    assert len(lines) < 15


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder that the README's first command makes."""
    (first,) = [c for b in blocks(ENGLISH, "bash") for c in joined(b) if c.startswith("orrery init")]
    subprocess.run(shlex.split(first), cwd=tmp_path, env=environment(tmp_path), check=True)
    return tmp_path / first.split()[-1]


def environment(project: Path) -> dict[str, str]:
    """A new user's environment: the virtual environment is active, nothing else is set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ORRERY_")}
    return {
        **kept,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(project),
        "ORRERY_PROGRESS": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


@pytest.mark.slow
def test_python_of_the_readme_runs(project: Path) -> None:
    script = project / "readme.py"
    script.write_text("\n".join(blocks(ENGLISH, "python")))
    done = subprocess.run(
        [sys.executable, "-W", "error", script.name],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_commands_of_the_readme_run(project: Path) -> None:
    """Every command in order; `orrery serve` stays up for those after it."""
    servers: list[subprocess.Popen[bytes]] = []
    ours = [c for b in blocks(ENGLISH, "bash") for c in joined(b)]
    commands = [c for c in ours if not c.startswith(("make", "orrery init"))]
    try:
        for command in commands:
            if "orrery serve" in command:
                servers.append(start(command, project))
                continue
            done = subprocess.run(
                command,
                shell=True,
                cwd=project,
                env=environment(project),
                capture_output=True,
                text=True,
                timeout=280,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    finally:
        for server in servers:
            server.terminate()
            assert server.wait(timeout=30) in {0, -15}


def joined(block: str) -> list[str]:
    """The commands of a block, continued lines joined and comments dropped."""
    lines = block.replace("\\\n", " ").splitlines()
    return [c for c in (re.sub(r"\s+#.*", "", line).strip() for line in lines) if c and not c.startswith("#")]


def start(command: str, project: Path) -> subprocess.Popen[bytes]:
    """Start a service and wait until it is ready, or gone."""
    server = subprocess.Popen(shlex.split(command.rstrip("& ")), cwd=project, env=environment(project))
    port = re.search(r"--port (\d+)", command)
    url = f"http://127.0.0.1:{port[1] if port else 8080}/v2/health/ready"
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
            break
        except (urllib.error.URLError, OSError):
            continue
    assert server.poll() is None, f"{command} ended with {server.returncode}"
    return server


def test_every_promise_names_a_test_that_exists() -> None:
    for page in (ENGLISH, CHINESE):
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text())
        assert len(named) >= 9, page
        for path, test in named:
            assert (ROOT / path).is_file(), path
            assert f"def {test}(" in (ROOT / path).read_text() or not test, f"{path}::{test}"


def test_links_lead_somewhere() -> None:
    pages = [
        ENGLISH,
        CHINESE,
        ROOT / "ARCHITECTURE.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_named_in_the_map_exist() -> None:
    """ARCHITECTURE.md leads a newcomer to files that are there."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for path in re.findall(
        r"`((?:data|features|networks|evaluation|learners|flow|cli|estimators|feedback)/[\w/]+\.py)`", text
    ):
        assert (ROOT / "src" / "orrery" / path).exists(), path
