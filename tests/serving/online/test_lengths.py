"""Sounds and videos that last too long are refused by their headers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.media import clip

from orrery.data.codecs import audio
from orrery.errors import BadRowError, TooLargeError
from orrery.schema import Kind
from orrery.serving.online.lengths import check_seconds


def test_all_of_a_request_together_have_a_bound() -> None:
    sound = audio.encode(np.zeros((1, 8000), np.float32), 8000)
    film = clip(200, 16, 16, 0.5)
    columns = [("call", Kind.AUDIO, [sound, None, sound]), ("film", Kind.VIDEO, [film])]
    check_seconds(columns, 3.0)
    with pytest.raises(TooLargeError, match="more than the 2 seconds"):
        check_seconds(columns, 2.0)


def test_a_header_that_lies_about_nothing_is_pointed_at() -> None:
    with pytest.raises(BadRowError) as error:
        check_seconds([("call", Kind.AUDIO, [None, b"no sound"])], 1.0)
    assert (error.value.column, error.value.row) == ("call", 1)
