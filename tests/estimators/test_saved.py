"""The saved form: whatever was cut, altered or made up gives a clear error, and nothing of it is run."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

import orrery as ory
from orrery.errors import (
    ModelError,
    ModelFormatError,
    ModelNotFoundError,
    ModelVersionError,
    ReplayError,
    SettingsError,
)
from orrery.estimators.arrowfile import read_arrow, write_arrow
from orrery.estimators.model import Model


@cache
def fitted(learner: str) -> Model:
    """A model of one number, one category with odd names, and a whole number as label."""
    rows = [{"a b": i / 9, "ca't": "xyz"[i % 3], "y": int(i > 30) + 5} for i in range(60)]
    return ory.fit(rows, "y", learner=learner)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fitted("linear").save(tmp_path / "model")


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change ``model.json``."""
    card = json.loads((folder / "model.json").read_text())
    changed = change(card)
    (folder / "model.json").write_text(json.dumps(card if changed is None else changed))


def put(folder: Path, name: str, content: bytes) -> None:
    """Write a file and list it with its true digest, as one would who knows the format."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    digest = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit(folder, lambda card: card["files"].__setitem__(name, digest))


def test_the_folder_holds_what_it_should(folder: Path) -> None:
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"model.json", "features.arrow", "example.arrow", "MLmodel", "linear.arrow"} <= names
    card = json.loads((folder / "model.json").read_text())
    assert set(card["files"]) == names - {"model.json", "MLmodel"}
    assert card["signature"]["target"]["labels"] == [5, 6]
    example = read_arrow((folder / "example.arrow").read_bytes(), "example.arrow")
    assert len(example) == 20
    assert example.column_names == ["a b", "ca't", "prediction", "probability", "probabilities"]


def test_mlflow_finds_its_way(folder: Path) -> None:
    told = yaml.safe_load((folder / "MLmodel").read_text())
    inputs = json.loads(told["signature"]["inputs"])
    assert inputs == [
        {"type": "double", "name": "a b", "required": True},
        {"type": "string", "name": "ca't", "required": True},
    ]
    assert told["flavors"]["python_function"]["loader_module"] == "orrery.estimators.pyfunc"
    from orrery.estimators.pyfunc import _load_pyfunc

    assert _load_pyfunc(str(folder)).predict({"a b": 0.1, "ca't": "x"})["prediction"] == 5
    (folder / "MLmodel").write_text("changed: by MLflow")
    Model.load(folder)


@pytest.mark.parametrize("name", ["features.arrow", "linear.arrow", "example.arrow", "model.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_file_is_told(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        half = len(content) // 2
        flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        path.write_bytes({"cut": content[:half], "flip": flipped, "empty": b""}[damage])
    if (name, damage) == ("model.json", "flip"):
        return  # one letter of a note, say, still makes a card
    with pytest.raises(ModelFormatError, match=re.escape(name)):
        Model.load(folder)


def test_an_unlisted_file_is_refused(folder: Path) -> None:
    (folder / "extra.json").write_text("{}")
    with pytest.raises(ModelFormatError, match="extra"):
        Model.load(folder)


@pytest.mark.parametrize("version", [2, 99, 0, -1, "1", None, True, 1.5])
def test_another_version_is_told(folder: Path, version: Any) -> None:
    edit(folder, lambda card: card.update(version=version))
    with pytest.raises(ModelVersionError, match="this release reads 1 to 1"):
        Model.load(folder)


CARDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no object": lambda card: [card],
    "another format": lambda card: card.update(format="mlflow"),
    "no signature": lambda card: card.pop("signature") and None,
    "wrong signature": lambda card: card.update(signature={"inputs": 3}),
    "unknown kind": lambda card: card["signature"]["target"].update(kind="spell"),
    "absurd width": lambda card: card["signature"]["target"].update(width=10**12),
    "negative width": lambda card: card["signature"]["target"].update(width=-1),
    "labels lost": lambda card: card["signature"]["target"].update(labels=[]),
    "code as a type": lambda card: card["signature"]["target"].update(type="__import__('os')"),
    "unknown predictor": lambda card: card.update(predictor="os:system"),
    "predictor of another kind": lambda card: card.update(predictor="network"),
    "metrics of text": lambda card: card.update(metrics={"a": "b"}),
    "lineage of text": lambda card: card.update(lineage="x"),
    "files of text": lambda card: card.update(files="x"),
    "digests of text": lambda card: card["files"].update({"features.arrow": "x"}),
    "other columns": lambda card: card["signature"].update(inputs={"fields": []}),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_made_up_card_is_refused(folder: Path, name: str) -> None:
    edit(folder, CARDS[name])
    with pytest.raises(ModelError):
        Model.load(folder)


@pytest.mark.parametrize("content", [b"", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000])
def test_a_card_that_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ModelFormatError):
        Model.load(folder)


class _Bomb:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["features.arrow", "linear.arrow", "example.arrow", "weights.pkl"])
def test_a_pickle_is_never_opened(tmp_path: Path, folder: Path, name: str) -> None:
    put(folder, name, pickle.dumps(_Bomb(tmp_path / "pwned")))
    with pytest.raises(ModelFormatError):
        Model.load(folder)
    assert not (tmp_path / "pwned").exists()


def test_an_estimator_of_strangers_is_data_until_it_is_asked_for(folder: Path) -> None:
    """A model that names a plug-in or a user's own module predicts; nothing is imported for it."""
    settings = {"kind": "os:system", "module": "this_would_be:run"}
    edit(folder, lambda card: card["estimator"].update(learner=settings))
    model = Model.load(folder)
    assert model.predict({"a b": 0.1, "ca't": "x"})["prediction"] == 5
    with pytest.raises(SettingsError):
        _ = model.estimator


def test_other_predictions_than_it_gave_are_told(folder: Path) -> None:
    example = read_arrow((folder / "example.arrow").read_bytes(), "example.arrow")
    rows = example.to_pylist()
    rows[3]["probabilities"] = {"5": 0.5, "6": 0.5}
    put(folder, "example.arrow", write_arrow(pa.Table.from_pylist(rows, example.schema)))
    with pytest.raises(ReplayError, match="example row 3"):
        Model.load(folder)


def test_an_example_of_other_columns_is_told(folder: Path) -> None:
    put(folder, "example.arrow", write_arrow(pa.table({"z": [1]})))
    with pytest.raises(ModelError):
        Model.load(folder)


@pytest.mark.parametrize(
    "learner", ["linear", *(pytest.param(name, marks=pytest.mark.slow) for name in ("boosted", "network"))]
)
def test_altered_bytes_with_true_digests_never_crash(tmp_path: Path, learner: str) -> None:
    """A stranger who knows the format: every load is an error of ours or a model that works."""
    folder = fitted(learner).save(tmp_path / "model")
    names = sorted(json.loads((folder / "model.json").read_text())["files"])
    script = """
import sys
from orrery.errors import OrreryError
from orrery.estimators.model import Model
for path in sys.argv[1:]:
    try:
        Model.load(path).predict({"a b": 0.5, "ca't": "y"})
        print("fine")
    except OrreryError as error:
        print(type(error).__name__)
"""
    draw, places = random.Random(7), []
    for i in range(30):
        name = names[i % len(names)]
        content = bytearray((folder / name).read_bytes())
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        place = fitted(learner).save(tmp_path / f"m{i}")
        put(place, name, bytes(content[: draw.choice([len(content), draw.randrange(len(content))])]))
        places.append(str(place))
    done = subprocess.run([sys.executable, "-c", script, *places], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == len(places)
    assert "ModelFormatError" in done.stdout


def test_a_zip_of_a_model_made_elsewhere_opens(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    assert Model.load(tmp_path / "other.zip").predict({"a b": 9.0, "ca't": "x"})["prediction"] == 6


def test_urls_that_are_no_paths_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ory\.load"):
        Model.load("models:/digits@champion")
    with pytest.raises(SettingsError, match="not a path"):
        fitted("linear").save("s3://bucket/model")
    fitted("linear").save(f"file://{tmp_path}/a%20model")
    assert Model.load(tmp_path / "a model").signature == fitted("linear").signature
    with pytest.raises(ModelNotFoundError):
        Model.load(tmp_path / "nothing")


@pytest.mark.parametrize("keep_example", [True, False])
@pytest.mark.parametrize("learner", ["linear", pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("letters", ["wxyz", "ab"])
def test_a_predictor_of_other_features_is_refused(
    tmp_path: Path, learner: str, letters: str, keep_example: bool
) -> None:
    """The same columns, learnt on rows with more or fewer categories."""
    place = fitted(learner).save(tmp_path / "model")
    rows = [{"a b": i / 9, "ca't": letters[i % len(letters)], "y": int(i > 30) + 5} for i in range(60)]
    other = ory.fit(rows, "y", learner=learner)
    put(place, "features.arrow", write_arrow(other.plan.to_arrow()))
    if not keep_example:
        (place / "example.arrow").unlink()
        edit(place, lambda card: card["files"].pop("example.arrow") and None)
    with pytest.raises(ModelFormatError, match="belongs to other features"):
        Model.load(place)


@pytest.mark.parametrize(
    "kind",
    ["show_info", "create_library_symlinks", "fixed_size_binary[2000000000]", "list<item: " * 3000 + "int8"],
    ids=lambda kind: kind[:30],
)
@pytest.mark.parametrize("where", ["input", "target"])
def test_types_that_are_none_are_refused_and_not_called(folder: Path, kind: str, where: str) -> None:
    def change(card: dict[str, Any]) -> None:
        signature = card["signature"]
        (signature["inputs"]["fields"][1] if where == "input" else signature["target"])["type"] = kind

    edit(folder, change)
    with pytest.raises(ModelFormatError):
        Model.load(folder)


def test_an_example_of_more_rows_than_ours_is_told(folder: Path) -> None:
    example = read_arrow((folder / "example.arrow").read_bytes(), "example.arrow")
    put(folder, "example.arrow", write_arrow(pa.concat_tables([example, example]).combine_chunks()))
    with pytest.raises(ReplayError, match="40 rows"):
        Model.load(folder)


def test_an_example_of_other_types_is_told(folder: Path) -> None:
    example = read_arrow((folder / "example.arrow").read_bytes(), "example.arrow")
    shared = example.set_column(1, "ca't", example.combine_chunks().column("ca't").dictionary_encode())
    put(folder, "example.arrow", write_arrow(shared))
    with pytest.raises(ReplayError, match="is of type dictionary"):
        Model.load(folder)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", "y"] * 30).dictionary_encode(),
        pa.array(
            [[1.0, 2.0], [3.0, 4.0]] * 30, pa.list_(pa.field("element", pa.float32(), nullable=False), 2)
        ),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_any_type_come_back(tmp_path: Path, column: pa.Array) -> None:
    table = pa.table({"x": column, "y": [1.0, 2.0] * 30})
    place = ory.fit(table, "y", learner="linear").save(tmp_path / "m")
    assert len(Model.load(place).predict(table)) == 60
