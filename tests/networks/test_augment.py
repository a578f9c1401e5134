from __future__ import annotations

import numpy as np
import torch

from orrery.networks.augment import Augment, uniforms

PIXELS = torch.arange(2 * 1 * 6 * 8, dtype=torch.float32).reshape(2, 1, 6, 8)


def test_chance_depends_on_seed_epoch_and_row_only() -> None:
    rows = np.array([5, 9, 2])
    together = uniforms(1, 3, rows, 4)
    assert uniforms(1, 3, rows[1:2], 4).tolist() == together[1:2].tolist()
    assert uniforms(2, 3, rows, 4).tolist() != together.tolist()
    assert uniforms(1, 4, rows, 4).tolist() != together.tolist()


def test_chances_are_spread_evenly() -> None:
    values = uniforms(0, 0, np.arange(20_000), 4)
    assert values.min() >= -1
    assert values.max() < 1
    assert np.abs(values.mean(0)).max() < 0.02
    assert np.abs(values.std(0) - 3**-0.5).max() < 0.01
    assert np.abs(np.corrcoef(values.T) - np.eye(4)).max() < 0.03


def test_pictures_change_a_little_and_in_the_same_way_again() -> None:
    augment = Augment(("p",), seed=3)
    blocks = {"p": PIXELS, "x": torch.ones(2, 1)}
    first, again = augment(blocks, np.array([0, 1]), 0), augment(blocks, np.array([0, 1]), 0)
    later = augment(blocks, np.array([0, 1]), 1)
    assert torch.equal(first["p"], again["p"])
    assert not torch.equal(first["p"], later["p"])
    assert not torch.equal(first["p"], PIXELS)
    assert first["x"] is blocks["x"]
    assert (first["p"] - PIXELS).abs().mean() < 8
    assert torch.equal(blocks["p"], PIXELS)


def test_no_strength_changes_nothing() -> None:
    changed = Augment(("p",), strength=0.0)({"p": PIXELS}, np.array([0, 1]), 0)
    assert changed["p"] is PIXELS


def test_a_turn_keeps_the_middle_of_a_wide_picture() -> None:
    picture = torch.zeros(1, 1, 21, 41)
    picture[0, 0, 10, 20] = 1.0
    for row in range(5):
        changed = Augment(("p",), strength=1e-6)({"p": picture}, np.array([row]), 0)["p"]
        torch.testing.assert_close(changed, picture, atol=1e-3, rtol=0)
