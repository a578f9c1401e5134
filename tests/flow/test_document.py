from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.variables import expand
from orrery.errors import FlowCheckError, FlowError, SettingsError
from orrery.flow.document import MAX_BYTES, parse_document, read_document, write_yaml


def test_lines_of_values() -> None:
    document = parse_document("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n", "f.yaml")
    assert document.values == {"a": {"b": 1, "c": ["x", {"y": 2}]}}
    assert document.where("a/b") == "f.yaml:2"
    assert document.where("a/c/1/y") == "f.yaml:5"


def test_the_line_of_something_absent_is_that_of_what_holds_it() -> None:
    document = parse_document("a:\n  b: 1\n", "f.yaml")
    assert document.where("a/b/c/d") == "f.yaml:2"
    assert document.where("nothing") == "f.yaml:1"


def test_broken_yaml_names_the_line() -> None:
    with pytest.raises(FlowCheckError, match=r"f.yaml:3: This is not YAML"):
        parse_document("a: 1\nb: [1, 2\n", "f.yaml")


def test_a_key_written_twice() -> None:
    with pytest.raises(FlowCheckError, match=r"f.yaml:3: The key 'a' is written twice"):
        parse_document("a: 1\nb: 2\na: 3\n", "f.yaml")


_BOMB = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (_BOMB, 2),
        ("b: 1\na: &a [*a]\n", 2),
        ("b: 1\na: " + "[" * 5000 + "]" * 5000, 2),
        ("{a: " * 3000 + "1" + "}" * 3000, 1),
        ("b: 1\na: " + "9" * 10_000, 2),
        ("b: 1\na: " + ":".join(["59"] * 20_000), 2),
        ("b: 1\na: 2024-99-99\n", 2),
        ("b: 1\na: !!timestamp nonsense\n", 2),
        ("b: 1\na: !!bool maybe\n", 2),
        ("b: 1\na: !!int ''\n", 2),
        ("b: 1\na: !!float x\n", 2),
    ],
)
def test_yaml_that_would_hang_or_break_the_reader(text: str, line: int) -> None:
    with pytest.raises(FlowCheckError, match=rf"^f.yaml:{line}: This is not YAML"):
        parse_document(text, "f.yaml")


def test_a_value_used_twice_is_written_twice() -> None:
    shared = ["a", "b"]
    text = write_yaml({"x": shared, "y": shared})
    assert parse_document(text).values == {"x": ["a", "b"], "y": ["a", "b"]}


def test_tags_that_build_objects_are_refused() -> None:
    with pytest.raises(FlowCheckError, match="not YAML"):
        parse_document("a: !!python/object/apply:os.system ['true']\n")


def test_absent_and_absurd_files(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="There is no file"):
        read_document(tmp_path / "none.yaml")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(FlowError, match="that is not a flow"):
        read_document(large)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(FlowError, match="cannot be read"):
        read_document(binary)


def test_variables() -> None:
    environment = {"PLACE": "/data"}
    assert expand("${PLACE}/a", environment) == "/data/a"
    assert expand("${OTHER:-x}", environment) == "x"
    assert expand("$${PLACE}", environment) == "${PLACE}"
    assert expand(["${PLACE}", 3, None], environment) == ["/data", 3, None]
    with pytest.raises(SettingsError, match="'OTHER' is not set"):
        expand("${OTHER}", environment)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@given(plain)
def test_what_is_written_is_read_again(value: object) -> None:
    assert parse_document(write_yaml({"a": value})).values == {"a": value}
