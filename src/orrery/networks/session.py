"""ONNX Runtime sessions, opened in one way: one thread, no spinning, nothing but the bytes that are given.

All sessions of a process share one arena, which takes at most half of the machine's memory: two small
weights that are broadcast against each other may ask for a terabyte, and then get an error.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from orrery.errors import ModelFormatError
from orrery.networks.graphcheck import check_graph

_ASSUMED_BYTES = 16 << 30  # of memory, where the machine does not say


def open_session(content: bytes) -> Any:
    """A session on the CPU. The bytes may be a stranger's: what is not whole and of itself is refused.

    Raises ModelFormatError.
    """
    check_graph(content)
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 4  # what is wrong is raised, not printed
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen, none of them public
        raise ModelFormatError(f"The ONNX network cannot be read: {_reason(error)}.") from None


@functools.cache
def _bound_memory() -> None:
    """Register the one arena. Once per process."""
    known = getattr(os, "sysconf_names", {})
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in known else 0
    arena = onnxruntime.OrtArenaCfg({"max_mem": (whole if whole > 0 else _ASSUMED_BYTES) // 2})
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, arena)


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
