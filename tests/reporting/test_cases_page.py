"""The page of cases: what it lists, that names cannot break it, and that it needs nothing outside itself."""

import numpy as np
import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.evaluation.graded_images import Graded
from dr_pipeline.evaluation.label_errors import OutOfFold
from dr_pipeline.lesions.findings import Findings, FoveaMethod, Lesion, Yardstick
from dr_pipeline.reporting import cases_page
from dr_pipeline.reporting.cases_page import Case, label_cases, missed_cases, render

NAME = 'a"><script>alert(1)</script>'


class Store:
    """Canvases by name, without a folder."""

    def __init__(self, names: list[str]) -> None:
        self.rows = {name: Row() for name in names}

    def read(self, image_id: str) -> np.ndarray:
        assert image_id in self.rows
        return np.full((64, 64, 3), 80, np.uint8)


class Row:
    shard, quality, quality_reasons = "shard-00000.tar", 0.5, "dark"


def graded(true: list[int], predicted: list[int]) -> Graded:
    names = tuple(f"photo-{number}" for number in range(len(true)))
    called = np.array(predicted)
    return Graded(names, np.array(true), called, called + 0.1, np.full(len(true), 0.2))


def one_corner(canvas: np.ndarray) -> np.ndarray:
    found = np.zeros(canvas.shape[:2], np.float32)
    found[:8, :8] = 1
    return found


def test_misses_are_vision_threatening_disease_called_none_or_mild_the_worst_first() -> None:
    images = graded(true=[3, 4, 2, 4, 3, 0], predicted=[1, 2, 0, 0, 3, 4])
    store = Store(list(images.image_ids))
    cases = missed_cases(images, store, one_corner)  # type: ignore[arg-type]
    assert [(case.image_id, case.grade, case.called) for case in cases] == [("photo-3", 4, 0), ("photo-0", 3, 1)]
    assert cases[0].quality == "0.50 (dark)"
    assert cases[0].picture.startswith(b"\xff\xd8")
    assert cases[0].found not in (b"", cases[0].picture)
    assert missed_cases(images, store, None)[0].found == b""  # type: ignore[arg-type]


def test_lesions_lie_over_the_misses_with_a_key_for_their_opacity_and_a_second_opinion() -> None:
    images = graded(true=[3, 4], predicted=[1, 0])

    def find(image_id: str) -> Findings:
        if image_id == "photo-0":
            raise ImageError("the file is missing")
        outline = ((10.0, 10.0), (12.0, 10.0), (12.0, 12.0))
        lesion = Lesion("irma", 11, 11, 0.01, 100, 120, 0.9, "", None, outline)
        return Findings(("irma",), (lesion,), None, None, FoveaMethod.NONE, Yardstick.FIELD, 9.0, (0, 0, 64, 64))

    cases = missed_cases(images, Store(list(images.image_ids)), None, find)  # type: ignore[arg-type]
    assert b'points="10,10 12,10 12,12"' in cases[0].lesions
    assert "grade 3" in dict(cases[0].facts)["second opinion by counts:"]
    assert dict(cases[0].facts)["limits:"].startswith("no optic disc: no quadrants, lengths by the declared field / ")
    assert (cases[1].lesions, dict(cases[1].facts)["lesions"]) == (b"", "the file is missing")
    page = render(cases, [], bundle_id="b" * 16, vision_threatening=2)
    assert page.count('class="over"') == 1
    assert page.count('type="radio"') == 4
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    without = render(missed_cases(images, Store(["photo-0", "photo-1"]), None), [], bundle_id="b", vision_threatening=2)  # type: ignore[arg-type]
    assert 'type="radio"' not in without


def test_labels_are_those_that_out_of_fold_predictions_contradict() -> None:
    probabilities = np.full((40, 5), 0.025)
    grades = np.arange(40) % 5
    probabilities[np.arange(40), grades] = 0.9
    grades[7] = 0  # a 2, labelled 0
    names = tuple(f"photo-{number}" for number in range(40))
    cases = label_cases(OutOfFold(names, grades, probabilities, 0), Store(list(names)), one_corner)  # type: ignore[arg-type]
    assert [(case.image_id, case.grade, case.called) for case in cases] == [("photo-7", 0, 2)]


def test_beyond_the_limit_lines_have_no_pictures_and_the_page_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases_page, "MAX_PICTURES", 3)
    images = graded([4] * 10, [0] * 10)
    cases = missed_cases(images, Store(list(images.image_ids)), one_corner)  # type: ignore[arg-type]
    assert [bool(case.picture) for case in cases] == [True] * 3 + [False] * 7
    page = render(cases, [], bundle_id="b" * 16, vision_threatening=10)
    assert page.count("<img ") == 6
    assert "10 of 10 graded photographs" in page


def test_names_are_escaped_and_nothing_is_loaded_from_elsewhere() -> None:
    case = Case(NAME, 4, 0, (("expected grade", "<b>"),), "<i>", b"\xff\xd8", b"\xff\xd8")
    page = render([case], [case], bundle_id="<u>", vision_threatening=1)
    assert "<script" not in page
    assert not {"<b>", "<i>", "<u>"} & {page[at : at + 3] for at in range(len(page))}
    assert "://" not in page
    assert "Research use only" in page
    assert page.count('alt="') == 4


def test_a_photograph_without_a_canvas_has_its_line() -> None:
    images = graded([4], [0])
    (case,) = missed_cases(images, Store([]), one_corner)  # type: ignore[arg-type]
    assert (case.quality, case.picture) == ("unknown", b"")
