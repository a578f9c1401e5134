"""The registry in a folder."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from orrery.errors import ModelFormatError, ModelNotFoundError, RegistryError, SettingsError
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.registry import Registry


def test_versions_count_up_and_keep_what_the_model_says(registry: FolderRegistry, folder: Path) -> None:
    first = registry.publish(folder, "digits", note="the first")
    second = registry.publish(folder, "digits")
    assert [first.version, second.version] == [1, 2]
    assert (first.metrics, first.lineage) == ({"accuracy": 0.9}, {"rows": 150, "data": "abc"})
    assert (first.note, second.note, first.url) == ("the first", "", "models:/digits/1")
    assert first.created <= second.created
    assert sorted(p.name for p in Path(second.path).iterdir()) == ["model.json", "weights.safetensors"]
    assert [v.version for v in registry.versions("digits")] == [1, 2]


def test_it_is_a_registry(registry: FolderRegistry) -> None:
    same: Registry = registry
    assert same.versions() == []


def test_the_champion_answers_for_the_name_and_before_there_is_one_the_latest(
    registry: FolderRegistry, folder: Path
) -> None:
    for _ in range(3):
        registry.publish(folder, "digits")
    assert registry.get("digits").version == 3
    champion = registry.alias("digits", "champion", 2)
    assert champion is not None
    assert champion.aliases == ("champion",)
    assert registry.get("digits").version == 2
    assert registry.get("digits", "champion").version == 2
    assert registry.get("digits", "latest").version == 3
    assert registry.get("digits", 1).aliases == ()


def test_every_move_of_an_alias_is_kept(registry: FolderRegistry, folder: Path) -> None:
    for _ in range(2):
        registry.publish(folder, "digits")
    registry.alias("digits", "champion", 1)
    registry.alias("digits", "champion", 2)
    registry.alias("digits", "champion", 2)  # no change, no entry
    assert registry.alias("digits", "champion", None) is None
    moves = [(c.alias, c.previous, c.version) for c in registry.history("digits")]
    assert moves == [("champion", None, 1), ("champion", 1, 2), ("champion", 2, None)]


def test_a_number_is_not_used_again(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    registry.publish(folder, "digits")
    registry.delete("digits", 2)
    assert registry.publish(folder, "digits").version == 3
    assert [v.version for v in registry.versions("digits")] == [1, 3]


def test_a_version_with_an_alias_is_not_deleted(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    registry.alias("digits", "champion", 1)
    with pytest.raises(RegistryError, match=r"is 'champion' and was not deleted"):
        registry.delete("digits", 1)
    registry.delete("digits")
    assert registry.versions() == []
    assert [p.name for p in registry.root.iterdir()] == [".lock"]


def test_what_is_not_there_is_told_with_what_is(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    with pytest.raises(ModelNotFoundError, match="Did you mean 'digits'"):
        registry.get("digit")
    with pytest.raises(ModelNotFoundError, match=r"has no version 7\. Its versions are '1'"):
        registry.get("digits", 7)
    with pytest.raises(ModelNotFoundError, match="has no alias 'champion'"):
        registry.get("digits", "champion")
    with pytest.raises(ModelNotFoundError):
        registry.alias("digits", "champion", 9)
    with pytest.raises(SettingsError):
        registry.publish(folder, "../digits")


def test_a_zip_is_published_as_it_is(registry: FolderRegistry, folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "m.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    version = registry.publish(packed, "digits")
    assert version.metrics == {"accuracy": 0.9}
    assert Path(version.path).read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("text", ["", "[]", '"x"', "{", "\x00"])
def test_what_is_no_model_is_not_published(registry: FolderRegistry, folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelFormatError, match="not a saved model"):
        registry.publish(folder, "digits")
    assert registry.versions() == []


def test_links_in_a_model_are_refused(registry: FolderRegistry, folder: Path) -> None:
    (folder / "secret").symlink_to("/etc/passwd")
    with pytest.raises(ModelFormatError, match="neither a file nor a folder"):
        registry.publish(folder, "digits")
    assert _leftovers(registry) == []


def _leftovers(registry: FolderRegistry) -> list[str]:
    return [p.name for p in registry.root.iterdir() if p.name.startswith((".incoming", ".deleted"))]


def test_two_writers_lose_nothing(registry: FolderRegistry, folder: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from orrery.registry.folder import FolderRegistry\n"
        "for _ in range(8):\n"
        "    FolderRegistry(pathlib.Path(sys.argv[1])).publish(pathlib.Path(sys.argv[2]), 'digits')\n"
    )
    command = [sys.executable, "-c", code, str(registry.root), str(folder)]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert [v.version for v in registry.versions("digits")] == list(range(1, 25))
    assert _leftovers(registry) == []


def test_a_reader_beside_a_writer_never_sees_half_a_version(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    registry.alias("digits", "champion", 1)
    done = threading.Event()
    seen: list[int] = []
    wrong: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                version = registry.get("digits")
                assert (Path(version.path) / "weights.safetensors").stat().st_size == 1000
                seen.append(version.version)
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(15):
        registry.alias("digits", "champion", registry.publish(folder, "digits").version)
    done.set()
    reader.join(10)
    assert wrong == []
    assert seen == sorted(seen)
    assert registry.get("digits").version == 16


def test_a_list_beside_a_deleter_is_whole(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "kept")
    done = threading.Event()
    wrong: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                assert "kept" in {version.name for version in registry.versions()}
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        registry.publish(folder, "gone")
        registry.publish(folder, "gone")
        registry.delete("gone", registry.get("gone").version)
        registry.delete("gone")
    done.set()
    reader.join(10)
    assert wrong == []


def test_a_killed_writer_leaves_a_registry_that_works(registry: FolderRegistry, folder: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from orrery.registry import folder\n"
        "folder.write_json = lambda *a: os._exit(9)\n"  # dies while it holds the lock, the copy lying aside
        "folder.FolderRegistry(pathlib.Path(sys.argv[1])).publish(pathlib.Path(sys.argv[2]), 'digits')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(registry.root), str(folder)], check=False)
    assert killed.returncode == 9
    assert registry.versions() == []
    assert registry.publish(folder, "digits").version == 1
    assert [v.version for v in registry.versions()] == [1]
    (left,) = _leftovers(registry)
    os.utime(registry.root / left, (0, 0))
    registry.publish(folder, "digits")
    assert _leftovers(registry) == []


def test_a_full_disk_changes_nothing(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    (folder / "weights.safetensors").write_bytes(b"\x00" * 5_000_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = (
        "import pathlib, resource, signal, sys\n"
        "from orrery.errors import RegistryError\n"
        "from orrery.registry.folder import FolderRegistry\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try:\n"
        "    FolderRegistry(pathlib.Path(sys.argv[1])).publish(pathlib.Path(sys.argv[2]), 'digits')\n"
        "except RegistryError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(registry.root), str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "cannot be published" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    assert [v.version for v in registry.versions("digits")] == [1]
    assert _leftovers(registry) == []


@pytest.mark.skipif(os.getuid() == 0 and shutil.which("setpriv") is None, reason="root writes everywhere")
def test_a_read_only_registry_is_said(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    code = (
        "import pathlib, sys\n"
        "from orrery.errors import RegistryError\n"
        "from orrery.registry.folder import FolderRegistry\n"
        "registry = FolderRegistry(pathlib.Path(sys.argv[1]))\n"
        "print(registry.get('digits').version)\n"
        "for call in (lambda: registry.publish(pathlib.Path(sys.argv[2]), 'digits'),\n"
        "             lambda: registry.alias('digits', 'champion', 1), lambda: registry.delete('digits')):\n"
        "    try:\n"
        "        call()\n"
        "    except RegistryError as error:\n"
        "        print('refused:', error)\n"
    )
    for path in [registry.root, *registry.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    # Root may write anywhere; without this capability it may not.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*plain, sys.executable, "-B", "-c", code, str(registry.root), str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    for path in [registry.root, *registry.root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.stdout.splitlines()[0] == "1"
    assert done.stdout.count("refused:") == 3
    assert registry.get("digits").version == 1


def test_a_damaged_ledger_is_said(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    (registry.root / "digits" / "ledger.json").write_text("{", encoding="utf-8")
    with pytest.raises(RegistryError, match=r"ledger\.json"):
        registry.get("digits")


def test_the_files_are_plain(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits", note="附注")
    registry.alias("digits", "champion", 1)
    ledger = json.loads((registry.root / "digits" / "ledger.json").read_text(encoding="utf-8"))
    assert (ledger["last"], ledger["aliases"]) == (1, {"champion": 1})
    card = json.loads((registry.root / "digits" / "1" / "version.json").read_text(encoding="utf-8"))
    assert card["note"] == "附注"


def test_the_registry_of_the_environment(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_registry().root == home / "registry"
    monkeypatch.setenv("ORRERY_REGISTRY__URL", str(tmp_path / "shared"))
    assert open_registry().root == tmp_path / "shared"
    assert open_registry("file:///there").root == Path("/there")
    with pytest.raises(SettingsError, match="'s3' is not supported"):
        open_registry("s3://bucket/x")


_DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    '{"last": "x"}',
    '{"last": true}',
    '{"last": -5}',
    '{"last": 1e400}',
    '{"last": ' + "9" * 30 + "}",
    '{"last": ' + "9" * 5000 + "}",
    '{"aliases": {"champion": true}}',
    '{"aliases": {"champion": 0}}',
    '{"unknown": 1}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", _DAMAGED, ids=lambda text: repr(text[:40]))
def test_a_damaged_ledger_is_an_error_and_never_overwritten(
    registry: FolderRegistry, folder: Path, text: str
) -> None:
    registry.publish(folder, "digits")
    ledger = registry.root / "digits" / "ledger.json"
    ledger.write_text(text)
    for asked in (
        lambda: registry.get("digits"),
        lambda: registry.versions("digits"),
        lambda: registry.history("digits"),
        lambda: registry.alias("digits", "champion", 1),
        lambda: registry.publish(folder, "digits"),
    ):
        with pytest.raises(RegistryError, match=re.escape(str(ledger))):
            asked()
    assert ledger.read_text() == text


@pytest.mark.parametrize("text", ["", "[]", "null", '{"metrics": 5}', "[" * 100_000, '{"created": 1e4}'])
def test_a_damaged_version_is_an_error_that_names_its_file(
    registry: FolderRegistry, folder: Path, text: str
) -> None:
    registry.publish(folder, "digits")
    card = registry.root / "digits" / "1" / "version.json"
    card.write_text(text)
    with pytest.raises(RegistryError, match=re.escape(str(card))):
        registry.get("digits", 1)


def test_a_card_cannot_say_that_its_model_lies_elsewhere(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    card = registry.root / "digits" / "1" / "version.json"
    card.write_text('{"path": "/etc/passwd", "name": "other", "version": 7, "created": "x"}')
    version = registry.get("digits", 1)
    assert (version.name, version.version) == ("digits", 1)
    assert version.path == str(registry.root / "digits" / "1" / "model")


def test_damage_to_one_name_does_not_hide_the_others(
    registry: FolderRegistry, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c", "c"):
        registry.publish(folder, name)
    (registry.root / "b" / "ledger.json").write_text("[]")
    (registry.root / "c" / "1" / "version.json").write_text("[]")
    assert [v.url for v in registry.versions()] == ["models:/a/1", "models:/c/2"]
    assert [("b/ledger.json" in m, "c/1/version.json" in m) for m in caplog.messages] == [
        (True, False),
        (False, True),
    ]


def test_folders_with_impossible_numbers_are_no_versions(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    for name in ("0", "007", "9" * 23):
        (registry.root / "digits" / name).mkdir()
    assert registry.publish(folder, "digits").version == 2
    assert [v.version for v in registry.versions("digits")] == [1, 2]


def test_old_halves_of_a_ledger_are_swept(registry: FolderRegistry, folder: Path) -> None:
    registry.publish(folder, "digits")
    old, fresh = (registry.root / "digits" / f".ledger.json.{end}" for end in ("0000aaaa", "0000bbbb"))
    for left in (old, fresh):
        left.write_text("{")
    os.utime(old, (0, 0))
    registry.publish(folder, "digits")
    assert (old.exists(), fresh.exists()) == (False, True)
