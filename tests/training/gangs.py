"""What the tests of gangs train on: the handwritten digits of scikit-learn, 8 by 8 dots, as pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def digits(rows: int = 600) -> list[dict[str, Any]]:
    """Rows of a PNG and its label."""
    found: Any = load_digits()
    return [
        {"image": png(picture), "label": str(label)}
        for picture, label in zip(found.images[:rows], found.target[:rows], strict=True)
    ]


def png(picture: Any) -> bytes:
    """An 8 by 8 picture of dots from 0 to 16."""
    out = io.BytesIO()
    Image.fromarray(np.minimum(picture * 16, 255).astype(np.uint8)).save(out, format="PNG")
    return out.getvalue()
