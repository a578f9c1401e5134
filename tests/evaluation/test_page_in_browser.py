"""The page as a browser shows it: languages, themes, words on marks, phones. Needs Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orrery.evaluation.compare import compare
from orrery.evaluation.report import Outcome, evaluate

Make = Callable[..., pa.RecordBatch]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def address(make: Make, outcomes: dict[str, Outcome]) -> str:
    report = evaluate([make("binary", 200, 1, False)], outcomes["binary"], by="city")
    return report.save(Path("page.html").absolute()).as_uri()


def text_of(page: Any, selector: str) -> str:
    return str(page.locator(selector).first.inner_text())


def test_languages_and_themes_switch_without_reload(browser: Any, address: str) -> None:
    page = browser.new_page(color_scheme="light", locale="en-US")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    assert text_of(page, "h2") == "Right and wrong"
    assert page.title() == "How well is churned predicted?"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("radio", name="中文").click()
    assert text_of(page, "h2") == "对与错"
    assert page.title() == "churned 预测得怎么样？"
    page.get_by_role("radio", name="深色").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper
    page.reload()
    assert text_of(page, "h2") == "对与错"  # remembered
    assert said == []
    page.close()


def test_marks_tell_their_values(browser: Any, address: str) -> None:
    page = browser.new_page(locale="zh-CN")
    page.goto(address)
    page.locator(".strip").nth(30).hover(force=True)
    assert "误报率" in text_of(page, ".tip")
    page.locator("td.hit").first.hover()
    assert text_of(page, ".tip").startswith("真实 no，预测 no")
    page.close()


def test_without_a_script_everything_reads_and_switches(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("h2").first.inner_text() == "Right and wrong"
    page.get_by_role("radio", name="中文").click()
    assert page.locator("h2").first.inner_text() == "对与错"
    context.close()


@pytest.mark.parametrize("width", [360, 800, 1600])
@pytest.mark.parametrize("name", ["binary", "classes", "number", "labels", "vector"])
def test_nothing_is_wider_than_the_window(
    browser: Any, make: Make, outcomes: dict[str, Outcome], width: int, name: str
) -> None:
    batch = make(name, 60, 1, False)
    reports = {n: evaluate([batch], outcomes[name], by="city") for n in ("champion", "challenger")}
    paths = [
        reports["champion"].save(Path("one.html").absolute()),
        compare(reports).save(Path("two.html").absolute()),
    ]
    page = browser.new_page(viewport={"width": width, "height": 800})
    for path in paths:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
