"""A number, or a vector of them: squared error in units of the target's own spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class NumberDecoder:
    """Scores are standardised values, one per position; ``mean`` and ``spread`` lead back.

    >>> decoder = NumberDecoder.fit(np.array([1.0, 3.0]))
    >>> decoder.truth(np.array([5.0])), decoder.predict(torch.tensor([[3.0]]))
    (tensor([[3.]]), tensor([[5.]]))
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fit(cls, values: NDArray[Any]) -> Self:
        """Mean and standard deviation of each position, over the training rows."""
        columns = values.reshape(len(values), -1).astype(np.float64)
        spread = columns.std(0)
        return cls(columns.mean(0), np.where(spread > 0, spread, 1.0))

    def truth(self, values: NDArray[Any]) -> Tensor:
        """float32 [n, w], standardised."""
        columns = values.reshape(len(values), -1)
        return torch.from_numpy(((columns - self.mean) / self.spread).astype(np.float32))

    def losses(self, scores: Tensor, truth: Tensor) -> Tensor:
        """The mean over positions of the squared error."""
        return (scores - truth).square().mean(1)

    def predict(self, scores: Tensor) -> Tensor:
        """Values in the target's unit."""
        scale = torch.tensor(self.spread, dtype=scores.dtype, device=scores.device)
        return scores * scale + torch.tensor(self.mean, dtype=scores.dtype, device=scores.device)

    def metrics(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Nothing but the loss."""
        return {}
