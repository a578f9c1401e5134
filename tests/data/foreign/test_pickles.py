"""A pickle is read as text: whatever it asks for, nothing is imported and nothing runs."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.foreign.pickles import Made, Name, parsed
from orrery.errors import SourceError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("import pathlib; pathlib.Path('boom').touch()",))


@given(PLAIN, st.integers(3, 5))
def test_plain_values_are_what_pickle_gives(value: Any, protocol: int) -> None:
    assert parsed(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_only_noted(protocol: int) -> None:
    found = parsed(pickle.dumps([Bomb()], protocol))
    assert not Path("boom").exists()
    assert isinstance(found[0], Made)
    assert found[0].of.name == "exec"
    assert pickle.loads(pickle.dumps(Bomb(), protocol)) is None
    assert Path("boom").exists()  # so the bomb was one


@pytest.mark.parametrize("protocol", range(6))
def test_objects_keep_their_state_and_items(protocol: int) -> None:
    error = pickle.dumps({"a": OrderedDict(b=1), "path": Path("x")}, protocol)
    found = parsed(error)
    assert found["a"].of == Name("collections", "OrderedDict")
    assert found["a"].items == {"b": 1}
    assert found["path"].arguments == ("x",)


def test_a_module_that_is_named_is_not_imported() -> None:
    assert "antigravity" not in sys.modules
    assert parsed(b"cantigravity\nfly\n.") == Name("antigravity", "fly")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04",
        b"\x80\x04.",
        b"garbage",
        pickle.dumps([1, 2, 3])[:-3],
        b"Pperson\n.",  # a persistent number
        b"\x82\x01.",  # an extension code
        b"I1\nI2\nb.",  # a state of a number
        b"(",
        b"h\x07.",
        b"N" * 2_000_000 + b".",
        b"\x00" * ((16 << 20) + 1),
    ],
)
def test_what_is_broken_or_reaches_outside_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match="pickle"):
        parsed(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(SourceError):
        parsed(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}" + b")" + b"\x85" * 900_000 + b"K\x01s.",  # a tuple in a tuple in … as a key
        b"\x80\x02}" + b")" + b"2\x86" * 60 + b"K\x01s.",  # twice the last, sixty times, as a key
        b"\x80\x02" + b")" + b"\x85" * 900_000 + b".",
        b"\x80\x02}" + b")" + b"2\x86" * 60 + b"2\x93.",  # as the name of a class
        b"\x80\x02(" + b"N" * 100_000 + b"lq\x00" + b"h\x00" + b"2R" * 400_000 + b".",  # copied by each call
        b"\x80\x02}\x8b\x00\x00\x10\x00" + b"\x01" * (1 << 20) + b"K\x01s.",  # a number of a million bytes
    ],
)
def test_a_pickle_that_grows_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match="cannot be understood"):
        parsed(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    with suppress(SourceError):
        parsed(b"\x80\x04" + data)
