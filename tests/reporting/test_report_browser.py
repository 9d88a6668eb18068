"""The report of 400 photographs in a browser: nothing leaves it, it is accessible, fits a phone and prints."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import REPOSITORY
from tests.factories.report_pages import write_pages
from tests.factories.review_pages import BROWSERS, browser

pytestmark = pytest.mark.slow

MAX_BYTES = 5_000_000
NARROW, WIDE = 390, 1440
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_pages(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


def test_it_is_small(pages: list[Path]) -> None:
    assert all(page.stat().st_size <= MAX_BYTES for page in pages)
    assert "photo-099" in pages[0].read_text()
    assert "The worst 100 are listed" in pages[0].read_text()


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("at", [0, 1], ids=["index", "checklists"])
def test_nothing_leaves_it_and_it_fits(chromium: Any, pages: list[Path], width: int, at: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url))
    page.goto(pages[at].as_uri())
    assert [fault for fault in faults if not fault.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].filter((img) => !img.naturalWidth).length") == 0
    if width == NARROW:  # where tables become regions that scroll
        require_accessible(page)
    page.close()


def require_accessible(page: Any) -> None:
    axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core: absent")
    result = axe_playwright.Axe().run(page).response
    assert len(result["passes"]) > 10
    found = {one["id"]: one["nodes"][0]["html"] for one in result["violations"] if one["impact"] in SERIOUS}
    assert found == {}


def test_the_banner_is_in_view_at_once_and_larger_than_the_text(chromium: Any, pages: list[Path]) -> None:
    page = chromium.new_page(viewport={"width": WIDE, "height": 900})
    page.goto(pages[0].as_uri())
    box, figure = page.locator(".limits").bounding_box(), page.locator(".headline b").first.bounding_box()
    assert box["y"] + box["height"] <= figure["y"] <= 900
    assert box["width"] > 1000
    size = "(name) => parseFloat(getComputedStyle(document.querySelector(name)).fontSize)"
    assert page.evaluate(size, ".limits p") > page.evaluate(size, "body")
    page.close()


def test_the_example_prints_it_as_pdf(pages: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = next((name for name in BROWSERS if Path(name).exists()), None)
    if path is None:
        pytest.skip("Chromium: absent")
    out = tmp_path / "report.pdf"
    monkeypatch.setattr(sys, "argv", ["x", str(pages[0]), "--out", str(out), "--browser", path, "--no-sandbox"])
    runpy.run_path(str(REPOSITORY / "examples" / "05_report_as_pdf.py"), run_name="__main__")
    data = out.read_bytes()
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") >= 5
    assert len(data) < MAX_BYTES
