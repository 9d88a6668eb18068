"""The review page in a real browser, opened from disk: clicks, keys, what is kept, exported and read by intake."""

import csv
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline import cli
from dr_pipeline.clinic.review.collect_readings import collect_readings
from dr_pipeline.schema import Eye
from dr_pipeline.tables.manifest import ManifestRow, read_manifest
from dr_pipeline.tables.predictions import write_predictions
from dr_pipeline.tables.readings import ReadingRow, read_readings
from dr_pipeline.tables.review_readings import REVIEW_READINGS, read_review_readings
from tests.factories import REPOSITORY
from tests.factories.drawings import draw_fundus, jpeg
from tests.factories.layouts import dataset
from tests.factories.review_pages import batch, browser, prediction, review, write_photograph

pytestmark = pytest.mark.slow

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of twelve with its page in `out`."""
    root = tmp_path_factory.mktemp("review")
    predictions, _ = batch(root)
    review(predictions, root / "out")
    return root


class Opened:
    """A page in a profile of its own; fails on errors, messages in the console, and requests beyond the disk."""

    def __init__(self, chromium: Any, out: Path, viewport: dict[str, int], reader: str = "ab") -> None:
        self.context = chromium.new_context(viewport=viewport, accept_downloads=True)
        self.context.set_default_timeout(20_000)
        self.out, self.faults = out, list[str]()
        self.page = self.window(reader)

    def window(self, reader: str = "") -> Any:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("request", lambda request: self.faults.append(request.url) if not _is_local(request.url) else None)
        page.goto((self.out / "index.html").as_uri())
        if reader:
            page.fill("#reader", reader)
            page.press("#reader", "Tab")
        return page

    def wait(self, condition: str, page: Any = None) -> None:
        """Waits until a condition holds; Playwright's own function needs `eval`, which the page forbids."""
        deadline = time.monotonic() + 20
        while not (page or self.page).evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(10)

    def grade(self, *keys: str) -> None:
        """Presses keys in the viewer, each when the picture is there."""
        for key in keys:
            self.wait("picture.isLoaded || !shown[current].full")
            self.page.keyboard.press(key)

    def export(self, path: Path) -> Path:
        with self.page.expect_download() as download:
            self.page.click("#export")
        download.value.save_as(path)
        return path


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "blob:"))


@pytest.fixture
def opened(chromium: Any, folder: Path) -> Iterator[Opened]:
    page = Opened(chromium, folder / "out", WIDE)
    yield page
    page.context.close()
    assert page.faults == []


def test_summary_filters_and_search(opened: Opened) -> None:
    page = opened.page
    assert page.inner_text(".banner") == "Research use only. Not a medical device."
    assert page.inner_text("#tiles").split("\n")[:4] == ["7", "need a person", "8", "graded"]
    assert page.inner_text("#count") == "12 of 12 photographs, 0 of them graded by you"
    page.click("#tiles button:has-text('ungradable')")
    assert page.inner_text("#count").startswith("2 of 12")
    assert page.input_value("#status") == "ungradable"
    page.click("#tiles button:has-text('ungradable')")
    for name, value, number in (
        ("grade", "1", 2),
        ("site", "=north", 6),
        ("quality", "3", 12),
        ("uncertainty", "none", 4),
    ):
        page.select_option(f"#{name}", value)
        assert page.inner_text("#count").startswith(f"{number} of 12"), name
        page.click("#reset")
    page.fill("#search", "EYE3")
    assert page.locator("#grid li").count() == 1
    page.fill("#search", "low_score")
    assert page.locator("#grid li").count() == 4
    page.fill("#search", "nothing like it")
    assert page.is_disabled("#start")


def test_the_most_informative_come_first_and_names_are_hidden_until_they_are_asked_for(opened: Opened) -> None:
    page = opened.page
    assert "PAT" not in page.inner_text("body")
    assert "eye" not in page.inner_text("#grid")
    page.check("#names")
    assert "PAT00" in page.inner_text("#grid")
    assert " ".join(page.locator(".card .name").all_inner_texts()) == (
        "eye6 eye3 eye0 eye8 eye11 eye5 eye4 eye2 eye1 eye9 eye10 eye7"
    )


def test_grades_by_keyboard_survive_a_reload_and_can_be_taken_back(opened: Opened) -> None:
    page = opened.page
    page.click("#start")
    opened.grade("3", "u", "0")
    assert page.inner_text("#position") == "4 of 12"
    opened.grade("z")
    assert page.inner_text("#position") == "3 of 12"
    assert page.inner_text("#message") == "Taken back: No. 1"
    opened.grade("p", "4", "ArrowLeft")
    assert page.locator("#own [aria-pressed=true]").inner_text().split() == ["4", "Proliferative", "DR"]
    page.keyboard.press("c")
    page.keyboard.type("drusen, not DR 0")
    page.keyboard.press("Escape")
    page.reload()
    assert page.input_value("#reader") == "ab"
    assert page.locator(".card .read").all_inner_texts() == ["yours: 3", "yours: 4"]
    page.select_option("#review", "commented")
    assert page.inner_text("#count") == "1 of 12 photographs, 1 of them graded by you"
    page.select_option("#review", "agrees")
    assert page.inner_text("#count").startswith("0 of 12")


def test_mouse_and_buttons_do_what_the_keys_do(opened: Opened) -> None:
    page = opened.page
    page.locator(".card").nth(1).click()
    opened.wait("picture.isLoaded")
    page.uncheck("#advance")
    page.click("#own button:has-text('Moderate')")
    assert page.inner_text("#position") == "2 of 12"
    page.click("#next")
    page.click("#previous")
    assert page.locator("#own [aria-pressed=true]").inner_text().startswith("2")
    page.click("#undo")
    assert page.locator("#own [aria-pressed=true]").count() == 0
    page.click("#close")
    assert not page.is_visible("#viewer")


def test_a_grade_needs_a_reader_and_a_picture(chromium: Any, folder: Path) -> None:
    opened = Opened(chromium, folder / "out", WIDE, reader="")
    page = opened.page
    page.click("#start")
    opened.grade("2")
    assert "initials" in page.inner_text("#message")
    page.keyboard.type("cd")
    page.keyboard.press("Enter")
    opened.grade("2")
    assert page.inner_text("#message").endswith("grade 2")
    page.keyboard.press("Escape")
    assert page.input_value("#reader") == "cd"
    page.select_option("#status", "failed")
    page.click("#start")
    opened.grade("1")
    assert "no picture to grade" in page.inner_text("#message")
    opened.grade("u")
    assert page.inner_text("#message").endswith("ungradable")
    opened.context.close()
    assert opened.faults == []


def test_zoom_and_pan_by_keys_wheel_buttons_and_drag(opened: Opened) -> None:
    page = opened.page
    page.click("#start")
    opened.wait("picture.isLoaded")

    def place() -> dict[str, float]:
        return page.evaluate("picture.place")  # type: ignore[no-any-return]

    fitted = place()
    box = page.locator("#stage").bounding_box()
    page.keyboard.press("+")  # wider than the stage: a narrower picture stays in its middle
    zoomed = place()["scale"]
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    at_pointer = "(({ x, y, scale }) => [(300 - x) / scale, (200 - y) / scale])(picture.place)"
    before = page.evaluate(at_pointer)
    page.mouse.wheel(0, -100)
    opened.wait(f"picture.place.scale > {zoomed * 1.1}")
    assert page.evaluate(at_pointer) == pytest.approx(before, abs=2)
    start = place()
    page.keyboard.press("Shift+ArrowLeft")
    assert place()["x"] == start["x"] + 80
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 230)
    page.mouse.up()
    assert place()["x"] == start["x"] + 30
    assert place()["y"] == start["y"] + 30
    page.click("#fit")
    assert place() == fitted
    page.click("#actual")
    assert page.inner_text("#zoom") == "100 %"
    page.keyboard.press("r")
    assert page.get_attribute("#red-free", "aria-pressed") == "true"


def test_masked_reading_hides_the_result_and_is_recorded(opened: Opened, tmp_path: Path) -> None:
    page = opened.page
    page.check("#mask")
    assert not page.is_visible(".card .badge")
    page.click("#start")
    assert not page.is_visible("#result")
    assert not page.is_visible("dt:has-text('Uncertainty')")
    opened.grade("1")
    page.keyboard.press("Escape")
    (row,) = read_review_readings(opened.export(tmp_path / "r.csv"))
    assert (row.masked, row.grade) == (True, 1)
    assert set(page.evaluate("Object.keys(readings.rows()[0])")) == set(REVIEW_READINGS.columns)


def test_the_export_is_what_intake_reads_as_readings(opened: Opened, folder: Path, tmp_path: Path) -> None:
    page = opened.page
    page.click("#start")
    opened.grade("3", "2", "u")
    page.keyboard.press("Escape")
    page.fill("#reader", '=cmd, "second"')
    page.press("#reader", "Tab")
    page.click("#start")
    opened.grade("1", "2")
    page.keyboard.press("c")
    page.keyboard.type('+\u00e9x, "q"')
    page.keyboard.press("Escape")
    exported = opened.export(folder / "photographs" / "readings.csv")
    rows = read_review_readings(exported)
    assert [(row.grader, row.image_id, row.grade) for row in rows] == [
        *(("ab", "eye0", None), ("ab", "eye3", 2), ("ab", "eye6", 3)),
        *(('\'=cmd, "second"', "eye0", None), ('\'=cmd, "second"', "eye3", 2), ('\'=cmd, "second"', "eye6", 1)),
    ]
    assert rows[3].comment == '\'+\u00e9x, "q"'
    manifest, readings = intake(folder / "photographs", tmp_path)
    exported.unlink()
    found = {row.image_id: row for row in manifest}
    assert {name: found[name].grade for name in found} == {"eye0": None, "eye3": 2, "eye6": 3}
    assert (found["eye3"].patient_id, found["eye3"].eye, found["eye3"].site) == ("PAT01", Eye.RIGHT, "south")
    assert {(row.image_id, row.grade) for row in readings} == {("eye3", 2), ("eye6", 1), ("eye6", 3)}
    assert {row.grader for row in readings} == {"ab", '\'=cmd, "second"'}


def intake(root: Path, scratch: Path) -> tuple[list[ManifestRow], list[ReadingRow]]:
    """The manifest and the readings that the stage makes of an export beside the photographs."""
    import yaml

    columns = {name: name for name in ("grader", "patient", "eye", "visit", "site", "camera", "ungradable")}
    source = dataset("folder", labels="readings.csv", values={"ungradable": ["1"]}, **columns).model_dump()
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    (scratch / "params.yaml").write_text(json.dumps(params | {"dataset": source | {"root": "photographs"}}))
    files = {name: scratch / f"{name}.csv" for name in ("manifest", "readings")}
    words = [f"--{name}={path}" for name, path in files.items()]
    words += [f"--params={scratch / 'params.yaml'}", f"--root={root}", f"--report={scratch / 'intake.json'}"]
    assert cli.main(["intake", *words]) == 0
    return read_manifest(files["manifest"]), read_readings(files["readings"])


def test_an_export_comes_back_into_another_browser_and_later_readings_stay(
    opened: Opened, chromium: Any, folder: Path, tmp_path: Path
) -> None:
    opened.page.click("#start")
    opened.grade("3", "u")
    opened.page.keyboard.press("c")
    opened.page.keyboard.type("=1+1;\ttab")
    opened.page.keyboard.press("Escape")
    exported = opened.export(tmp_path / "r.csv")
    with exported.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (tmp_path / "excel.csv").open("w", encoding="utf-8", newline="") as stream:  # as a spreadsheet saves it
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows([*rows, rows[0] | {"sha256": "0" * 64}, rows[0] | {"grade": "7"}, rows[0] | {"grader": ""}])
    other = Opened(chromium, folder / "out", WIDE)
    other.page.click("#start")
    other.grade("0")
    other.page.keyboard.press("Escape")
    other.page.set_input_files("#import", tmp_path / "excel.csv")
    other.page.wait_for_selector("#notice:has-text('imported')")
    assert other.page.inner_text("#notice").startswith("2 readings imported; 1 left out,")
    assert "3 refused" in other.page.inner_text("#notice")
    again = {row.image_id: row for row in read_review_readings(other.export(tmp_path / "again.csv"))}
    assert again["eye6"].grade == 0
    assert again["eye3"].ungradable
    assert json.dumps(again["eye0"].comment) == json.dumps("'=1+1;\ttab")
    other.context.close()
    assert other.faults == []


def test_two_windows_do_not_overwrite_each_other(opened: Opened) -> None:
    second = opened.window()
    opened.page.bring_to_front()
    opened.page.click("#start")
    opened.grade("3")
    second.bring_to_front()
    second.click("#start")
    second.keyboard.press("n")
    opened.wait("picture.isLoaded", second)
    second.keyboard.press("2")
    second.keyboard.press("Escape")
    assert second.locator(".card .read").all_inner_texts() == ["yours: 3", "yours: 2"]
    opened.page.bring_to_front()
    opened.page.keyboard.press("Escape")
    assert opened.page.locator(".card .read").all_inner_texts() == ["yours: 3", "yours: 2"]


def test_a_browser_that_keeps_nothing_says_so(chromium: Any, folder: Path, tmp_path: Path) -> None:
    opened = Opened(chromium, folder / "out", WIDE)
    opened.context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })"
    )
    page = opened.page = opened.window("ab")
    assert "Export your readings before you close" in page.inner_text("#notice")
    page.click("#start")
    opened.grade("2")
    page.keyboard.press("Escape")
    assert [row.grade for row in read_review_readings(opened.export(tmp_path / "r.csv"))] == [2]
    opened.context.close()


def test_readings_are_cleared_after_a_question(opened: Opened) -> None:
    page = opened.page
    page.click("#start")
    opened.grade("3")
    page.keyboard.press("Escape")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#clear")
    assert page.locator(".card .read").count() == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#clear")
    page.reload()
    assert page.locator(".card .read").count() == 0


def test_a_page_without_patients_exports_numbers_that_get_their_names_back(
    chromium: Any, folder: Path, tmp_path: Path
) -> None:
    review(folder / "p.csv", tmp_path / "out", hide_patients=True)
    opened = Opened(chromium, tmp_path / "out", WIDE)
    assert not opened.page.is_visible("#names")
    opened.page.click("#start")
    opened.grade("2")
    opened.page.keyboard.press("Escape")
    exported = opened.export(tmp_path / "r.csv")
    assert "eye" not in exported.read_text().split("\n")[1]
    (row,) = collect_readings([exported], folder / "p.csv")
    assert (row.image, row.patient, row.grade) == ("eye6.jpg", "PAT03", 2)
    opened.context.close()
    assert opened.faults == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1440", "390"])
def test_accessible_at_both_widths(chromium: Any, folder: Path, viewport: dict[str, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe: absent").Axe()
    opened = Opened(chromium, folder / "out", viewport)
    page = opened.page
    page.click("summary")

    def serious() -> list[str]:
        violations = axe.run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
        return [
            f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in violations if v["impact"] in ("serious", "critical")
        ]

    assert serious() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("#start")
    opened.grade("2", "p")
    opened.wait("picture.isLoaded")
    assert serious() == []
    assert page.evaluate("document.querySelector('#stage').clientHeight") > 300
    opened.context.close()
    assert opened.faults == []


def test_the_whole_page_by_keyboard_with_visible_focus(opened: Opened) -> None:
    page = opened.page
    page.focus("#start")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('li').ariaPosInSet") == "12"
    page.keyboard.press("Home")
    outline = (
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert page.evaluate(outline) == "solid3px"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    opened.grade("4")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "card"
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle"
        ) in ("solid", True)


def test_names_that_are_html_run_nothing(chromium: Any, tmp_path: Path) -> None:
    nasty = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"
    rows = [
        write_photograph(
            tmp_path / "photographs",
            prediction(
                f"{nasty}{number}", path=f"{number}.jpg", grade=number, patient_id=nasty, site=f"{nasty}{number}",
                visit=nasty, reason=nasty, needs_human=True, bundle_id=nasty,
            ),
            jpeg(draw_fundus(300, 300, 150, 150, 140, seed=number)),
        )
        for number in range(2)
    ]  # fmt: skip
    rows.append(prediction("\u202egone __proto__", reason=nasty, patient_id="__proto__", site="__proto__"))
    write_predictions(tmp_path / "p.csv", rows)
    review(tmp_path / "p.csv", tmp_path / "out")
    opened = Opened(chromium, tmp_path / "out", WIDE, reader=nasty[:50])
    page = opened.page
    page.check("#names")
    for site in (f"={nasty}1", "=__proto__"):
        page.select_option("#site", site)
        assert page.inner_text("#count").startswith("1 of 3")
    page.click("#reset")
    page.click("#start")
    opened.grade("1")
    page.keyboard.press("c")
    page.keyboard.insert_text(nasty)
    page.keyboard.press("Escape")
    page.reload()
    page.click("#start")
    assert page.title() == "Review of a batch · dr_pipeline"
    assert page.locator("script").count() == 8
    assert page.locator("img[src=x]").count() == 0
    opened.context.close()
    assert opened.faults == []
    shutil.rmtree(tmp_path / "out")


def test_five_thousand_photographs_hold_a_few_cards_only(chromium: Any, tmp_path: Path) -> None:
    rows = [prediction(f"eye{number}", grade=number % 5, top=0.3 + number % 7 / 10) for number in range(5000)]
    write_predictions(tmp_path / "p.csv", rows)
    (tmp_path / "photographs").mkdir()
    review(tmp_path / "p.csv", tmp_path / "out")
    opened = Opened(chromium, tmp_path / "out", NARROW)
    page = opened.page
    assert page.locator("#grid li").count() < 40
    page.focus("#grid button")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('li').ariaPosInSet") == "5000"
    assert page.locator("#grid li").count() < 40
    page.fill("#search", "No. 4321")
    assert page.locator("#grid li").count() == 1
    opened.context.close()
    assert opened.faults == []
