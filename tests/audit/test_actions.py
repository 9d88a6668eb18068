"""Which photographs the actions exclude, why, and which of several copies is kept."""

from typing import Any

import pytest

from dr_pipeline.audit.actions import counts_of, exclusions, require_no_stop
from dr_pipeline.audit.duplicates import identical_groups, join_duplicates
from dr_pipeline.audit.findings import KINDS, photograph_findings
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.audit.near_duplicates import NearDuplicate
from dr_pipeline.audit.same_eye import EyeGroup, SameEyePair
from dr_pipeline.errors import GateError
from tests.factories.audit_tables import PLANTED, inputs_of, intake, params

ALWAYS = {"e", "f", "f2"}


def excluded(inputs: AuditInputs, *near: NearDuplicate, **changed: Any) -> dict[str, str]:
    duplicates = join_duplicates(identical_groups(inputs), near)
    return exclusions(photograph_findings(inputs, duplicates), duplicates, inputs, params(**changed))


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
def test_photographs_excluded_by_each_action(changed: dict[str, str], more: set[str]) -> None:
    assert set(excluded(inputs_of(*PLANTED), **changed)) == ALWAYS | more


def test_every_reason_is_kept() -> None:
    reasons = excluded(inputs_of(*PLANTED), identical="exclude", contradictions="exclude")
    assert reasons["c2"] == "one picture with c1 with another grade; identical to c1"
    assert reasons["e"] == "failed: a reason"
    assert list(reasons) == sorted(reasons)


def test_colours_and_identity_can_be_excluded() -> None:
    report = intake(identity=[{"image_id": "a", "fields": ["PatientName"]}])
    inputs = inputs_of(
        *PLANTED, report=report, more={"a": {"annotation": "1"}, "g": {"quality_reasons": "colour_order"}}
    )
    assert set(excluded(inputs)) == ALWAYS
    reasons = excluded(inputs, identity="exclude", colour_order="exclude")
    assert reasons["a"] == "may tell who the person is: PatientName, text beside the disc"
    assert reasons["g"] == "red and blue are exchanged"


def test_several_fields_are_excluded_and_squashed_photographs_on_request() -> None:
    squashed = {"disc_fit": "circle", "disc_aspect": "0.7500", "aspect_restored": "0"}
    inputs = inputs_of(*PLANTED, more={"a": {"quality_reasons": "several_fields"}, "g": squashed})
    assert excluded(inputs)["a"] == "several fields of view in one picture"
    assert "g" not in excluded(inputs)
    assert excluded(inputs, aspect="exclude")["g"] == "squashed or stretched"


def test_of_identical_photographs_a_graded_one_is_kept() -> None:
    inputs = inputs_of(("a", "A", "", "", "scored"), ("b", "A", "2", "", "scored"), ("c", "A", "2", "", "scored"))
    assert excluded(inputs, identical="exclude") == {"a": "identical to b", "c": "identical to b"}


def test_of_near_duplicates_the_one_without_another_fault_is_kept() -> None:
    """Of a photograph and its copy with exchanged colours the good one stays, whatever their names."""
    inputs = inputs_of(
        ("a", "A", "2", "", "scored"), ("b", "B", "2", "", "scored"), more={"a": {"quality_reasons": "colour_order"}}
    )
    pair = NearDuplicate("a", "b", 3, 0.99, 0)
    assert set(excluded(inputs, pair, near_duplicates="exclude", colour_order="exclude")) == {"a"}
    assert set(excluded(inputs, pair, near_duplicates="exclude")) == {"b"}


def test_chains_of_near_duplicates_keep_one_picture_with_its_identical_copies() -> None:
    inputs = inputs_of(
        ("a", "A", "1", "", "scored"),
        ("a2", "A", "1", "", "scored"),
        ("b", "B", "1", "", "scored"),
        ("c", "C", "1", "", "scored"),
        ("c2", "C", "1", "", "scored"),
    )
    chain = (NearDuplicate("a", "b", 3, 0.99, 0), NearDuplicate("b", "c", 3, 0.99, 0))
    assert excluded(inputs, *chain, near_duplicates="exclude") == {
        "b": "near duplicate of a", "c": "near duplicate of a", "c2": "near duplicate of a",
    }  # fmt: skip
    both = excluded(inputs, *chain, near_duplicates="exclude", identical="exclude")
    assert set(both) == {"a2", "b", "c", "c2"}


def test_of_an_eye_photographed_several_times_one_photograph_is_kept() -> None:
    inputs = inputs_of(
        ("a", "A", "", "", "scored"), ("b", "B", "1", "", "scored"), ("b2", "B", "1", "", "scored"),
        ("c", "C", "2", "", "scored"), ("d", "D", "3", "", "scored"),
    )  # fmt: skip
    duplicates = join_duplicates(identical_groups(inputs), [])
    pair = SameEyePair("a", "b", 40, 0.7, 2.0, 1.0, 0.1)
    findings = photograph_findings(inputs, duplicates, [EyeGroup("a", ("a", "b", "b2", "c"), (pair,))])
    assert exclusions(findings, duplicates, inputs, params(same_eye="exclude")) == {
        "a": "the same eye as b", "c": "the same eye as b",
    }  # fmt: skip
    assert exclusions(findings, duplicates, inputs, params()) == {}
    with pytest.raises(GateError, match=r"1 same-eye(.|\n)*audit\.same_eye"):
        require_no_stop(counts_of(findings), params(same_eye="stop", identical="report"), where="report")


def test_a_large_group_does_not_name_everybody_in_every_reason() -> None:
    photographs = [(f"{n:03d}", "A", str(n % 2), "", "scored") for n in range(200)]
    reasons = excluded(inputs_of(*photographs), contradictions="exclude")
    assert len(reasons) == 200
    assert reasons["001"] == "one picture with 000, 002, 003 and 196 more with another grade"


def test_only_kinds_that_were_found_stop() -> None:
    stops = params(**dict.fromkeys(KINDS, "stop"))
    with pytest.raises(GateError, match=r"stops the build: 3 orphans\n.*report\n.*set audit\.orphans in"):
        require_no_stop(dict.fromkeys(KINDS, 0) | {"orphans": 3}, stops, where="report")
    require_no_stop(dict.fromkeys(KINDS, 0), stops, where="report")
    require_no_stop(dict.fromkeys(KINDS, 5), params(), where="report")
