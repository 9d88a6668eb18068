"""The audit: each kind of fault is found, nothing else is, and params decide what follows."""

import argparse
from pathlib import Path

import pytest
import yaml

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_csv, read_json, write_csv, write_json
from dr_pipeline.intake.audit import exclusions, find
from dr_pipeline.params.audit import Audit
from dr_pipeline.params.load import validate
from dr_pipeline.schema import (
    CANVAS_INDEX_COLUMNS,
    CANVAS_INDEX_VERSION,
    MANIFEST_COLUMNS,
    MANIFEST_VERSION,
)
from dr_pipeline.stages import audit as stage
from tests.conftest import REPOSITORY

REPORT_ALL = {
    "identical": "report",
    "contradictions": "report",
    "cross_patient": "report",
    "orphans": "report",
    "unreadable": "exclude",
}
NO_ORPHANS: dict[str, list[str]] = {"rows": [], "files": []}


def actions(**changed: str) -> Audit:
    return validate({**REPORT_ALL, **changed}, Audit, where="test")


def tables(*photographs: tuple[str, str, str, str, str]) -> tuple[list[dict[str, str]], dict[str, dict[str, str]]]:
    """Manifest and index of photographs given as (id, pixels, grade, patient, status)."""
    manifest, index = [], {}
    for image_id, pixels, grade, patient, status in photographs:
        manifest.append(
            dict.fromkeys(MANIFEST_COLUMNS, "")
            | {
                "schema_version": str(MANIFEST_VERSION),
                "image_id": image_id,
                "path": f"{image_id}.jpg",
                "grade": grade,
                "patient_id": patient,
                "excluded": "0",
            }
        )
        index[image_id] = dict.fromkeys(CANVAS_INDEX_COLUMNS, "") | {
            "schema_version": str(CANVAS_INDEX_VERSION),
            "image_id": image_id,
            "status": status,
            "reason": "" if status == "scored" else "a reason",
            "pixel_sha256": pixels,
            "width": "64",
            "height": "48",
        }
    return manifest, index


PLANTED = (
    ("a", "A", "0", "p1", "scored"),
    ("b", "B", "1", "p1", "scored"),
    ("b2", "B", "1", "p1", "scored"),
    ("b3", "B", "1", "p1", "scored"),
    ("c1", "C", "3", "p2", "scored"),
    ("c2", "C", "4", "p2", "scored"),
    ("d1", "D", "2", "p3", "scored"),
    ("d2", "D", "2", "p4", "scored"),
    ("e", "", "4", "p5", "failed"),
    ("f", "F", "0", "p6", "not_fundus"),
    ("f2", "F", "4", "p7", "not_fundus"),
    ("g", "G", "4", "p8", "ungradable"),
)


def test_every_planted_fault_is_found_and_nothing_else() -> None:
    findings = find(*tables(*PLANTED), {"rows": ["r"], "files": ["x.jpg", "y.jpg"]})
    assert findings.identical == (("b", "b2", "b3"), ("c1", "c2"), ("d1", "d2"), ("f", "f2"))
    assert findings.contradictions == (("c1", "c2"),)  # not the two blank frames f, f2
    assert findings.cross_patient == (("d1", "d2"),)
    assert findings.unreadable == ("e", "f", "f2")  # ungradable is a result, not a fault
    assert findings.counts()["orphans"] == 3


def test_findings_do_not_depend_on_the_order_of_rows() -> None:
    assert find(*tables(*PLANTED), NO_ORPHANS) == find(*tables(*reversed(PLANTED)), NO_ORPHANS)


def test_unknown_patients_and_grades_contradict_nobody() -> None:
    findings = find(*tables(("a", "A", "", "", "scored"), ("b", "A", "2", "p", "scored")), NO_ORPHANS)
    assert findings.identical == (("a", "b"),)
    assert not findings.contradictions
    assert not findings.cross_patient


def test_files_that_could_not_be_decoded_are_not_identical() -> None:
    assert not find(*tables(("a", "", "0", "", "failed"), ("b", "", "1", "", "failed")), NO_ORPHANS).identical


def excluded(**changed: str) -> dict[str, str]:
    manifest, index = tables(*PLANTED)
    return exclusions(find(manifest, index, NO_ORPHANS), manifest, index, actions(**changed))


def test_what_each_action_leaves_out() -> None:
    assert set(excluded()) == {"e", "f", "f2"}
    assert set(excluded(contradictions="exclude")) == {"e", "f", "f2", "c1", "c2"}
    assert set(excluded(cross_patient="exclude")) == {"e", "f", "f2", "d1", "d2"}
    assert set(excluded(identical="exclude")) == {"e", "f", "f2", "b2", "b3", "c2", "d2"}
    assert excluded(identical="exclude", contradictions="exclude")["c2"] == (
        "identical to c1 with another grade; identical to c1"
    )
    assert excluded()["e"] == "failed: a reason"


def test_of_identical_photographs_a_graded_one_stays() -> None:
    manifest, index = tables(("a", "A", "", "", "scored"), ("b", "A", "2", "", "scored"), ("c", "A", "2", "", "scored"))
    found = find(manifest, index, NO_ORPHANS)
    assert set(exclusions(found, manifest, index, actions(identical="exclude"))) == {"a", "c"}


def run_stage(folder: Path, photographs: tuple[tuple[str, str, str, str, str], ...], **changed: str) -> Path:
    manifest, index = tables(*photographs)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["audit"] = {**REPORT_ALL, **changed}
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write_csv(folder / "manifest.csv", MANIFEST_COLUMNS, manifest)
    write_csv(folder / "index.csv", CANVAS_INDEX_COLUMNS, index.values())
    intake = {
        "orphans": {"rows": ["gone"], "files": []},
        "patient_ids": {"known": True, "photographs_without": 0},
        "warnings": ["grade 2 (Moderate NPDR) is absent"],
    }
    write_json(folder / "intake.json", intake)
    stage.run(
        argparse.Namespace(
            params=folder / "params.yaml",
            manifest=folder / "manifest.csv",
            intake=folder / "intake.json",
            index=folder / "index.csv",
            out=folder / "audited.csv",
            report=folder / "audit.json",
        )
    )
    return folder


def test_the_stage_keeps_every_row_and_reports_every_finding(tmp_path: Path) -> None:
    run_stage(tmp_path, PLANTED, contradictions="exclude")
    rows = {row["image_id"]: row for row in read_csv(tmp_path / "audited.csv", MANIFEST_COLUMNS, version=1)}
    assert set(rows) == {photograph[0] for photograph in PLANTED}
    assert {name: row["duplicate_cluster"] for name, row in rows.items() if row["duplicate_cluster"]} == {
        "b": "b", "b2": "b", "b3": "b", "c1": "c1", "c2": "c1", "d1": "d1", "d2": "d1", "f": "f", "f2": "f",
    }  # fmt: skip
    assert {name for name, row in rows.items() if row["excluded"] == "1"} == {"c1", "c2", "e", "f", "f2"}
    assert all(bool(row["exclusion_reason"]) == (row["excluded"] == "1") for row in rows.values())
    assert (rows["a"]["pixel_sha256"], rows["a"]["width"], rows["a"]["height"]) == ("A", "64", "48")

    report = read_json(tmp_path / "audit.json")
    assert report["identical"] == [["b", "b2", "b3"], ["c1", "c2"], ["d1", "d2"], ["f", "f2"]]
    assert report["contradictions"] == [{"image_ids": ["c1", "c2"], "grades": {"c1": 3, "c2": 4}}]
    assert report["cross_patient"] == [{"image_ids": ["d1", "d2"], "patients": {"d1": "p3", "d2": "p4"}}]
    assert report["orphans"] == {"rows": ["gone"], "files": []}
    assert [fault["image_id"] for fault in report["unreadable"]] == ["e", "f", "f2"]
    assert (report["photographs"], report["used"]) == (12, 7)
    assert report["warnings"] == ["grade 2 (Moderate NPDR) is absent"]
    four = {"n": 4, "ungradable": 1, "not_fundus": 1, "failed": 1, "share": 0.75}
    assert report["rejection_by_grade"]["4"] == four


def test_absent_grades_are_named(tmp_path: Path) -> None:
    run_stage(tmp_path, (("a", "A", "0", "", "scored"), ("b", "B", "", "", "scored")))
    assert read_json(tmp_path / "audit.json")["grades"] == {
        "counts": {"0": 1, "1": 0, "2": 0, "3": 0, "4": 0},
        "absent": [1, 2, 3, 4],
        "ungraded": 1,
    }


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("identical", "4 identical"),
        ("contradictions", "1 contradictions"),
        ("cross_patient", "1 cross-patient"),
        ("orphans", "1 orphans"),
        ("unreadable", "3 unreadable"),
    ],
)
def test_stop_writes_the_report_and_then_refuses(tmp_path: Path, kind: str, told: str) -> None:
    with pytest.raises(GateError, match=told) as caught:
        run_stage(tmp_path, PLANTED, **{kind: "stop"})
    assert str(tmp_path / "audit.json") in str(caught.value)
    assert read_json(tmp_path / "audit.json")["actions"][kind] == "stop"
    assert not (tmp_path / "audited.csv").exists()


def test_stop_lets_a_clean_data_set_pass(tmp_path: Path) -> None:
    stops = dict.fromkeys(("identical", "contradictions", "cross_patient", "unreadable"), "stop")
    run_stage(tmp_path, (("a", "A", "0", "p", "scored"), ("b", "B", "0", "p", "ungradable")), **stops)


def test_nothing_left_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="no graded photograph is left of 2"):
        run_stage(tmp_path, (("a", "", "0", "", "failed"), ("b", "B", "", "", "scored")))


def test_tables_about_different_photographs_are_refused() -> None:
    manifest, index = tables(*PLANTED)
    del index["a"]
    with pytest.raises(DataError, match=r"a \(1 in all\)"):
        find(manifest, index, NO_ORPHANS)
