"""The device that is asked for is there, or the error names those that are."""

from __future__ import annotations

import pytest
import torch

import orrery as ory
from orrery.errors import SettingsError
from orrery.training.device import find_device


def test_auto_is_a_device_that_works() -> None:
    assert torch.zeros(1, device=find_device("auto")).sum() == 0


@pytest.mark.parametrize("wanted", ["cuda:99", "nonsense", "cpu:x"])
def test_an_absent_device_is_named_with_those_there_are(wanted: str) -> None:
    with pytest.raises(SettingsError, match="There are cpu"):
        find_device(wanted)


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_DEVICE", "cuda:99")
    rows = [{"x": float(i), "y": 2.0 * i} for i in range(40)]
    with pytest.raises(SettingsError, match="ORRERY_DEVICE"):
        ory.fit(rows, "y", learner="network", epochs=1)
