"""One class of several: cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


class CategoryDecoder:
    """Scores are logits, one per class; truth is the class's position.

    >>> decoder = CategoryDecoder()
    >>> decoder.predict(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def truth(self, values: NDArray[Any]) -> Tensor:
        """int64 [n]."""
        return torch.from_numpy(values)

    def losses(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Minus the log of the true class's probability."""
        return functional.cross_entropy(scores, truth, reduction="none")

    def predict(self, scores: Tensor) -> Tensor:
        """Probabilities that add up to one."""
        return scores.softmax(1)

    def metrics(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Whether the most probable class is the true one."""
        return {"accuracy": (scores.argmax(1) == truth).float()}
