from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import orrery
from orrery import __version__
from orrery.cli.commands import COMMANDS
from orrery.cli.main import run

Capture = pytest.CaptureFixture[str]


def test_the_overview_names_every_command(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name:10}{command.help}" in told
    assert "Examples" in told
    assert "Exit codes" in told


def test_no_words_are_an_error_that_helps(capsys: Capture) -> None:
    assert run([]) == 2
    assert "Usage: orrery COMMAND" in capsys.readouterr().out


def test_the_version(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"orrery {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fitt"], "there is no command 'fitt'. Did you mean 'fit'?"),
        (["--hepl"], "there is no option '--hepl'"),
        (["doctor", "--outptu", "json"], "No such option: --outptu"),
        (["model", "lst"], "No such command 'lst'"),
        (["data", "head"], "Missing argument 'DATA'"),
        (["doctor", "--output", "xml"], "'xml' is not one of"),
    ],
)
def test_typing_errors_are_told_with_code_2(words: list[str], says: str, capsys: Capture) -> None:
    assert run(words) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: Capture) -> None:
    assert run([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert "Usage" in told
    if name not in {"model", "data", "feedback", "route"}:
        assert f"orrery {name}" in told.partition("Examples:")[2]


@pytest.mark.parametrize(
    "words",
    [
        *(("model", verb) for verb in ("list", "get", "describe", "alias", "rollback", "delete")),
        *(("route", verb) for verb in ("get", "set", "canary", "history")),
        *(("data", verb) for verb in ("head", "describe", "schema")),
        *(("feedback", verb) for verb in ("outcomes", "drift", "retrain", "promote", "decisions")),
    ],
)
def test_every_verb_has_help_with_an_example(words: tuple[str, str], capsys: Capture) -> None:
    assert run([*words, "--help"]) == 0
    assert f"orrery {words[0]} {words[1]}" in capsys.readouterr().out.partition("Examples:")[2]


def test_errors_have_their_exit_codes_and_no_traceback(capsys: Capture) -> None:
    assert run(["data", "head", "none.csv"]) == 3
    told = capsys.readouterr().err
    assert told.startswith("orrery: ")
    assert "none.csv" in told
    assert "Traceback" not in told
    assert run(["model", "get", "models:/nobody"]) == 4
    for command in ("check", "plan", "run"):
        assert run([command, "none.yaml"]) == 4


def test_the_readme_and_the_help_agree_on_exit_codes(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    told = re.findall(r"(\d+) ([\w ]+\w)", capsys.readouterr().out.partition("Exit codes:")[2])
    readme = (
        (Path(__file__).parents[2] / "README.md").read_text().partition("Exit codes:")[2].partition("##")[0]
    )
    assert told == [
        ("0", "good"), ("1", "failed"), ("2", "wrong use"), ("3", "wrong data"), ("4", "not found"),
        ("130", "interrupted"),
    ]  # fmt: skip
    assert re.findall(r"(\d+) ([\w ]+\w)", " ".join(readme.split())) == told
    assert "no such model or flow file" in readme


def test_only_public_names_are_listed() -> None:
    assert set(dir(orrery)) == {*orrery.__all__}
    assert not {"Any", "importlib", "annotations"} & set(dir(orrery))


def test_errors_as_json(capsys: Capture) -> None:
    assert run(["data", "head", "none.csv", "--output", "json"]) == 3
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["slug"] == "orrery.errors/source"
    assert "none.csv" in error["message"]


def test_debug_shows_where(capsys: Capture) -> None:
    assert run(["data", "head", "none.csv", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    lines = "\n".join(str(i) for i in range(200_000))
    (tmp_path / "rows.csv").write_text(f"a\n{lines}\n")
    command = f"{sys.executable} -m orrery.cli.main data head rows.csv -n 200000 --output json | head -n 2"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("code", ["import orrery", "import orrery.cli.main as m; m.run(['--help'])"])
def test_nothing_heavy_is_loaded(code: str) -> None:
    told = f"{code}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    heavy = {"torch", "pandas", "pyspark", "ray", "pyarrow", "duckdb", "pydantic", "numpy", "typer", "rich"}
    assert not loaded & heavy


def test_a_terminal_of_ascii_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("größe,名\n1,x\n", encoding="utf-8")
    words = [sys.executable, "-m", "orrery.cli.main", "data", "head", "rows.csv"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"gr??e" in ran.stdout
