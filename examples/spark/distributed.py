"""Which points lie above a line: a training script in PyTorch, as they are everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

import orrery as ory

EPOCHS, BATCH = 5, 100


def batches(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One epoch, mixed."""
    order = np.random.default_rng(0).permutation(len(rows["x"]))
    for low in range(0, len(order), BATCH):
        yield {name: column[order[low : low + BATCH]] for name, column in rows.items()}


def train(rows: Any) -> float:
    """Learn; the share of rows that are answered rightly at the end."""
    torch.manual_seed(0)
    net = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1)))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    right = seen = 0
    for epoch in range(EPOCHS):
        for batch in rows.batches(BATCH):
            x = torch.stack([torch.as_tensor(batch["x"]), torch.as_tensor(batch["z"])], 1).float()
            y = torch.as_tensor(batch["y"]).float()
            scores = net(x)[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(scores, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch == EPOCHS - 1:
                right += int(((scores > 0) == (y > 0.5)).sum())
                seen += len(y)
    return right / seen


if __name__ == "__main__":
    points = ory.read("spark://", query="select * from parquet.`points.parquet`")
    print(ory.gang(train, workers=2, table=points, engine="spark"))
