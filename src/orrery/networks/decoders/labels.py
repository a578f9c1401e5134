"""Any number of labels at once: a yes or no for each."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


class LabelsDecoder:
    """Scores are logits, one per label; truth is zeros and ones.

    >>> LabelsDecoder().predict(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def truth(self, values: NDArray[Any]) -> Tensor:
        """float32 [n, w]."""
        return torch.from_numpy(values).float()

    def losses(self, scores: Tensor, truth: Tensor) -> Tensor:
        """The mean over labels of minus the log of the right answer's probability."""
        return functional.binary_cross_entropy_with_logits(scores, truth, reduction="none").mean(1)

    def predict(self, scores: Tensor) -> Tensor:
        """Probabilities, each of its own."""
        return scores.sigmoid()

    def metrics(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """The share of labels that are right."""
        return {"label_accuracy": ((scores > 0) == (truth > 0.5)).float().mean(1)}
