"""What an exchange is: how the workers of a gang agree on weights, gradients and sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from orrery.training.exchange.traffic import Traffic


class Exchange(Protocol):
    """One worker's end. A loss is divided by the weight of the whole batch, so gradients are to be added."""

    lockstep: bool
    """Whether each worker has to take part in every forward pass, with no rows if need be."""
    apart: bool
    """Whether workers have optimizers of their own, so that each has to save."""
    state: dict[str, Tensor]
    """What a checkpoint has to hold besides; restored in place."""
    traffic: Traffic

    def begin(self, module: nn.Module, judged: nn.Module) -> None:
        """All workers start from the same weights. ``judged`` is the module, or its running mean."""

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sum of every worker's values, place by place."""

    def before_step(self, module: nn.Module, told: Sequence[float], last: bool) -> list[float]:
        """This worker's gradients are complete, and not used yet; the sums of what all told.

        ``told``: its part of the loss, then wishes (to stop, to save, to grow) and rows, which are summed
        when all meet. ``last``: the epoch ends here.
        """

    def after_step(self, module: nn.Module) -> None:
        """The optimizer has moved this worker's weights, and cleared the gradients."""

    def end(self, module: nn.Module) -> nn.Module:
        """Training is over: the whole module, by itself again."""
