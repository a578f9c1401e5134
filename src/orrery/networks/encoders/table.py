"""Numbers and categories of a table: embeddings beside the numbers, then a perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from orrery.features.feature import Output, Role
from orrery.networks.perceptron import Perceptron

_WIDEST_EMBEDDING = 32


class TableEncoder(nn.Module):
    """NUMBER blocks, CODE blocks and flat TENSOR blocks in, [n, width] out.

    All codes of a block share one embedding table, so that a wide table costs one look-up. Embeddings begin
    near zero: a value that training never met then stands for nothing.
    """

    def __init__(self, outputs: Sequence[Output], width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.numbers = [output.name for output in outputs if output.role is not Role.CODE]
        self.codes = [output.name for output in outputs if output.role is Role.CODE]
        embeddings = [CodeEmbedding(output.sizes) for output in outputs if output.role is Role.CODE]
        self.embeddings = nn.ModuleList(embeddings)
        numbers = sum(
            int(np.prod(o.shape)) if o.shape else o.width for o in outputs if o.role is not Role.CODE
        )
        inputs = numbers + sum(embedding.width for embedding in embeddings)
        self.body = Perceptron(inputs, width, depth, dropout)

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, width]."""
        parts = [blocks[name].flatten(1).float() for name in self.numbers]
        parts += [embed(blocks[name]) for name, embed in zip(self.codes, self.embeddings, strict=True)]
        hidden: Tensor = self.body(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
        return hidden


class CodeEmbedding(nn.Module):
    """Codes [n, k] to [n, k * d]: one table for all k positions, each with rows of its own."""

    starts: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        each = min(_WIDEST_EMBEDDING, max(2, round(1.6 * max(sizes) ** 0.5)))
        self.width = each * len(sizes)
        self.table = nn.Embedding(sum(sizes), each)
        nn.init.normal_(self.table.weight, std=0.05)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.register_buffer("starts", torch.from_numpy(starts), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """[n, k] to [n, k * d]."""
        embedded: Tensor = self.table(codes + self.starts)
        return embedded.flatten(1)
