"""A folder of sounds: the sub-folder is the label."""

from __future__ import annotations

from typing import Any, ClassVar

from orrery.data.codecs import audio
from orrery.data.sources.media import MediaFolder
from orrery.schema import Kind


class Sounds(MediaFolder):
    """Sounds in a folder and its sub-folders: ``audio``, ``label``, ``path``, ``duration_s``, ``rate``.

    ``rate`` is in samples per second, as stored.
    """

    column = "audio"
    kind = Kind.AUDIO
    more: ClassVar[dict[str, str]] = {"duration_s": "double", "rate": "int64"}
    endings = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")

    def examine(self, data: bytes, whole: bool) -> tuple[Any, ...]:
        """Duration and rate. Raises BadRowError."""
        sound = audio.info(data)
        if whole:
            audio.decode(data, rate=max(sound.rate, audio.LEAST_RATE))
        return sound.duration_s, sound.rate
