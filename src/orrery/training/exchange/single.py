"""The exchange of one worker: there is nobody to agree with."""

from __future__ import annotations

from torch import nn


class Single:
    """Does nothing.

    >>> Single().total(2.5)
    2.5
    """

    def begin(self, module: nn.Module) -> None:
        """Nothing to share."""

    def total(self, value: float) -> float:
        """The value itself."""
        return value

    def before_step(self, module: nn.Module) -> None:
        """Nothing to add."""

    def after_step(self, module: nn.Module) -> None:
        """Nothing to average."""
