"""Which device a network is trained on."""

from __future__ import annotations

import torch

from orrery.errors import SettingsError


def find_device(wanted: str) -> str:
    """A device that is there: ``auto`` takes a GPU where there is one. Raises SettingsError.

    >>> find_device("cpu")
    'cpu'
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"There is no device {wanted!r} here: {reason}. There are {', '.join(there)}.",
            hint="Set ORRERY_DEVICE to one of them, or to auto.",
        ) from None
    return wanted
