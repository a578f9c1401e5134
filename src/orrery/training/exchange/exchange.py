"""What an exchange is: how the workers of a gang agree on weights, gradients and sums."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class Exchange(Protocol):
    """One worker's end. A loss is divided by the weight of the whole batch, so gradients are to be added."""

    def begin(self, module: nn.Module) -> None:
        """All workers start from the same weights."""

    def total(self, value: float) -> float:
        """The sum of every worker's value."""

    def before_step(self, module: nn.Module) -> None:
        """This worker's gradients are complete; the optimizer has not used them yet."""

    def after_step(self, module: nn.Module) -> None:
        """The optimizer has moved this worker's weights."""
