"""ONNX Runtime sessions, opened in one way: one thread, no spinning, nothing but the bytes that are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from orrery.errors import ModelFormatError

_EXTERNAL = b"\x0a\x08location"  # the key by which an ONNX tensor names a file outside


def open_session(content: bytes) -> Any:
    """A session on the CPU. The bytes may be a stranger's: what is not whole and of itself is refused.

    Raises ModelFormatError.
    """
    if _EXTERNAL in content:
        raise ModelFormatError("The ONNX network refers to files outside of itself.", hint="Do not trust it.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what is wrong is raised, not printed
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen, none of them public
        raise ModelFormatError(f"The ONNX network cannot be read: {_reason(error)}.") from None


def run(session: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The scores [n, width]; arrays that the network did not use are left out. Raises ModelFormatError."""
    asked = session.get_inputs()
    if len(asked) != len(arrays):
        arrays = {given.name: arrays[given.name] for given in asked}
    try:
        return session.run(["scores"], arrays)[0]
    except Exception as error:
        raise ModelFormatError(f"The ONNX network cannot answer: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
