"""Each kind of fault is found, without false findings."""

from collections import Counter
from dataclasses import replace

import pytest

from dr_pipeline.audit.actions import counts_of
from dr_pipeline.audit.duplicates import identical_groups, join_duplicates
from dr_pipeline.audit.findings import KINDS, Finding, clusters_across_sites, photograph_findings
from dr_pipeline.audit.inputs import AuditInputs, join_inputs
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.errors import DataError
from dr_pipeline.params.curation import Audit
from tests.factories.audit_tables import PLANTED, inputs_of, intake, tables


def found(inputs: AuditInputs, *near: NearDuplicate) -> list[Finding]:
    return photograph_findings(inputs, join_duplicates(identical_groups(inputs), near))


def ids(findings: list[Finding], kind: str) -> list[tuple[str, ...]]:
    return [finding.image_ids for finding in findings if finding.kind == kind]


def test_every_kind_has_an_action_in_params() -> None:
    assert set(KINDS) == {name for name in Audit.model_fields if not name.startswith(("min_", "max_", "search_"))}


def test_every_planted_fault_is_found_and_nothing_else() -> None:
    findings = found(inputs_of(*PLANTED, report=intake(orphans={"rows": ["r"], "files": ["x.jpg", "y.jpg"]})))
    assert ids(findings, "identical") == [("b", "b2", "b3"), ("c1", "c2"), ("d1", "d2"), ("f", "f2")]
    assert ids(findings, "contradictions") == [("c1", "c2")]  # not the two blank frames f, f2
    assert ids(findings, "cross_patient") == [("d1", "d2")]
    assert ids(findings, "unreadable") == [("e",)]
    assert ids(findings, "not_fundus") == [("f",), ("f2",)]  # ungradable is a result, not a fault
    assert [finding.detail for finding in findings if finding.kind == "orphans"] == [
        {"row": "r"},
        {"file": "x.jpg"},
        {"file": "y.jpg"},
    ]
    assert counts_of(findings) == dict.fromkeys(KINDS, 0) | {
        "identical": 4, "contradictions": 1, "cross_patient": 1, "unreadable": 1, "not_fundus": 2, "orphans": 3,
    }  # fmt: skip


def test_several_fields_and_squashed_photographs_are_found() -> None:
    rows = [(name, name.upper(), "1", name, "scored") for name in ("a", "b", "c", "d")]
    more = {
        "a": {
            "quality_reasons": "several_fields",
            "status": "ungradable",
            "disc_fit": "circle",
            "disc_aspect": "1.0000",
        },
        "b": {"disc_fit": "circle", "disc_aspect": "0.7500", "aspect_restored": "1"},
        "c": {"disc_fit": "circle", "disc_aspect": "0.7400", "aspect_restored": "1"},
        "d": {"disc_fit": "bounding_box", "disc_aspect": "1.5000", "aspect_restored": "0"},
    }
    assert found(inputs_of(*rows, more=more)) == [
        Finding("several_fields", ("a",), {"path": "a.jpg"}),
        Finding(
            "aspect",
            ("b", "c"),
            {"photographs": 2, "of": 4, "median": 0.75, "range": [0.74, 0.75], "restored": 2},
        ),
    ]


def test_findings_do_not_depend_on_the_order_of_rows() -> None:
    assert found(inputs_of(*PLANTED)) == found(inputs_of(*reversed(PLANTED)))


def test_unknown_patients_and_grades_are_no_contradiction() -> None:
    findings = found(inputs_of(("a", "A", "", "", "scored"), ("b", "A", "2", "p", "scored")))
    assert Counter(finding.kind for finding in findings) == {"identical": 1}


def test_near_duplicates_contradict_and_cross_patients_as_identical_ones_do() -> None:
    inputs = inputs_of(("a", "A", "0", "p", "scored"), ("b", "B", "2", "q", "scored"), ("c", "C", "2", "q", "scored"))
    findings = found(inputs, NearDuplicate("a", "b", 7, 0.98765, 3))
    assert findings == [
        Finding("near_duplicates", ("a", "b"), {"distance": 7, "correlation": 0.9877, "turn": 3}),
        Finding("contradictions", ("a", "b"), {"grades": {"a": 0, "b": 2}}),
        Finding("cross_patient", ("a", "b"), {"patients": 2}),
    ]


def test_a_grade_can_contradict_the_column_referable() -> None:
    three = (("a", "A", "3", "", "scored"), ("b", "B", "", "", "scored"), ("c", "B", "1", "", "scored"))
    agreeing = {"a": {"referable": "1"}, "b": {"referable": "0"}}
    assert not ids(found(inputs_of(*three, more=agreeing)), "contradictions")
    apart = {"a": {"referable": "0"}, "b": {"referable": "1"}}
    findings = found(inputs_of(*three, more=apart))
    assert [finding.detail for finding in findings if finding.kind == "contradictions"] == [
        {"grades": {"c": 1}, "referable": {"b": 1}},
        {"grades": {"a": 3}, "referable": {"a": 0}},
    ]


def test_exchanged_colours_are_reported_for_fundus_photographs_only() -> None:
    swapped = {"quality_reasons": "dark;colour_order"}
    more = {"a": swapped, "b": {"quality_reasons": "dark"}, "f": swapped}
    assert ids(found(inputs_of(*PLANTED, more=more)), "colour_order") == [("a",)]


def test_identity_is_given_by_the_names_of_fields_only() -> None:
    report = intake(identity=[{"image_id": "a", "fields": ["PatientName", "PatientBirthDate"]}])
    findings = found(inputs_of(*PLANTED, report=report, more={"g": {"annotation": "1"}}))
    assert [(finding.image_ids, finding.detail) for finding in findings if finding.kind == "identity"] == [
        (("a",), {"path": "a.jpg", "fields": ["PatientName", "PatientBirthDate"], "text_beside_the_disc": False}),
        (("g",), {"path": "g.jpg", "fields": [], "text_beside_the_disc": True}),
    ]


def test_a_file_that_the_intake_could_not_read_is_unreadable() -> None:
    report = intake(unreadable=[{"image_id": "a", "path": "a.jpg", "reason": "permission denied"}])
    findings = found(inputs_of(*PLANTED, report=report))
    assert ids(findings, "unreadable") == [("a",), ("e",)]
    assert findings[-4].detail == {"path": "a.jpg", "status": "failed", "reason": "permission denied"}


def test_tables_about_different_photographs_are_refused() -> None:
    manifest, index = tables(PLANTED)
    del index["a"]
    with pytest.raises(DataError, match=r"a \(1 in all\)"):
        join_inputs(manifest, index, intake())


def test_a_report_of_an_older_intake_is_refused() -> None:
    report = intake()
    del report["identity"]
    with pytest.raises(DataError, match="no entry 'identity'"):
        join_inputs(*tables(PLANTED), report)


def test_one_picture_in_two_sources_names_their_sites_and_is_not_one_of_two_patients() -> None:
    rows = [("hill__1", "A", "1", "hill__p", "scored"), ("sea__1", "A", "2", "sea__p", "scored"),
            ("sea__2", "B", "2", "sea__q", "scored"), ("sea__3", "B", "2", "sea__r", "scored")]  # fmt: skip
    inputs = inputs_of(*rows)
    named = {name: replace(row, source=name[:4], site=name.partition("__")[0]) for name, row in inputs.rows.items()}
    inputs = replace(inputs, rows=named)
    findings = found(inputs)
    assert ids(findings, "cross_patient") == [("sea__2", "sea__3")]
    (contradiction,) = [finding for finding in findings if finding.kind == "contradictions"]
    assert contradiction.to_row("exclude", inputs)["sites"] == ["hill", "sea"]
    clusters = join_duplicates(identical_groups(inputs), ()).clusters
    assert clusters_across_sites(inputs, clusters) == [{"sites": ["hill", "sea"], "clusters": 1}]
