"""The page of a model: safe whatever a model's names hold, and alive in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

import orrery as ory
from orrery.estimators.model import Model
from orrery.serving.lineup import Lineup
from orrery.serving.online.described import examples, told
from orrery.serving.online.page import page_of
from orrery.serving.online.server import Service, serve
from orrery.serving.route import Live
from orrery.serving.runner import Runner


def live(model: Model, name: str = "m") -> Live:
    return Live(name, 3, Runner(model))


def test_the_model_is_told_as_json(client: httpx.Client) -> None:
    said = client.get("/v1/models/clients").json()
    assert [f["name"] for f in said["inputs"]] == ["age", "income €", "city", "note", "since", "member"]
    assert said["target"]["labels"] == ["no", "yes"]
    assert client.get("/v1/models").json() == {"models": [{"name": "clients", "version": 0}]}


def test_the_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
    for word in ("age", "income €", "Ask", "提问", "Lyon"):
        assert word in answer.text


def test_names_and_values_cannot_become_markup() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    rows = [{evil: f"{evil}{i % 3}", "x": float(i), "y": evil if i % 2 else "b"} for i in range(40)]
    model = ory.fit(rows, "y", learner="linear")
    text = page_of(Lineup(live(model)), "http://h")
    assert evil not in text
    assert "<img src=x" not in text
    assert text.count("</script>") == 3


def test_a_route_is_told_with_its_shares(saved: dict[str, Path]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    main, arm, canary, shadow = (replace(live(Model.load(saved["clients"])), version=v) for v in (1, 2, 3, 4))
    lineup = Lineup(
        main,
        arms=((replace(arm, arm="arm"), 0.3),),
        canary=replace(canary, arm="canary"),
        canary_share=0.1,
        shadows=(shadow,),
        fallback=replace(shadow, name=evil),
        by=evil,
    )
    text = page_of(lineup, "http://h", ["m", evil])
    for share in ("63.0", "27.0", "10.0"):
        assert f"{share}\N{NO-BREAK SPACE}%" in text
    assert '"versions":[1,2,3,4]' in text
    assert "<img src=x" not in text
    assert "Who answers" not in page_of(Lineup(main), "http://h")


def test_each_of_several_models_has_its_page(saved: dict[str, Path]) -> None:
    with (
        serve([saved["clients"], saved["prices"]], port=0, wait=False) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        first, second = client.get("/").text, client.get("/?model=prices").text
        assert '<a href="/?model=prices">prices</a>' in first
        assert "Predicts “buys”" in first
        assert '<a href="/?model=prices" aria-current="page">' in second
        assert "Predicts “price”" in second
        gone = client.get("/", params={"model": "<b>none"})
        assert gone.status_code == 404
        assert gone.headers["content-type"].startswith("application/")


def test_examples_are_as_a_caller_sends_them(saved: dict[str, Path]) -> None:
    for name in saved:
        model = Model.load(saved[name])
        found = examples(live(model))
        assert found
        if name == "digits":
            assert all(isinstance(row["image"], str) for row in found)
        assert told(live(model))["version"] == 3


def test_thousands_of_columns_make_a_page_of_some() -> None:
    columns = {f"c{i}": pa.array([0.0, 1.0, 2.0] * 8) for i in range(1000)}
    model = ory.fit(pa.table({**columns, "y": ["a", "b", "c"] * 8}), "y", learner="linear")
    text = page_of(Lineup(live(model)), "http://h")
    assert text.count("data-column=") == 300
    assert "and 700 more columns" in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, where this machine has one."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page in a browser: no playwright here"
    )
    if CHROMIUM is None:
        pytest.skip("the page in a browser: no chromium here")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[Service, str], Any]]:
    """Open a service's page; at the end nothing may have gone wrong in it."""
    wrong: list[str] = []
    pages = []

    def get(service: Service, language: str) -> Any:
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(f"{service.url}/?language={language}")
        pages.append(page)
        return page

    yield get
    for page in pages:
        page.close()
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize(("language", "words"), [("en", "with a probability of"), ("zh", "概率")])
def test_a_table_s_page_answers_while_one_types(
    service_of: Callable[[str], Service], open_page: Callable[[Service, str], Any], language: str, words: str
) -> None:
    page = open_page(service_of("clients"), language)
    page.wait_for_selector("#said .big")
    assert words in page.inner_text("#said")
    page.fill("[data-column=city]", "Paris")
    page.fill("[data-column=age]", "79")
    page.locator("#said .big", has_text=re.compile("^yes$")).wait_for()
    page.fill("[data-column=age]", "19")
    page.locator("#said .big", has_text=re.compile("^no$")).wait_for()
    assert page.inner_text("#curl").startswith("curl 'http://127.0.0.1:")
    assert '"age": 19' in page.inner_text("#python")


@pytest.mark.slow
def test_the_python_request_of_the_page_runs_as_it_is(
    service_of: Callable[[str], Service],
    open_page: Callable[[Service, str], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = open_page(service_of("clients"), "en")
    page.wait_for_selector("#said .big")
    exec(page.inner_text("#python"), {})
    said = page.inner_text("#said .big")
    assert f"'prediction': '{said}'" in capsys.readouterr().out


@pytest.mark.slow
def test_pictures_are_dropped_and_answered(
    service_of: Callable[[str], Service],
    open_page: Callable[[Service, str], Any],
    saved: dict[str, Path],
    tmp_path: Path,
) -> None:
    example = Model.load(saved["digits"]).example
    assert example is not None
    files = []
    for i, picture in enumerate(example.column("image").to_pylist()[:3]):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(picture)
    page = open_page(service_of("digits"), "zh")
    page.wait_for_selector("#said .big")
    page.set_input_files("[data-column=image]", str(files[1]))
    page.locator("#curl", has_text="image=@1.png").wait_for()
    page.set_input_files("[data-column=image]", [str(f) for f in files])
    page.locator("#said figure").nth(2).wait_for()
    said = [e.inner_text() for e in page.query_selector_all("#said figure strong")]
    assert said == [str(p) for p in example.column("prediction").to_pylist()[:3]]


@pytest.mark.slow
def test_a_wrong_value_is_told_on_the_page(service_of: Callable[[str], Service], browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{service_of('points').url}/?language=en")
    page.wait_for_selector("#said .big")
    page.fill("[data-column=at]", "1, 2")
    page.wait_for_selector("#problem:not([hidden])")
    assert "at" in page.inner_text("#problem")
    page.fill("[data-column=at]", "1, 2, 3")
    page.wait_for_selector("#said .big")
    page.close()


@pytest.mark.slow
def test_hostile_names_run_nothing_in_the_browser_nor_in_what_is_copied(
    open_page: Callable[[Service, str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = [
        '"><script>window.seen=1</script>',
        "__proto__",
        "a'b\"c\\\n`${1}`",
        "\u2028",
        "'; touch seen; '",
    ]
    rows = [
        {**{name: f"{name}{i % 3}" for name in hostile}, "x": float(i), "y": hostile[0] if i % 2 else "b"}
        for i in range(60)
    ]
    model = ory.fit(rows, "y", learner="linear", kinds=dict.fromkeys(hostile, "category"))
    with serve(model, port=0, wait=False) as service:
        page = open_page(service, "en")
        page.wait_for_selector("#said .big")
        assert page.evaluate("window.seen") is None
        names: dict[str, Any] = {}
        exec(page.text_content("#python"), names)
        assert set(names["row"]) == {*hostile, "x"}
        ran = subprocess.run(["bash", "-c", page.text_content("#curl")], capture_output=True, check=True)
        assert b'"prediction"' in ran.stdout
        page.close()
    assert not (tmp_path / "seen").exists()
