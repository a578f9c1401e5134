"""Checkpoints: everything a run needs to go on, in one safetensors file that is replaced as a whole.

Tensors lie in the file as such; the rest is JSON in its header. There is never half a checkpoint: a new one
is written beside the old, then takes its name.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from orrery.errors import FitError
from orrery.training.events import Checkpoint, Observer
from orrery.training.world import World

NAME = "checkpoint.safetensors"

_SHARE = 20  # times as long as a checkpoint takes, at least, until the next


class Saver:
    """Writes a run's checkpoints now and then, and finds them again.

    Only the first worker writes; unless workers are ``apart``, with optimizers of their own. Then each writes
    its own file, named by the step, and the first worker's comes last: what it names is there.
    """

    def __init__(
        self,
        world: World,
        key: str,
        every_s: float,
        observe: Observer,
        meet: Callable[[], object] | None = None,
    ) -> None:
        self.folder = world.folder
        self.rank = world.rank
        self.size = world.size
        self.meet = meet
        self.keep = world.keep
        self.others = range(1, world.size) if meet is not None else range(0)
        self.writes = world.folder is not None and world.rank == 0
        self.key = key
        self.every_s = every_s
        self.observe = observe
        self._next = time.monotonic() + every_s

    def due(self) -> bool:
        """Whether enough time has gone by since the last one."""
        return self.writes and time.monotonic() >= self._next

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, and tell the observer. Nothing where there is no folder."""
        if self.folder is None:
            return
        if self.meet is not None:
            self._save_own(self.folder, step, tensors, state)
        if not self.writes:
            return
        began = time.monotonic()
        path = write(self.folder, tensors, {"key": self.key, "size": self.size, "state": dict(state)})
        if self.keep is not None:
            self.keep(path, [_own_name(rank, step) for rank in self.others])
        now = time.monotonic()
        self._next = now + (max(self.every_s, _SHARE * (now - began)) if self.every_s else 0.0)
        self.observe(Checkpoint(step, str(path)))

    def restore(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The run's own checkpoint. Raises FitError where the folder holds another run's."""
        found = read(self.folder) if self.folder is not None else None
        if found is None or self.folder is None:
            return None
        tensors, values = found
        if values.get("key") != self.key:
            raise FitError(
                f"The folder {self.folder} holds a checkpoint of another run: other settings or other rows.",
                hint="Choose another folder, or delete this one to begin again.",
            )
        # Of another number of workers each takes the first one's optimizer; their weights were equal.
        if self.meet is None or not self.rank or values.get("size", self.size) != self.size:
            return tensors, values["state"]
        own = read(self.folder, _own_name(self.rank, values["state"]["step"]))
        if own is None:
            raise FitError(f"The checkpoint in {self.folder} lacks the part of worker {self.rank}.")
        return own[0], own[1]["state"]

    def _save_own(self, folder: Path, step: int, tensors: Mapping[str, Tensor], state: Any) -> None:
        assert self.meet is not None
        if self.rank:
            before = sorted(folder.glob(_own_name(self.rank, "*")), key=lambda path: path.stat().st_mtime)
            path = write(folder, tensors, {"key": self.key, "state": dict(state)}, _own_name(self.rank, step))
            if self.keep is not None:
                self.keep(path, [])
            for old in before[:-1]:  # the first worker's may still name the last of them
                old.unlink(missing_ok=True)
        self.meet()


def _own_name(rank: int, step: int | str) -> str:
    return f"checkpoint-{rank}-{step}.safetensors"


def write(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], name: str = NAME) -> Path:
    """Replace the folder's checkpoint. Raises FitError where the folder cannot be written."""
    path = folder / name
    beside = path.with_suffix(".writing")
    apart = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(save(apart, metadata={"state": json.dumps(state)}))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise FitError(
            f"The checkpoint {path} cannot be written: {error.strerror or error}.",
            hint="Make room, or choose another place with folder= or ORRERY_HOME.",
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return path


def read(folder: Path, name: str = NAME) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The folder's checkpoint, or None where there is none yet. Raises FitError for an unreadable one."""
    path = folder / name
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # not a mapping
            return tensors, json.loads(file.metadata()["state"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FitError(
            f"The checkpoint {path} cannot be read: {error}.", hint="Delete it to begin again."
        ) from None


def pack(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Named groups of tensors as one flat mapping, ``group/name``.

    >>> import torch
    >>> unpack(pack({"weights": {"a": torch.ones(1)}, "best": {}}), "weights")
    {'a': tensor([1.])}
    """
    return {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}


def unpack(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    """One group again."""
    prefix = f"{group}/"
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
