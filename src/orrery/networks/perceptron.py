"""A residual perceptron: the body of tables and of combiners."""

from __future__ import annotations

from torch import Tensor, nn


class Perceptron(nn.Module):
    """A linear map, then blocks that each add to it: ``x + W₂ drop(relu(W₁ norm(x)))``; a norm at the end.

    What is linear in the inputs passes straight through, so that a small or linear problem stays easy.
    Source: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", 2021, eq. 2 (ResNet).

    Shapes: [n, inputs] to [n, width].
    """

    def __init__(self, inputs: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.into = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_block(width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs] to [n, width]."""
        hidden: Tensor = self.into(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        normed: Tensor = self.norm(hidden)
        return normed


def _block(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.Dropout(dropout),
    )
