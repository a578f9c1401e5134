"""The gallery: the first pictures, the surest mistakes, every row counted, no markup from rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orrery.data.codecs.image import encode_png
from orrery.data.table import read
from orrery.errors import SchemaError, SettingsError, UnknownColumnError
from orrery.evaluation.gallery import gallery

PICTURE = encode_png(np.full((1, 4, 4), 90, np.uint8))


def row(truth: str | None, cat: float, image: bytes | None = PICTURE) -> dict[str, Any]:
    said = "cat" if cat >= 0.5 else "<dog>"
    return {
        "image": image,
        "kind": truth,
        "prediction": said,
        "probabilities": {"cat": cat, "<dog>": 1 - cat},
    }


ROWS = [row("cat", 0.9), row("<dog>", 0.6), row("cat", 0.2), row("<dog>", 0.99), row(None, 0.7, None)]


def test_every_row_is_counted_and_the_surest_mistakes_come_first() -> None:
    found = gallery(read(ROWS), truth="kind", most=2)
    assert (found.rows, found.judged, found.wrong) == (5, 4, 3)
    assert [shown.likely[0] for shown in found.first] == [("cat", 0.9), ("cat", 0.6)]
    assert [shown.likely[0][1] for shown in found.mistakes] == [0.99, 0.8]


def test_the_page_is_one_safe_file_in_two_languages() -> None:
    path = gallery(read(ROWS), truth="kind").save("gallery.html")
    text = path.read_text("utf-8")
    assert text.count("data:image/png;base64,") == 4 + 3
    assert "<dog>" not in text
    assert "&lt;dog&gt;" in text
    for said in ("25.0\xa0%", "最有把握的错误", "Surest mistakes", "无图片"):
        assert said in text
    assert "http://" not in text
    assert 'lang="zh"' in gallery(read(ROWS), truth="kind")._repr_html_()


def test_without_the_truth_nothing_is_wrong() -> None:
    found = gallery(read(ROWS))
    assert (found.judged, found.wrong, found.mistakes) == (0, 0, [])
    assert "Surest" not in found.to_html()


def test_what_cannot_be_shown_is_told() -> None:
    with pytest.raises(UnknownColumnError, match="photo"):
        gallery(read(ROWS), image="photo")
    with pytest.raises(SchemaError, match="probabilities"):
        gallery(read([{"image": b"x"}]))
    with pytest.raises(SettingsError, match="at least 1"):
        gallery(read(ROWS), most=0)
    with pytest.raises(SettingsError, match=r"\.html"):
        gallery(read(ROWS)).save(Path("gallery.pdf"))
