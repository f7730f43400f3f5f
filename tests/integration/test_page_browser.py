"""The leaderboard page in a real browser: it sorts, filters, switches, unfolds, and is harmless, from disk alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.store.frame import frame
from reports.page import page as make_page
from tests.page_runs import HOSTILE, SCRIPT, make_all

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is not tried in a browser"),
]


@dataclass
class Shown:
    """A page in the browser, with what it said and asked for."""

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def rows(self, block: str) -> list[str]:
        """Return the ids of a block's rows that are shown, in their order."""
        found: list[str] = self.page.evaluate(
            "block => [...document.querySelectorAll(`tbody[data-block=${block}] tr[data-e]`)]"
            ".filter(row => !row.hidden && !row.parentNode.hidden).map(row => row.id)",
            block,
        )
        return found

    def cell(self, row: str, key: str) -> str:
        """Return a cell's text."""
        text: str = self.page.evaluate(
            "([row, key]) => { const tr = document.getElementById(row);"
            "const heads = [...tr.closest('table').querySelectorAll('thead tr:last-child th')];"
            "return tr.cells[heads.findIndex(head => head.dataset.key === key)].textContent }",
            [row, key],
        )
        return text

    def count(self) -> str:
        """Return what the counter says."""
        return self.page.locator("#count").inner_text()

    def address(self) -> str:
        """Return what stands behind the # of the address."""
        return str(self.page.evaluate("location.hash"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "leaderboard.html"
    path.write_text(make_page(frame(make_all(folder / "run"), normalizer="hindi,identity")))
    return path


@pytest.fixture
def shown(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Shown]:
    asked: dict[str, Any] = getattr(request, "param", {})
    context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | asked))
    context.set_default_timeout(5_000)
    found = Shown(context.new_page())
    found.page.on("console", lambda said: found.faults.append(said.text) if said.type in ("error", "warning") else None)
    found.page.on("pageerror", lambda error: found.faults.append(str(error)))
    found.page.on("request", lambda one: found.requests.append(one.url))
    found.page.goto(file.as_uri())
    yield found
    context.close()
    assert found.faults == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in found.requests)


def test_it_opens_from_disk_and_asks_for_nothing(shown: Shown, file: Path) -> None:
    assert [url for url in shown.requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    assert shown.count() == "18 of 18 shown"
    assert shown.page.locator("#still").is_visible() or shown.page.locator("#interactive .main-svg").count()
    shown.page.wait_for_selector("#interactive .main-svg")  # the large library runs under the policy
    assert not shown.page.locator("#still").is_visible()


def test_a_heading_sorts_inside_each_block(shown: Shown) -> None:
    before = shown.rows("mask")
    heading = shown.page.locator("th[data-key=score]")
    heading.locator("button").click()
    rates = [float(shown.cell(row, "score").split()[0]) for row in shown.rows("mask")]
    assert rates == sorted(rates) and len(set(rates)) > 4
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").press("Enter")
    rates = [float(shown.cell(row, "score").split()[0]) for row in shown.rows("mask")]
    assert rates == sorted(rates, reverse=True)
    assert "sort=0.score.down" in shown.address()
    stored = [shown.cell(row, "score") for row in shown.rows("stored")]
    assert stored[-2:] == ["–", "–"]  # what has no result goes last, whichever way
    heading.locator("button").click()
    assert (shown.rows("mask"), heading.get_attribute("aria-sort")) == (before, None)


def test_the_words_of_a_failure_move_with_it(shown: Shown) -> None:
    shown.page.locator("th[data-key=score] button").click()
    reasons = shown.page.locator("tr.why.failed")
    assert reasons.count() == 1 and reasons.first.is_visible()
    assert "too far" in reasons.first.inner_text()
    assert reasons.first.evaluate("row => row.previousElementSibling.className") == "failed"


def test_filters_narrow_and_can_be_shared(shown: Shown) -> None:
    page = shown.page
    page.locator("#q").fill("MAGN")
    assert (shown.count(), len(shown.rows("mask")), shown.rows("stored")) == ("2 of 18 shown", 2, [])
    page.locator("[name=keep][value='0.4']").check()
    assert shown.count() == "1 of 18 shown"
    address = page.url
    page.locator("#clear").click()
    assert (shown.count(), shown.address()) == ("18 of 18 shown", "")
    page.locator("[name=front]").check()
    marked = page.locator("tbody:not([data-block=reference]) tr.front").count()
    assert marked and len(shown.rows("mask")) + len(shown.rows("stored")) == marked
    page.goto("about:blank")
    page.goto(address)
    assert shown.count() == "1 of 18 shown"
    assert page.locator("#q").input_value() == "MAGN"
    page.locator("#q").fill("no such method")
    assert page.get_by_text("No entry of this board fits the filters.").is_visible()


def test_the_switch_changes_numbers_and_says_with_what(shown: Shown, file: Path) -> None:
    rows = [*shown.rows("mask"), *shown.rows("stored")]
    before = {row: (shown.cell(row, "score"), shown.cell(row, "delta")) for row in rows}
    assert shown.page.locator(".notes", has_text="wer|hindi").is_visible()
    shown.page.locator("#norm").select_option(label="identity")
    after = {row: (shown.cell(row, "score"), shown.cell(row, "delta")) for row in rows}
    assert set(after) == set(before) and after != before
    assert shown.page.locator(".notes", has_text="wer|identity").is_visible()
    assert not shown.page.locator(".notes", has_text="wer|hindi").is_visible()
    assert "norm=identity" in shown.address()
    shown.page.locator("#norm").select_option(label="hindi")
    assert {row: (shown.cell(row, "score"), shown.cell(row, "delta")) for row in rows} == before


def test_a_row_unfolds_by_keyboard(shown: Shown, tmp_path: Path) -> None:
    button = shown.page.locator("tr.best .fold").first
    button.focus()
    for key, expanded in (("Enter", "true"), ("Space", "false"), ("Enter", "true")):
        shown.page.keyboard.press(key)
        assert button.get_attribute("aria-expanded") == expanded
    detail = shown.page.locator(f"#{button.get_attribute('aria-controls')}")
    text = detail.inner_text()
    for words in ("Configuration", "Cost", "Provenance", "prunebench export", "commit", "reference", "dense ("):
        assert words in text
    assert detail.locator("mark, del, ins").count() > 3
    assert "open=r0-" in shown.address()
    shown.page.screenshot(path=tmp_path / "row.png")


def test_hostile_records_are_text(shown: Shown, tmp_path: Path) -> None:
    row = shown.page.locator("tr[data-e]", has_text=HOSTILE)
    assert SCRIPT in row.locator("th").inner_text().replace("\n", "")
    row.locator(".fold").click()
    detail = shown.page.locator("tr.detail")
    assert "cut: 1,000,000 characters" in detail.inner_text()
    assert detail.locator("img, script, iframe").count() == 0
    assert shown.page.evaluate("window.harmed") is None
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown.page.screenshot(path=tmp_path / "hostile.png")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("⟦RLM⟧שלום abc", "rtl"), ("12 ⟦U+2060⟧مرحبا", "rtl"), ("⟦RLO⟧abc שלום", "ltr"), ("नमस्ते", "ltr"), ("12", "ltr")],
)
def test_a_line_runs_as_its_first_letter_does(shown: Shown, text: str, expected: str) -> None:
    assert shown.page.evaluate("text => direction(text)", text) == expected


def test_a_script_that_got_in_would_not_run(shown: Shown) -> None:
    shown.page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.harmed = 3';"
        "document.body.append(one); }"
    )
    assert shown.page.evaluate("window.harmed") is None
    assert any("Content Security Policy" in fault for fault in shown.faults)
    shown.faults.clear()


def test_a_point_of_the_picture_leads_to_its_row(shown: Shown) -> None:
    row = shown.rows("stored")[1]
    shown.page.evaluate(
        "entry => document.dispatchEvent(new CustomEvent('prunebench:entry', { detail: entry }))", row.split("-")[1]
    )
    assert shown.page.locator(f"#{row} .fold").get_attribute("aria-expanded") == "true"
    assert shown.page.locator(f"#{row}-more").is_visible()


@pytest.mark.parametrize("shown", [{"color_scheme": "dark"}], indirect=True)
def test_it_is_dark_where_that_is_wished(shown: Shown, tmp_path: Path) -> None:
    def brightness() -> int:
        return int(shown.page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))

    assert brightness() < 60
    shown.page.screenshot(path=tmp_path / "dark.png")
    shown.page.locator("#theme").click()
    assert brightness() > 200


@pytest.mark.parametrize("shown", [{"viewport": {"width": 375, "height": 800}}], indirect=True)
def test_a_narrow_screen_scrolls_in_the_table_only(shown: Shown, tmp_path: Path) -> None:
    shown.page.wait_for_selector("#interactive .main-svg")
    shown.page.locator(".fold").nth(3).click()
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 375
    assert shown.page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.wide'))")
    shown.page.evaluate("document.querySelector('.wide').scrollLeft = 400")
    assert shown.page.locator("tr[data-e] th").first.bounding_box()["x"] < 40  # type: ignore[index]
    shown.page.screenshot(path=tmp_path / "narrow.png", full_page=True)


@pytest.mark.parametrize("shown", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_the_tables_are_there(shown: Shown) -> None:
    assert shown.page.locator("tr[data-e]").count() == 18
    assert shown.page.locator("#still").is_visible()
    assert not shown.page.locator("#filters").is_visible()
