"""The models that are served, and 64 bodies that ask each of them, a line per body."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import orrery as ory
from benchmarks.predict import rows

_BODIES = 64


def small_network(folder: Path) -> Path:
    """A vector of 30 numbers, two classes; about as large as the bare one."""
    x = np.random.default_rng(1).normal(size=(2_000, 30)).round(4)
    data = [{"x": row.tolist(), "y": "ab"[int(row[0] > 0)]} for row in x]
    return ory.fit(data, "y", learner="network", width=64, depth=2, epochs=2, progress=False).save(
        folder / "small"
    )


def vectors(folder: Path) -> Path:
    """Bodies for it, as the Open Inference Protocol has them."""
    x = np.random.default_rng(1).normal(size=(_BODIES, 30)).round(4)
    tensors = [{"name": "x", "shape": [1, 30], "datatype": "FP32", "data": row.tolist()} for row in x]
    return _written(folder / "vectors", [{"inputs": [tensor]} for tensor in tensors])


def mixed(folder: Path, learner: str) -> tuple[Path, Path]:
    """20 numbers, 14 categories, 3 dates, 3 texts, by a learner; and bodies of raw rows."""
    data = rows()
    settings: dict[str, Any] = {"epochs": 2} if learner == "network" else {}
    model = ory.fit(data, "y", learner=learner, progress=False, **settings).save(folder / learner)
    plain = [
        {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items() if k != "y"}
        for row in data[:_BODIES]
    ]
    return model, _written(folder / f"{learner}.rows", [{"rows": [row]} for row in plain])


def digits(folder: Path) -> tuple[Path, Path]:
    """Pictures of 8 by 8 with a bright side, as PNG; and bodies of raw rows."""
    draw = np.random.default_rng(2)
    data = [{"image": _png(draw, bright), "label": bright} for bright in draw.integers(0, 2, 300).tolist()]
    model = ory.fit(data, "label", learner="network", epochs=1, progress=False).save(folder / "digits")
    texts = [base64.b64encode(row["image"]).decode() for row in data[:_BODIES]]
    return model, _written(folder / "digits.rows", [{"rows": [{"image": text}]} for text in texts])


def _png(draw: np.random.Generator, bright: int) -> bytes:
    from PIL import Image

    pixels = draw.integers(0, 100, (8, 8)).astype(np.uint8)
    pixels[:, 4 * bright : 4 * bright + 4] += 100
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def export(path: Path) -> None:
    """The same small network, bare: 30 -> 64 -> 32 -> 2."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2), nn.Softmax(1)
    ).eval()
    batch = torch.export.Dim("n")
    torch.onnx.export(
        net, (torch.zeros(2, 30),), path, dynamic_shapes=({0: batch},), dynamo=True, verbose=False
    )


def _written(file: Path, bodies: Sequence[dict[str, Any]]) -> Path:
    file.write_text("\n".join(json.dumps(body, separators=(",", ":")) for body in bodies))
    return file
