"""Lesions over the pictures of a review page: where they are, what is stated of them, and their opacity by key."""

import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_pipeline.clinic.review.lesion_facts import findings_of, lesion_facts
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.findings import Findings, FoveaMethod, Lesion, Yardstick
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.svg import lesion_svg
from dr_pipeline.scoring.outputs import lesion_paths
from tests.factories.bundles import encode, make_bundle, photograph
from tests.factories.lesion_networks import colour_network
from tests.factories.review_pages import browser, prediction, review
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow

DOTS = ((250.5, 300.5), (420.5, 250.5), (380.5, 420.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, one with three red dots, scored with lesions, and their page in `out`."""
    root = tmp_path_factory.mktemp("review")
    pixels = decode(photograph(2, side_px=600), 1 << 16).pixels.copy()
    for x, y in DOTS:
        cv2.circle(pixels, (int(x), int(y)), 9, (255, 0, 0), -1)
    (root / "photographs").mkdir()
    (root / "photographs" / "dots.png").write_bytes(encode(pixels, ".png"))
    (root / "photographs" / "plain.jpg").write_bytes(photograph(2))
    bundle = make_bundle(root / "release", lesions=colour_network())
    score_in_process(root / "photographs", bundle, root / "p.csv", lesions=True)
    review(root / "p.csv", root / "out")
    return root


def test_outlines_lie_within_two_pixels_of_the_lesions_of_the_picture(folder: Path) -> None:
    svgs = sorted((folder / "out" / "pictures").glob("*-lesions.svg"))
    (svg,) = (path for path in svgs if "polygon" in path.read_text())
    assert stat.S_IMODE(svg.stat().st_mode) == 0o600
    text = svg.read_text()
    left, top, width, height = map(float, re.search('viewBox="([^"]*)"', text)[1].split())  # type: ignore[index]
    (full,) = (folder / "out" / "pictures").glob(f"{svg.name.removesuffix('-lesions.svg')}-[0-9]*.jpg")
    picture = decode(full.read_bytes(), 1 << 16).pixels.astype(int)
    scale = picture.shape[1] / width, picture.shape[0] / height
    outlines = re.findall('points="([^"]*)"', text)
    assert len(outlines) == 2 * len(DOTS)  # each with a black edge
    red = ((picture[..., 0] > 200) & (picture[..., 1:].max(axis=2) < 80)).astype(np.uint8)
    places = cv2.connectedComponentsWithStats(red)[3][1:] + 0.5
    for outline in outlines:
        corners = np.array([point.split(",") for point in outline.split()], float)
        centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
        on_picture = (centre - (left, top)) * scale
        assert np.hypot(*(places - on_picture).T).min() < 2


def test_of_the_whole_frame_they_have_the_photograph_s_pixels(folder: Path) -> None:
    findings = next(findings for _, findings in findings_of(folder / "p.csv") if findings.lesions)
    assert 'viewBox="0 0 660 620"' in lesion_svg(findings, (0, 0, 660, 620))


def test_outlines_of_another_run_are_refused_and_a_run_without_has_none(folder: Path, tmp_path: Path) -> None:
    for name in ("p.csv", "p.csv.manifest.json", "p.csv.outlines.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
        (tmp_path / f"renamed.csv{name.removeprefix('p.csv')}").write_bytes((folder / name).read_bytes())
    assert list(findings_of(tmp_path / "renamed.csv")) == list(findings_of(tmp_path / "p.csv")) != []
    lesion_paths(tmp_path / "renamed.csv")[1].unlink()
    with pytest.raises(DataError, match="are missing"):
        list(findings_of(tmp_path / "renamed.csv"))
    outlines = lesion_paths(tmp_path / "p.csv")[1]
    outlines.write_text(outlines.read_text().replace("hemorrhages", "irma"))
    with pytest.raises(DataError, match="are not those of the table's run"):
        list(findings_of(tmp_path / "p.csv"))
    (tmp_path / "p.csv.manifest.json").unlink()
    assert list(findings_of(tmp_path / "p.csv")) == []


EXUDATE = Lesion("hard_exudates", 5, 5, 0.01, 100, 120, 0.9, "superior_temporal", 850.4, ((4, 4), (6, 4), (6, 6)))
FOUND = Findings(
    kinds=("hard_exudates", "optic_disc"),
    lesions=(EXUDATE,),
    disc=(100.0, 100.0, 196.6),
    fovea=(20.0, 20.0),
    fovea_method=FoveaMethod.EXPECTED,
    yardstick=Yardstick.OPTIC_DISC,
    um_per_px=7.63,
    window=(0, 0, 300, 300),
)


def test_agreement_landmarks_and_limits_are_stated() -> None:
    facts = dict(lesion_facts(FOUND, prediction("a", grade=2))["lesionFacts"])
    assert facts["By the counts (ICDR rules)"].startswith("grade 2 (3 to 4 not excluded)")
    assert facts["Beside the program's grade"] == "agrees with grade 2"
    assert facts["Optic disc"] == "197 px in diameter"
    assert facts["Fovea"] == "not seen, taken where it is expected"
    assert facts["Nearest hard exudate"] == "850 µm from the fovea, within one disc diameter"
    assert facts["Limits"].startswith("fovea by its expected place; does not look for hemorrhages, venous")


@pytest.mark.parametrize(
    ("changes", "stated"),
    [
        ({"grade": 1}, "differs from grade 1: by the counts referable, by the program not"),
        ({"grade": 1, "referable": True}, "differs from grade 1"),
    ],
)
def test_how_the_counts_differ_from_the_grade_is_stated(changes: dict[str, Any], stated: str) -> None:
    assert dict(lesion_facts(FOUND, prediction("a", **changes))["lesionFacts"])["Beside the program's grade"] == stated


def test_without_landmarks_and_lesions_the_facts_are_those_that_are_known() -> None:
    found = replace(FOUND, lesions=(), disc=None, fovea=None, fovea_method=FoveaMethod.NONE, yardstick=Yardstick.FIELD)
    found = replace(found, kinds=tuple(kind.name for kind in KINDS))
    facts = dict(lesion_facts(found, prediction("a", grade=2))["lesionFacts"])
    assert facts == {
        "By the counts (ICDR rules)": "grade 0: no lesion found",
        "Beside the program's grade": "differs from grade 2: by the program referable, by the counts not",
        "Optic disc": "not found",
        "Fovea": "not found",
        "Limits": "no optic disc: no quadrants, lengths by the declared field; "
        "fovea not found: no quadrants, no distances",
    }


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Any]:
    with browser() as launched:
        opened = launched.new_page(viewport={"width": 1440, "height": 900})
        faults: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda message: faults.append(message.text))
        opened.on("request", lambda request: None if request.url.startswith("file:") else faults.append(request.url))
        opened.goto((folder / "out" / "index.html").as_uri())
        yield opened
        assert faults == []


def test_the_viewer_shows_them_with_counts_and_opinion_and_keys_change_their_opacity(page: Any) -> None:
    page.evaluate("openViewer(shown.findIndex((item) => item.lesionFacts[0][1].includes('hemorrhages')))")
    page.wait_for_selector(".stage img.lesions")
    style = "getComputedStyle(document.querySelector('.stage img.lesions'))"
    assert page.evaluate(f"{style}.opacity") == "0.6"
    for key, opacity in (("l", "0"), ("l", "0.6"), ("]", "0.7"), ("[", "0.6"), ("[", "0.5")):
        page.keyboard.press(key)
        assert page.evaluate(f"{style}.opacity") == opacity
    page.keyboard.press("+")
    transforms = page.evaluate("[...document.querySelectorAll('.stage img')].map((image) => image.style.transform)")
    assert len(transforms) == 2
    assert transforms[0] == transforms[1] != ""
    counts = page.inner_text("#lesion-counts")
    assert re.search(r"hemorrhages\s+3", counts)
    assert "By the counts (ICDR rules): grade 2 (3 to 4 not excluded): hemorrhages (3)" in counts
    assert "Beside the program's grade: " in counts
    assert "Optic disc: not found" in counts
    assert "Limits: no optic disc: no quadrants, lengths by the declared field; fovea not found" in counts
    page.evaluate("document.body.classList.add('masked')")  # a reader who wants no help sees none of it
    assert page.evaluate(f"{style}.display") == "none"
    assert page.is_hidden("#lesion-counts")
