"""The exchange of one worker: there is nobody to agree with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from orrery.training.exchange.traffic import Traffic


class Single:
    """Does nothing.

    >>> Single().totals([2.5])
    [2.5]
    """

    lockstep = apart = False

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.state: dict[str, Tensor] = {}

    def begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Nothing to share."""

    def totals(self, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)

    def before_step(self, module: nn.Module, told: Sequence[float], last: bool) -> list[float]:
        """Nothing to add."""
        return list(told)

    def after_step(self, module: nn.Module) -> None:
        """Nothing to average."""

    def end(self, module: nn.Module) -> nn.Module:
        """The module itself."""
        return module
