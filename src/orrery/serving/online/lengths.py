"""How long the sounds and videos of a request are, before one of them is unpacked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orrery.data.codecs import audio, video
from orrery.errors import BadRowError, TooLargeError
from orrery.schema import Kind

SECONDS_OF: Mapping[Kind, Callable[[bytes], float]] = {
    Kind.AUDIO: audio.seconds_of,
    Kind.VIDEO: video.seconds_of,
}
"""Kinds of columns that have a length, and how it is read from their bytes."""


def check_seconds(columns: Sequence[tuple[str, Kind, Sequence[object]]], limit_s: float) -> None:
    """Whether all of them together are short enough, by their headers.

    Raises TooLargeError; BadRowError, with column and row, for bytes that do not tell.
    """
    seconds = 0.0
    for name, kind, values in columns:
        for row, value in enumerate(values):
            if not isinstance(value, bytes):
                continue
            try:
                seconds += SECONDS_OF[kind](value)
            except BadRowError as error:
                error.column, error.row = name, row
                raise
            if seconds > limit_s:
                raise TooLargeError(
                    f"The sounds and videos have more than the {limit_s:g} seconds that the service takes "
                    "at once.",
                    hint="Send fewer or shorter ones at once.",
                )
