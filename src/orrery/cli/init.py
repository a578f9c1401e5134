"""``orrery init``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import orrery
from orrery.cli.options import Output, app_of
from orrery.cli.output import Format, show, tell
from orrery.errors import SettingsError, did_you_mean, listing
from orrery.flow.schema import flow_schema


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new folder.")],
    example: Annotated[str, typer.Option(help="Which example to begin with.")] = "digits",
    output: Output = Format.TABLE,
) -> None:
    """Make a new project: a flow that runs, its data, and a schema for your editor.

    Examples:
      orrery init my-digits && cd my-digits && orrery run
    """
    source = find_example(example)
    target = Path(name)
    if target.exists():
        raise SettingsError(f"{name!r} is there already.", hint="Name a new folder.")
    unfinished = target.with_name(f".{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(
        source, unfinished, ignore=shutil.ignore_patterns("__pycache__", ".orrery", "*.db", "*.html")
    )
    (unfinished / "flow.schema.json").write_text(json.dumps(flow_schema(), indent=1, ensure_ascii=False))
    unfinished.rename(target)
    if (target / "prepare.py").exists():
        prepare(target)
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    steps = [f"cd {name}", "orrery run"]
    text = f"Made {name} with {listing(files)}.\nNow:\n" + "\n".join(f"  {step}" for step in steps)
    show({"folder": name, "files": files, "next": steps}, output, text=text)


def prepare(folder: Path) -> None:
    """Let an example make its data: it ships with Orrery, and is run as its own program."""
    done = subprocess.run([sys.executable, "prepare.py"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SettingsError(
            f"{str(folder)!r} is made, but its data is not: {done.stderr.strip().splitlines()[-1]}.",
            hint="Install what is missing (orrery doctor), then: python prepare.py",
        )
    tell(done.stdout.strip())


def find_example(name: str) -> Path:
    """The folder of an example: in the installed package, or beside the sources of a checkout."""
    package = Path(orrery.__file__).parent
    places = [package / "examples", package.parents[1] / "examples"]
    known = sorted(
        p.name for place in places if place.is_dir() for p in place.iterdir() if (p / "flow.yaml").exists()
    )
    for place in places:
        if name in known and (place / name).is_dir():
            return place / name
    raise SettingsError(
        f"There is no example {name!r}. There are {listing(known)}.", hint=did_you_mean(name, known)
    )


app = app_of(init)
