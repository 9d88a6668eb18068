"""The page of the server in a real browser: photographs in, rows out, no request elsewhere, usable by keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.schema import GRADE_NAMES, RESEARCH_USE
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle, photograph
from tests.factories.review_pages import browser
from tests.factories.servers import Running, serving

pytestmark = pytest.mark.slow

SHOWN = "0123456789abcdef"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def server(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "token").write_text(SHOWN)
    with serving(make_bundle(folder / "release"), folder, "--token-file", str(folder / "token")) as running:
        yield running


@pytest.mark.parametrize(
    "viewport", [{"width": 1440, "height": 900}, {"width": 390, "height": 844}], ids=["wide", "narrow"]
)
def test_photographs_are_graded_on_the_page(chromium: Any, server: Running, tmp_path: Path, viewport) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe: absent").Axe()
    (tmp_path / "<b>eye<b>.jpg").write_bytes(photograph(1))
    (tmp_path / "letter.jpg").write_text("Dear colleague,")
    context = chromium.new_context(viewport=viewport)
    page, faults, own = context.new_page(), list[str](), f"http://127.0.0.1:{server.port}/"
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda sent: faults.append(sent.url) if not sent.url.removeprefix("blob:").startswith(own) else 0
    )
    page.goto(own)
    assert axe.run(page).response["violations"] == []
    assert RESEARCH_USE in page.inner_text("header")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    page.set_input_files("#files", [str(path) for path in sorted(tmp_path.iterdir())])
    page.locator("#token:focus").wait_for()
    page.keyboard.insert_text(SHOWN)
    page.keyboard.press("Enter")
    page.locator("#progress:has-text('2 photographs are done.')").wait_for()
    letter, eye = page.locator("article").all()
    assert "Cannot be read\nNot a JPEG" in letter.inner_text().replace("\n\n", "\n")
    assert eye.locator("h2").inner_text() == "<b>eye<b>.jpg"
    assert any(f"Grade {grade}: {name}" in eye.inner_text() for grade, name in enumerate(GRADE_NAMES))
    assert eye.locator("tbody tr").count() == 5
    assert "Needs a person" in eye.inner_text()
    eye.locator("img:not([hidden])").wait_for()
    assert axe.run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert faults == []
    assert "eye" not in server.log.read_text()


def test_the_page_names_the_grades_as_the_schema_does() -> None:
    script = (REPOSITORY / "dr_pipeline" / "serving" / "page" / "page.js").read_text()
    assert ", ".join(f'"{name}"' for name in GRADE_NAMES) in script
