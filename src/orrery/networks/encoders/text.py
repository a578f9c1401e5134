"""Text and sets as bags of ids: the sum of their embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from orrery.features.feature import Output


class BagEncoder(nn.Module):
    """One BAG block in, [n, width] out.

    The sum is brought to one length by a norm, so that a long text weighs no more than a short one.
    Source: Joulin et al., "Bag of Tricks for Efficient Text Classification", 2016.
    """

    def __init__(self, output: Output, width: int) -> None:
        super().__init__()
        self.name = output.name
        self.width = width
        self.table = nn.Embedding(output.sizes[0], width)
        nn.init.normal_(self.table.weight, std=0.05)
        self.norm = nn.LayerNorm(width, eps=1e-3)

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, width]; an empty bag is the norm's offset."""
        ids, weights = blocks[f"{self.name}.ids"], blocks[f"{self.name}.weights"]
        rows, sizes = blocks[f"{self.name}.rows"], blocks[f"{self.name}.sizes"]
        if self.training:
            offsets = sizes.cumsum(0) - sizes
            table = self.table.weight
            summed = functional.embedding_bag(ids, table, offsets, mode="sum", per_sample_weights=weights)
        else:  # the same sum in words that an exported graph knows
            each = self.table(ids) * weights[:, None]
            nothing = torch.zeros(sizes.shape[0], self.width, dtype=each.dtype, device=each.device)
            summed = nothing.scatter_add(0, rows[:, None].expand(-1, self.width), each)
        normed: Tensor = self.norm(summed)
        return normed
