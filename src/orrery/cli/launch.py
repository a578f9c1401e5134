"""``orrery launch``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orrery import settings
from orrery.cli.options import app_of
from orrery.engines.find import engine_of
from orrery.engines.launch import launch as launch_command


def launch(
    command: Annotated[
        list[str], typer.Argument(metavar="SCRIPT.py [ARGS]...", help="What each worker runs, unchanged.")
    ],
    workers: Annotated[int, typer.Option(min=1, help="How many run at once.")] = 1,
    engine: Annotated[str, typer.Option(help="Where they run.")] = "local",
    logs: Annotated[Path | None, typer.Option(help="A folder for what each worker prints.")] = None,
    deadline: Annotated[float | None, typer.Option(help="Seconds until all have to be done.")] = None,
) -> None:
    """Run a PyTorch or TensorFlow script, or any command, as several workers that find each other.

    Each has torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR …) and TF_CONFIG. Lines are printed with the
    worker's number; the first failure ends all.

    Examples:
      orrery launch --workers 2 train.py -- --epochs 3
    """
    words = [command[0], *(command[2:] if command[1:2] == ["--"] else command[1:])]
    launch_command(
        words,
        engine=engine_of(engine),
        workers=workers,
        logs=logs or settings.home() / "logs" / "launch",
        show=_show,
        deadline_s=deadline,
    )


def _show(rank: int, line: str) -> None:
    sys.stdout.write(f"[{rank}] {line}\n")
    sys.stdout.flush()


app = app_of(launch)
