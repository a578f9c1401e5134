"""Tensors of which each worker holds a part, and whole ones; most are whole, and stay as they are."""

from __future__ import annotations

import sys

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor. Where workers hold parts of it, all of them have to call this.

    >>> import torch
    >>> whole(torch.ones(2))
    tensor([1., 1.])
    """
    found: Tensor = tensor.full_tensor() if _is_part(tensor) else tensor  # type: ignore[attr-defined]
    return found


def as_part(tensor: Tensor, like: Tensor) -> Tensor:
    """This worker's part of a whole tensor, where it holds a part of ``like``."""
    if not _is_part(like) or _is_part(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    given = tensor.detach().to(like.device)
    return distribute_tensor(given, like.device_mesh, like.placements)  # type: ignore[attr-defined]


def _is_part(tensor: Tensor) -> bool:
    module = sys.modules.get("torch.distributed.tensor")  # loaded by those who split tensors
    return module is not None and isinstance(tensor, module.DTensor)
