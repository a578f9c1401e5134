"""Combiner: what the encoders found, side by side, as one vector per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from orrery.networks.perceptron import Perceptron


class Combiner(nn.Module):
    """Encoders of [n, wᵢ] in, [n, width] out; a single encoder's answer passes unchanged."""

    def __init__(
        self, encoders: Sequence[nn.Module], widths: Sequence[int], width: int, dropout: float
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.width = widths[0] if len(widths) == 1 else width
        self.body = nn.Identity() if len(widths) == 1 else Perceptron(sum(widths), width, 1, dropout)

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, width]."""
        found = [encoder(blocks) for encoder in self.encoders]
        combined: Tensor = self.body(torch.cat(found, 1) if len(found) > 1 else found[0])
        return combined
