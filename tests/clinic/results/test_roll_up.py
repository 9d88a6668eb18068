"""Photographs → eyes → patients: a table worked by hand, and what holds for any photographs."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.clinic.results.policy import Policy
from dr_pipeline.clinic.results.roll_up import Results, roll_up, uncertainty
from dr_pipeline.errors import DataError
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.result_eyes import EyeResult
from dr_pipeline.tables.result_patients import Decision, PatientResult
from dr_pipeline.tables.result_photographs import Use
from tests.factories.predictions import predictions

HAND_WORKED = Path(__file__).with_name("hand_worked.csv")


def hand_worked() -> list[dict[str, str]]:
    with HAND_WORKED.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def roll(*examinations: tuple[str, str, str], policy: Policy = Policy()) -> Results:  # noqa: B008
    rows, births = predictions(examinations)
    return roll_up(rows, policy, births)


def described(row: PatientResult) -> dict[str, str]:
    """A result in the words of the table that was worked by hand."""

    def cell(value: object) -> str:
        return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)

    def eye(status: str, grade: int | None) -> str:
        return "-" if not status else cell(grade) if status == "graded" else status[0]

    return {
        "patient": row.patient_id,
        "visit": row.visit,
        "decision": row.decision,
        "urgency": row.urgency,
        "months": cell(row.within_months),
        "grade": cell(row.grade),
        "referable": cell(row.referable),
        "threatening": cell(row.vision_threatening),
        "any": cell(row.any_referable),
        "human": cell(row.needs_human),
        "right": eye(row.right, row.right_grade),
        "left": eye(row.left, row.left_grade),
        "reasons": row.reasons,
    }


def test_agrees_with_every_patient_worked_by_hand() -> None:
    table = hand_worked()
    rows, births = predictions((case["patient"], case["visit"], case["photographs"]) for case in table)
    results = {
        (policy, row.patient_id, row.visit): described(row)
        for policy in ("rescreen", "refer")
        for row in roll_up(rows, Policy(on_ungradable=Decision(policy)), births).patients
    }
    known = [case for case in table if case["patient"]]
    wrong = [
        (case, found)
        for case in known
        if (found := results[case["policy"], case["patient"], case["visit"]]).items() - case.items()
    ]
    assert wrong == []
    assert len({case["patient"] for case in known}) >= 60
    assert len(results) == 2 * len(known)  # nobody else has a result
    assert {case["decision"] for case in table} - {*Decision, "none"} == set()


PHOTOGRAPHS = st.builds(
    lambda code, flag: code + flag, st.sampled_from("01234ufx"), st.sampled_from(["", "h", "r", "n"])
)
COPIES = st.sampled_from(["1h~a", "3~b", "u~c"])  # equal pixels have equal results
WORDS = st.builds(
    lambda eye, photograph, site, birth: f"{eye}{photograph}{site}{birth}",
    st.sampled_from("RL?"),
    st.one_of(PHOTOGRAPHS, PHOTOGRAPHS, COPIES),
    st.sampled_from(["", "", "%van"]),
    st.sampled_from(["", "", "@1950", "@1951"]),
)
EXAMINATIONS = st.lists(
    st.tuples(
        st.sampled_from(["", "P1", "P2", "P3"]),
        st.sampled_from(["", "2024"]),
        st.lists(WORDS, min_size=1, max_size=5).map(" ".join),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(EXAMINATIONS, st.sampled_from(["rescreen", "refer"]))
def test_every_photograph_is_in_the_tables_once(examinations: list[tuple[str, str, str]], policy: str) -> None:
    rows, births = predictions(examinations)
    results = roll_up(rows, Policy(on_ungradable=Decision(policy)), births)
    assert [row.image_id for row in results.photographs] == [row.image_id for row in rows]
    uses = Counter(row.use for row in results.photographs)
    assert sum(row.photographs for row in results.eyes) == uses[Use.COUNTED] + uses[Use.DUPLICATE]
    assert sum(row.photographs for row in results.patients) == len(rows) - uses[Use.NO_PATIENT]
    assert {(row.patient_id, row.visit) for row in results.patients} == {
        (row.patient_id, row.visit) for row in rows if row.patient_id
    }


@settings(max_examples=40, deadline=None)
@given(EXAMINATIONS, st.randoms())
def test_the_order_of_the_photographs_does_not_matter(examinations: list[tuple[str, str, str]], random) -> None:
    rows, births = predictions(examinations)
    shuffled = random.sample(rows, len(rows))
    assert roll_up(shuffled, Policy(), births).patients == roll_up(rows, Policy(), births).patients


@settings(max_examples=40, deadline=None)
@given(EXAMINATIONS, st.sampled_from(["R", "L"]), st.sampled_from("234"))
def test_a_worse_photograph_never_ends_in_less(examinations: list[tuple[str, str, str]], eye: str, grade: str) -> None:
    worse = [*examinations, ("P1", "2024", f"{eye}{grade}")]
    before = [row for row in roll(*examinations).patients if (row.patient_id, row.visit) == ("P1", "2024")]
    (after,) = [row for row in roll(*worse).patients if (row.patient_id, row.visit) == ("P1", "2024")]
    assert after.any_referable
    assert after.decision is Decision.PERSON or (after.decision is Decision.REFER and after.grade >= int(grade))
    if before and before[0].decision is Decision.REFER:
        assert after.within_months <= before[0].within_months


@settings(max_examples=40, deadline=None)
@given(EXAMINATIONS)
def test_a_copy_changes_no_decision(examinations: list[tuple[str, str, str]]) -> None:
    rows, births = predictions(examinations)
    copies = [
        replace(row, image_id=f"copy-of-{row.image_id}", duplicate_of=row.duplicate_of or row.image_id)
        for row in rows
        if row.status is not Status.FAILED  # files that cannot be decoded have no pixels to compare
    ]
    before, after = roll_up(rows, Policy(), births).patients, roll_up([*rows, *copies], Policy(), births).patients
    assert [replace(row, photographs=0) for row in after] == [replace(row, photographs=0) for row in before]


def test_an_eye_has_the_probabilities_and_uncertainty_of_its_worst_gradable_photograph() -> None:
    right, left = roll(("P", "", "R1 R3 R3~a R3~a Ru Rf Rx L0")).eyes
    assert (right.eye, right.image_id, right.grade) == (Eye.RIGHT, "image-0002", 3)
    assert right.uncertainty == pytest.approx(0.4832, abs=1e-4)  # -(0.8 ln 0.8 + 4 · 0.05 ln 0.05) / ln 5
    assert (right.photographs, right.scored, right.ungradable, right.failed, right.not_fundus, right.duplicates) == (
        *(7, 3, 1, 1, 1, 1),
    )
    assert isinstance(left, EyeResult)
    assert (left.grade, left.photographs) == (0, 1)


def test_uncertainty_is_normalised() -> None:
    assert uncertainty((1.0, 0.0, 0.0, 0.0, 0.0)) == 0.0
    assert uncertainty((0.2,) * 5) == pytest.approx(1.0)


def test_birth_dates_of_dicom_headers_count_as_hashes() -> None:
    rows, _ = predictions([("P", "1", "R0 L0"), ("P", "2", "R4 L0"), ("Q", "", "R0 L0")])
    hashes = ["aa", "aa", "aa", "bb", "cc", ""]
    hashed = [replace(row, birth_date_hash=text) for row, text in zip(rows, hashes, strict=True)]
    decisions = {(row.patient_id, row.visit): row.reasons for row in roll_up(hashed).patients}
    assert decisions == {("P", "1"): "birth_dates_differ", ("P", "2"): "birth_dates_differ", ("Q", ""): ""}
    # A date from a table is not compared with a hash.
    assert roll_up(hashed[4:], birth_dates={"image-0005": "1950"}).patients[0].reasons == ""


def test_a_programme_sets_its_own_months() -> None:
    policy = Policy(months=(24, 12, 4, 2, 1))
    patients = roll(("A", "", "R0 L0"), ("B", "", "R1r L0"), ("C", "", "R3 L0"), policy=policy).patients
    assert [row.within_months for row in patients] == [24, 4, 2]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"months": (12, 12, 6, 3)}, "5 whole numbers"),
        ({"months": (12, 12, 6, 7, 1)}, "none above the one before"),
        ({"months": (12, 12, 6, 3, 0)}, "from 1"),
        ({"on_ungradable": Decision.RECALL}, "rescreened or referred, not recall"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Policy(**policy)


def changed_rows() -> Iterator[tuple[list, str]]:
    rows, _ = predictions([("Maria Secret", "", "R0 L0")])
    yield [rows[0], rows[0]], "two rows have one image_id: 2 and 3"
    yield [rows[0], replace(rows[1], grade=None)], "row 3"
    yield [replace(rows[0], probabilities=None)], "row 2"


@pytest.mark.parametrize(("rows", "message"), list(changed_rows()))
def test_a_table_that_was_changed_is_refused_without_naming_patients(rows: list, message: str) -> None:
    with pytest.raises(DataError) as caught:
        roll_up(rows)
    assert message in str(caught.value)
    assert "Secret" not in str(caught.value)
