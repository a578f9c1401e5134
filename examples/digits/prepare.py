"""Write 1,797 handwritten digits, as PNG pictures with their labels, into a SQLite database.

The pictures are those that scikit-learn ships (UCI, "Optical Recognition of Handwritten Digits"): 8 by 8 dots
of 17 greys. The same rows come out each time, in the same order.
"""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

PLACE = Path("digits.db")


def prepare(place: Path = PLACE) -> int:
    """Write the database, unless it is there; returns the number of rows."""
    if not place.exists():
        digits = load_digits()
        rows = [
            (number, picture(grey), int(label))
            for number, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True))
        ]
        unfinished = place.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        with sqlite3.connect(unfinished) as base:
            base.execute("create table digits (id integer primary key, image blob, label integer)")
            base.executemany("insert into digits values (?, ?, ?)", rows)
        base.close()
        unfinished.rename(place)
    with sqlite3.connect(place) as base:
        (count,) = base.execute("select count(*) from digits").fetchone()
    base.close()
    return int(count)


def picture(grey: np.ndarray) -> bytes:
    """One picture, 0 (paper) to 16 (ink), as a PNG of 8 bits."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(grey * 255 / 16).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    print(f"{PLACE}: {prepare():,} handwritten digits")
