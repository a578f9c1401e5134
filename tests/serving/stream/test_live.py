"""The page of a stream: alive in a real browser, safe whatever messages hold, and no weight on the stream."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

import orrery as ory
from orrery.errors import PortInUseError
from orrery.serving.stream.live import page_of
from orrery.serving.stream.memory import Topic
from orrery.serving.stream.stream import stream

EVIL = "</script><img src=x onerror=alert(1)>"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def model() -> Any:
    rows = [{"x": float(i), "y": EVIL if i > 20 else "no"} for i in range(40)]
    return ory.fit(rows, "y", learner="linear")


@pytest.fixture
def port(model: Any, tmp_path: Path) -> Iterator[int]:
    """That of a stream's page; the topic is called after it."""
    number = free_port()
    with stream(f"memory://live{number}", model, f"memory://said{number}", wait=False, metrics_port=number):
        yield number


def put(port: int, x: float, key: bytes = b"bob") -> None:
    Topic.of(f"live{port}").put(json.dumps({"x": x}).encode(), key=key)


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a reader of server-sent events makes of lines."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


def test_answers_and_counts_come_as_events(port: int) -> None:
    put(port, 39.0, EVIL.encode())
    url = f"http://127.0.0.1:{port}/v1/stream/events"
    with httpx.stream("GET", url, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        kinds = set()
        for kind, said in events(response.iter_lines()):
            kinds.add(kind)
            if kind == "answers":
                assert [(a["key"], a["prediction"]) for a in said["answers"]] == [(EVIL, EVIL)]
            if said.get("settled") == 1 and "answers" in kinds:
                break
    assert kinds == {"answers", "counts"}


def test_metrics_stay_where_they_were(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert "orrery_stream_messages" in client.get("/metrics").text
        assert client.get("/elsewhere").status_code == 404
        assert client.post("/").status_code == 403
        page = client.get("/")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_readers_are_bounded_and_let_go_at_the_end(model: Any) -> None:
    number = free_port()
    with ExitStack() as stack:
        with stream(f"memory://many{number}", model, "memory://none", wait=False, metrics_port=number):
            url = f"http://127.0.0.1:{number}/v1/stream/events"
            readers = [stack.enter_context(httpx.stream("GET", url, timeout=60)) for _ in range(16)]
            assert {reader.status_code for reader in readers} == {200}
            assert httpx.get(url, timeout=60).status_code == 503
            with pytest.raises(PortInUseError):
                stream("memory://other", model, "memory://none", wait=False, metrics_port=number)
        for reader in readers:
            for _ in reader.iter_lines():
                pass  # it ends


def test_the_page_holds_no_markup_of_others() -> None:
    text = page_of(EVIL, f"memory://{EVIL}")
    assert EVIL not in text
    assert "<img" not in text
    assert "http://" not in text
    assert "https://" not in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.parametrize(("language", "words"), [("en", "answered in all"), ("zh", "已作答总数")])
def test_a_browser_shows_answers_as_they_come(port: int, language: str, words: str) -> None:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page in a browser: no playwright here"
    )
    if CHROMIUM is None:
        pytest.skip("the page in a browser: no chromium here")
    wrong: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(f"http://127.0.0.1:{port}/?language={language}")
        assert words in page.inner_text(".tiles")
        put(port, 39.0, EVIL.encode())
        put(port, 3.0)
        page.locator("#answers tr").nth(1).wait_for()
        said = page.inner_text("#answers")
        assert EVIL in said
        assert page.locator("#answers img").count() == 0
        page.locator("#settled", has_text="2").wait_for()
        page.click("#pause")
        assert page.get_attribute("#pause", "aria-pressed") == "true"
        browser.close()
    assert wrong == []
