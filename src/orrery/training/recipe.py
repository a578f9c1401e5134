"""How to descend: the settings of the training loop, and the learning rate they give at each step."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from orrery.spec import Spec


class Recipe(Spec):
    """Settings of a training run.

    >>> recipe = Recipe(learning_rate=1.0, schedule="linear", warmup=0.5)
    >>> [learning_rate(recipe, step, 4) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    """Rows per step, over all workers."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0)
    """The highest one."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up; to zero, or not at all."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of all steps in which it rises."""
    weight_decay: float = Field(default=0.01, ge=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)
    """Keep a running mean of the weights, each step's with weight ``1 - averaging``; 0 keeps none."""
    clip_norm: float = Field(default=1.0, ge=0)
    """The longest gradient; a longer one is shortened. 0 leaves all as they are."""
    accumulate: int = Field(default=1, ge=1)
    """Parts in which a batch goes through the network, where a whole one does not fit into memory."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation loss; None runs all epochs."""
    mixed_precision: bool = True
    """Compute in bfloat16 where the device has it (GPUs do; on a CPU it changes nothing)."""
    compile: bool = False
    """Let ``torch.compile`` rewrite the network: minutes at first, quicker steps afterwards."""
    checkpoint_s: float = Field(default=5.0, ge=0)
    """Seconds between checkpoints, at least; they never take more than a twentieth of the time."""


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of one step, counted from 0, of so many: a pure function, so there is no state to keep."""
    rising = round(recipe.warmup * steps)
    if step < rising:
        return recipe.learning_rate * (step + 1) / rising
    left = 1 - (step - rising) / max(steps - rising, 1)
    shape = {"cosine": 0.5 - 0.5 * math.cos(math.pi * left), "linear": left, "constant": 1.0}
    return recipe.learning_rate * shape[recipe.schedule]
