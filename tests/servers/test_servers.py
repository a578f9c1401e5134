from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from scripts import servers
from tests.servers import cache, maven
from tests.servers.postgresql import Server

ROOT = Path(servers.__file__).parent.parent


def test_every_version_is_pinned_exactly() -> None:
    for name, pin in cache.pins().items():
        for text in (pin["version"], *(c.split(":")[2] for c in pin.get("maven", []))):
            assert text[0].isdigit(), name
            assert not set(text) & set("[](),*+ "), name


def test_a_pom_names_the_pinned_jars() -> None:
    assert "<artifactId>kafka_2.13</artifactId><version>4.4.0</version>" in maven.pom("kafka")


def _build(folder: Path) -> None:
    with (folder.parent / "built").open("a") as count:
        count.write("x")
    (folder / "program").write_text("whole")


def test_of_two_who_want_a_server_one_builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORRERY_CACHE", str(tmp_path / "cache"))
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(lambda _: cache.built("kafka", _build), range(2)))
    assert [(folder / "program").read_text() for folder in folders] == ["whole", "whole"]
    assert (cache.folder("kafka").parent / "built").read_text() == "x"


def test_a_failed_build_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORRERY_CACHE", str(tmp_path / "cache"))

    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise cache.MissingServerError("the repository is gone")

    with pytest.raises(cache.MissingServerError):
        cache.built("kafka", fails)
    assert [p.name for p in cache.folder("kafka").parent.iterdir()] == [".kafka-4.4.0.lock"]


def test_without_java_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORRERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(cache.MissingServerError, match="kafka needs Java"):
        maven.fetch("kafka")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def ask(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.servers", *words],
        cwd=ROOT,
        env={**os.environ, "ORRERY_SERVERS": str(state)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_server_is_started_told_of_and_stopped(postgresql: Server, state: Path) -> None:
    started = ask(state, "start", "postgresql")
    assert (started.returncode, started.stderr) == (0, "")
    told = (state / "postgresql.env").read_text()
    assert told.startswith("ORRERY_CONNECTION__POSTGRESQL=postgresql://test:")
    assert (state / "postgresql.env").stat().st_mode & 0o077 == 0
    pid = int((state / "postgresql.pid").read_text())
    assert ask(state, "start", "postgresql").returncode == 0
    assert int((state / "postgresql.pid").read_text()) == pid, "one that runs stays as it is"
    assert "postgresql: runs" in ask(state, "list").stdout
    assert ask(state, "stop").returncode == 0
    assert not state.exists()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_stranger_with_the_pid_is_left_alone(state: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        state.mkdir()
        (state / "postgresql.pid").write_text(str(stranger.pid))
        assert ask(state, "stop").returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_unknown_server_is_told_with_those_there_are(state: Path) -> None:
    asked = ask(state, "start", "kafak")
    assert asked.returncode == 2
    assert "kafka" in asked.stderr
