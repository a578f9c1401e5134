from __future__ import annotations

import torch
from torch import nn

from orrery.training import threads
from orrery.training.threads import threads_that_pay, work


def test_work_counts_layers_by_what_they_give() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3))
    assert work(module, torch.zeros(7, 2, 5, 5)) == 2 * 7 * (4 * 25 * 2 * 9 + 3 * 100)  # type: ignore[arg-type]
    assert not any(layer._forward_hooks for layer in module.modules())


def test_much_work_keeps_all_threads() -> None:
    module, blocks = nn.Linear(1000, 1000), torch.zeros(600, 1000)
    assert work(module, blocks) > threads.ENOUGH  # type: ignore[arg-type]
    before = torch.get_num_threads()
    with threads_that_pay(module, blocks):  # type: ignore[arg-type]
        assert torch.get_num_threads() == before
