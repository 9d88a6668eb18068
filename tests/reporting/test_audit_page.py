"""The audit's page: self-contained, complete, and inert whatever the names of files and patients."""

import base64
import re
from typing import Any

import numpy as np
import pytest

from dr_pipeline.audit.actions import exclusions
from dr_pipeline.audit.duplicates import identical_groups, join_duplicates
from dr_pipeline.audit.findings import Finding, count_grades, grade_findings, photograph_findings
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.audit.run_audit import AuditResult, audit_report
from dr_pipeline.audit.shortcut_table import shortcut_table
from dr_pipeline.audit.shortcuts import measure_shortcuts
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.reporting.audit_items import MAX_FINDINGS, sentence
from dr_pipeline.reporting.audit_page import render
from dr_pipeline.reporting.thumbnails import SIDE_PX, Thumbnails, encode_jpeg
from dr_pipeline.schema import RESEARCH_USE
from tests.factories.audit_tables import PLANTED, inputs_of, intake, params
from tests.factories.html_tags import Tags

JPEG = encode_jpeg(np.full((256, 256, 3), 90, dtype=np.uint8))
HOSTILE = "<script>alert(1)</script>"


def page_of(inputs: AuditInputs, *near: NearDuplicate, more: tuple[Finding, ...] = (), **changed: Any) -> str:
    duplicates = join_duplicates(identical_groups(inputs), near)
    findings = photograph_findings(inputs, duplicates)
    excluded = exclusions(findings, duplicates, inputs, params())
    grades = count_grades(inputs, excluded)
    shortcuts = measure_shortcuts(shortcut_table(inputs, duplicates.cluster_names(), excluded))
    result = AuditResult([*findings, *grade_findings(grades, 1), *more], duplicates, (), shortcuts, grades, excluded)
    report = audit_report(inputs, result, params(), intake(**changed))
    return render(report, result, inputs, lambda image_id: b"" if image_id == "e" else JPEG, adapter="folder")


@pytest.fixture(scope="module")
def page() -> str:
    report = intake(orphans={"rows": ["gone"], "files": []})
    inputs = inputs_of(*PLANTED, report=report)
    return page_of(inputs, NearDuplicate("a", "g", 11, 0.9712, 5), warnings=["a warning of the intake"])


def test_an_eye_photographed_twice_is_shown_side_by_side() -> None:
    inputs = inputs_of(("a", "A", "0", "", "scored"), ("b", "B", "1", "", "scored"))
    pair = {"correlation": 0.634, "points": 48, "shift": 0.057}
    more = Finding("same_eye", ("a", "b"), {"pairs": [pair, pair | {"correlation": 0.9}], "patients": 2})
    assert sentence(more) == (
        "48 places of the retina coincide, correlation 0.63, shifted by 6 % of the field; under 2 patients"
    )
    assert Tags(page_of(inputs, more=(more,))).images == 2


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    tags = Tags(page)
    assert tags.scripts == 0
    assert {load.split(",")[0] for load in tags.loads} <= {"data:image/jpeg;base64"} | {
        load for load in tags.loads if load.startswith("#")
    }
    assert not re.search(r"@import|url\(|https?:", page)


def test_pairs_are_shown_side_by_side_with_their_labels(page: str) -> None:
    # 9 identical, 2 near, 2 + 2 contradicting, 2 + 2 cross-patient, 2 no fundus; the unreadable one has no picture
    assert Tags(page).images == 9 + 2 + 4 + 4 + 2
    assert "no picture" in page
    for text in (
        "11 of 256 bits differ, correlation 0.971; turned or mirrored (turn 5)",
        "grade 3 and 4",
        "2 patients",
        "patient p4",
        "row without a photograph: gone",
        "c1.jpg",
        "patient p2",
        "a warning of the intake",
        "largest: 3 photographs",
        RESEARCH_USE,
    ):
        assert text in page, text


def test_tables_of_grades_rejection_and_shortcuts_are_there(page: str) -> None:
    assert "75.0 % [" in page
    assert "4 Proliferative DR" in page
    assert "format and size" in page
    assert "not measured" in page


def test_hostile_names_are_inert() -> None:
    names = {
        "path": HOSTILE,
        "patient_id": '"><img src=x onerror=alert(1)>',
        "site": "=cmd|' /C calc'!A0",
    }
    inputs = inputs_of(
        *PLANTED,
        report=intake(
            orphans={"rows": [HOSTILE], "files": ["javascript:alert(1)"]},
            identity=[{"image_id": "a", "fields": [HOSTILE]}],
        ),
        more={name: names | {"reason": HOSTILE} for name, *_ in PLANTED},
    )
    one_grade = Finding("shortcuts", (), {"predictor": "camera", "value": HOSTILE, "grade": 1, "n": 30})
    page = page_of(inputs, more=(one_grade,), warnings=[HOSTILE])
    tags = Tags(page)
    assert tags.scripts == 0
    assert not any(load.startswith("javascript") or load == "x" for load in tags.loads)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5


def test_at_most_sixty_findings_of_a_kind_are_drawn_and_the_rest_counted() -> None:
    photographs = [(f"{n:04d}{twin}", str(n), "1", f"p{n}", "scored") for n in range(100) for twin in "ab"]
    page = page_of(inputs_of(*photographs))
    assert Tags(page).images == 2 * MAX_FINDINGS
    assert "The first 60 of 100 are shown; reports/audit.json lists them all." in page


def test_of_a_large_group_eight_are_drawn() -> None:
    page = page_of(inputs_of(*((f"{n:04d}", "A", "1", "p", "scored") for n in range(50))))
    assert Tags(page).images == 8
    assert "and 42 more" in page


def test_a_clean_data_set_has_a_page_too() -> None:
    page = page_of(inputs_of(*((f"{n}", str(n), str(n), f"p{n}", "scored") for n in range(5))))
    assert Tags(page).images == 0


def test_thumbnails_are_made_once_for_what_is_drawn() -> None:
    read_ids: list[str] = []

    def read(image_id: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        read_ids.append(image_id)
        return np.full((512, 512, 3), (200, 90, 20), dtype=np.uint8)

    thumbnails = Thumbnails(inputs_of(*PLANTED, more={"a": {"shard": "shard-0.tar"}}), read)
    assert thumbnails.jpeg("a") == thumbnails.jpeg("a")
    assert thumbnails.jpeg("e") == b""
    assert read_ids == ["a"]
    picture = cv2.imdecode(np.frombuffer(thumbnails.jpeg("a"), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    assert np.abs(picture[64, 64].astype(int) - (20, 90, 200)).max() <= 6  # OpenCV's order: blue first
    assert base64.b64encode(thumbnails.jpeg("a")).startswith(b"/9j/")


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("contradictions", ("a",), {"grades": {"a": 3}, "referable": {"a": 0}}), "grade 3; not referable"),
        (
            Finding("identity", ("a",), {"path": "a", "fields": ["PatientName"], "text_beside_the_disc": True}),
            "header: PatientName; text beside the disc",
        ),
        (
            Finding("shortcuts", (), {"predictor": "site", "value": "hill", "grade": 0, "n": 31}),
            "site 'hill' has grade 0 only, 31 photographs",
        ),
        (
            Finding(
                "shortcuts", (), {"predictor": "disc_radius", "values": 4, "auc": {"value": 0.8123}, "null_99th": 0.561}
            ),
            "disc radius (4 values): area under the ROC curve 0.812 out of fold, by chance at most 0.561 in 99 of 100",
        ),
        (
            Finding("aspect", ("a",), {"photographs": 3, "of": 4, "median": 0.75, "range": [0.7, 0.8], "restored": 3}),
            "3 of 4 photographs; width over height 0.750 in the median, 0.700 to 0.800; 3 restored",
        ),
    ],
)
def test_texts_of_findings(finding: Finding, text: str) -> None:
    assert sentence(finding) == text
