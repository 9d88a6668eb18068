"""What params leave out, why, and which of several copies stays."""

from typing import Any

import pytest

from dr_pipeline.audit.actions import exclusions, stopping
from dr_pipeline.audit.findings import KINDS, photograph_findings
from dr_pipeline.audit.identical import identical_groups, same_pictures
from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.audit.near_duplicates import NearDuplicate
from tests.factories.audit_tables import PLANTED, evidence_of, intake, params

ALWAYS = {"e", "f", "f2"}


def excluded(evidence: Evidence, *near: NearDuplicate, **changed: Any) -> dict[str, str]:
    pictures = same_pictures(identical_groups(evidence), near)
    return exclusions(photograph_findings(evidence, pictures), pictures, evidence, params(**changed))


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({}, set()),
        ({"contradictions": "exclude"}, {"c1", "c2"}),
        ({"cross_patient": "exclude"}, {"d1", "d2"}),
        ({"identical": "exclude"}, {"b2", "b3", "c2", "d2"}),
        ({"identical": "stop"}, set()),
    ],
)
def test_what_each_action_leaves_out(changed: dict[str, str], more: set[str]) -> None:
    assert set(excluded(evidence_of(*PLANTED), **changed)) == ALWAYS | more


def test_every_reason_is_kept() -> None:
    reasons = excluded(evidence_of(*PLANTED), identical="exclude", contradictions="exclude")
    assert reasons["c2"] == "one picture with c1 with another grade; identical to c1"
    assert reasons["e"] == "failed: a reason"
    assert list(reasons) == sorted(reasons)


def test_colours_and_identity_can_be_left_out() -> None:
    report = intake(identity=[{"image_id": "a", "fields": ["PatientName"]}])
    evidence = evidence_of(
        *PLANTED, report=report, more={"a": {"annotation": "1"}, "g": {"quality_reasons": "colour_order"}}
    )
    assert set(excluded(evidence)) == ALWAYS
    reasons = excluded(evidence, identity="exclude", colour_order="exclude")
    assert reasons["a"] == "may tell who the person is: PatientName, text beside the disc"
    assert reasons["g"] == "red and blue are exchanged"


def test_of_identical_photographs_a_graded_one_stays() -> None:
    evidence = evidence_of(("a", "A", "", "", "scored"), ("b", "A", "2", "", "scored"), ("c", "A", "2", "", "scored"))
    assert excluded(evidence, identical="exclude") == {"a": "identical to b", "c": "identical to b"}


def test_of_near_duplicates_one_stays_that_nothing_else_leaves_out() -> None:
    """Of a photograph and its copy with exchanged colours the good one stays, whatever their names."""
    evidence = evidence_of(
        ("a", "A", "2", "", "scored"), ("b", "B", "2", "", "scored"), more={"a": {"quality_reasons": "colour_order"}}
    )
    pair = NearDuplicate("a", "b", 3, 0.99, 0)
    assert set(excluded(evidence, pair, near_duplicates="exclude", colour_order="exclude")) == {"a"}
    assert set(excluded(evidence, pair, near_duplicates="exclude")) == {"b"}


def test_chains_of_near_duplicates_keep_one_picture_with_its_identical_copies() -> None:
    evidence = evidence_of(
        ("a", "A", "1", "", "scored"),
        ("a2", "A", "1", "", "scored"),
        ("b", "B", "1", "", "scored"),
        ("c", "C", "1", "", "scored"),
        ("c2", "C", "1", "", "scored"),
    )
    chain = (NearDuplicate("a", "b", 3, 0.99, 0), NearDuplicate("b", "c", 3, 0.99, 0))
    assert excluded(evidence, *chain, near_duplicates="exclude") == {
        "b": "near duplicate of a", "c": "near duplicate of a", "c2": "near duplicate of a",
    }  # fmt: skip
    both = excluded(evidence, *chain, near_duplicates="exclude", identical="exclude")
    assert set(both) == {"a2", "b", "c", "c2"}


def test_a_large_group_does_not_name_everybody_in_every_reason() -> None:
    photographs = [(f"{n:03d}", "A", str(n % 2), "", "scored") for n in range(200)]
    reasons = excluded(evidence_of(*photographs), contradictions="exclude")
    assert len(reasons) == 200
    assert reasons["001"] == "one picture with 000, 002, 003 and 196 more with another grade"


def test_only_kinds_that_were_found_stop() -> None:
    stops = params(**dict.fromkeys(KINDS, "stop"))
    assert stopping(dict.fromkeys(KINDS, 0) | {"orphans": 3}, stops) == {"orphans": 3}
    assert not stopping(dict.fromkeys(KINDS, 5), params())
