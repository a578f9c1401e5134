"""A training run that the tests kill: pictures and numbers, dropout, augmentation, a running mean.

``python killed.py FOLDER STEPS_FILE``: checkpoints go to FOLDER after every step, STEPS_FILE says how many
steps are done; at the end the hash of the weights is printed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.learners.network import Network
from orrery.schema import Kind
from orrery.training.events import Event, Started, Step
from orrery.training.feed import Feed
from orrery.training.recipe import Recipe
from orrery.training.world import World


def make_feed() -> Feed:
    """80 rows and 16 held out; 5 batches of 18 rows make an epoch, the last is short."""
    chance = np.random.default_rng(1)
    pictures = chance.integers(0, 256, (96, 1, 8, 8), dtype=np.uint8)
    numbers = chance.standard_normal((96, 3))
    truth = (pictures[:, 0, :4].mean((1, 2)) > pictures[:, 0, 4:].mean((1, 2))).astype(np.int64)
    outputs = (
        Output(name="image:i", role=Role.TENSOR, shape=(1, 8, 8), dtype="uint8", mean=(127.0,), std=(74.0,)),
        Output(name="number:n", role=Role.NUMBER, width=3),
    )
    target = Target(name="y", kind=Kind.CATEGORY, type="bool", labels=(False, True), width=2)
    whole = Feed.of(outputs, target, {"image:i": pictures, "number:n": numbers}, truth, seed=5)
    return whole.subset(np.arange(80), np.arange(80, 96))


def say(line: str) -> None:
    """One line, at once: the process may be killed at any moment."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(folder: str, steps_file: str) -> None:
    """Train, or go on training."""
    torch.set_num_threads(1)
    steps = Path(steps_file)

    def observe(event: Event) -> None:
        if isinstance(event, Started):
            say(f"resumed at {event.resumed_at_step}")
        elif isinstance(event, Step):
            steps.write_text(str(event.step))

    recipe = Recipe(epochs=8, batch_size=18, averaging=0.9, checkpoint_s=0.0)
    network = Network(width=16, depth=1, dropout=0.3, recipe=recipe)
    trained = network.fit(make_feed(), World(seed=5, folder=Path(folder)), observe)
    say(hashlib.sha256(trained.files()["weights.safetensors"]).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
