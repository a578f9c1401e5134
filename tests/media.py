"""Small sounds and clips, made here: nothing is downloaded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tone(hertz: float, seconds: float = 0.5, rate: int = 8000, seed: int = 0) -> NDArray[np.float32]:
    """A sine with some noise, float32 [t]."""
    noise = np.random.default_rng(seed).normal(0, 0.02, round(seconds * rate))
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(len(noise)) / rate)
    return (wave + noise).astype(np.float32)


def clip(
    shade: int, width: int = 32, height: int = 16, seconds: float = 1.0, form: str = "avi", rate: int = 10
) -> bytes:
    """A video whose frames grow brighter up to a shade; MPEG-4, a key frame every 12."""
    import av  # only where a test asks for video

    file = io.BytesIO()
    container: Any
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 12
        count = round(seconds * rate)
        for i in range(count):
            pixels = np.full((height, width, 3), shade * (i + 1) // count, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
