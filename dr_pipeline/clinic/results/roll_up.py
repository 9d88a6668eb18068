"""From photographs to eyes to patients. Pure: rows in, rows out.

The rules, which docs/how-to/patient-results.md explains:

1. An examination is a patient's visit. A photograph of an unknown patient has a result of its own and no other.
2. The grade of an eye is that of its worst gradable photograph, whatever the others show. Equal pixels count once.
3. No decision (`person`) where it is in doubt whose photograph or which eye it is.
4. Referral if an eye is referable, by the bundle's locked point or by its grade, with the urgency of the worse eye.
5. Otherwise an ungradable eye is photographed again or referred, as the programme declares; a missing one is
   photographed. Only two graded eyes lead to a recall.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr_pipeline.clinic.results.policy import DEFAULT_POLICY, Policy
from dr_pipeline.errors import DataError
from dr_pipeline.schema import NUM_GRADES, REFERABLE_FROM, Eye, Status
from dr_pipeline.tables.predictions import PredictionRow
from dr_pipeline.tables.result_eyes import EyeResult, EyeStatus
from dr_pipeline.tables.result_patients import Decision, PatientResult, Reason, Urgency
from dr_pipeline.tables.result_photographs import PhotographResult, Use

EYES = (Eye.RIGHT, Eye.LEFT)
_OF_AN_EYE = (Status.SCORED, Status.UNGRADABLE)  # certainly a photograph of an eye

Examination = tuple[str, str]  # patient id, visit


@dataclass(frozen=True)
class Results:
    """The three tables; `require_reconciled` holds."""

    photographs: tuple[PhotographResult, ...]  # in the order of the predictions
    eyes: tuple[EyeResult, ...]  # right before left, by examination
    patients: tuple[PatientResult, ...]  # sorted by patient and visit

    def require_reconciled(self) -> None:
        """Checks that every photograph is in the tables exactly once.

        Raises:
            RuntimeError: Counts differ, which is a fault of this program.
        """
        in_eyes = (row for row in self.photographs if row.use in (Use.COUNTED, Use.DUPLICATE))
        by_eye = Counter((row.patient_id, row.visit, row.eye) for row in in_eyes)
        by_patient = Counter((row.patient_id, row.visit) for row in self.photographs if row.patient_id)
        eyes = {(row.patient_id, row.visit, row.eye): row.photographs for row in self.eyes}
        patients = {(row.patient_id, row.visit): row.photographs for row in self.patients}
        decided = [(row.patient_id, row.visit) for row in self.patients if row.decision is not Decision.PERSON]
        parts = [row.scored + row.ungradable + row.not_fundus + row.failed + row.duplicates for row in self.eyes]
        if (
            patients != by_patient
            or +Counter(eyes) != by_eye
            or eyes.keys() != {(*examination, eye) for examination in decided for eye in EYES}
            or parts != [row.photographs for row in self.eyes]
        ):
            raise RuntimeError("the tables of photographs, eyes and patients do not reconcile")


def roll_up(
    rows: Sequence[PredictionRow],
    policy: Policy = DEFAULT_POLICY,
    birth_dates: Mapping[str, str] | None = None,
) -> Results:
    """The results of photographs, eyes and patients.

    Args:
        rows: A table of predictions; ids of images differ.
        policy: The programme's rules.
        birth_dates: By image id, where known beside the predictions: any text that is equal for equal dates.

    Raises:
        DataError: Two rows have one id, or a scored row has no grade. The message names rows, never patients.
    """
    _check(rows)
    examinations: defaultdict[Examination, list[PredictionRow]] = defaultdict(list)
    for row in rows:
        if row.patient_id:
            examinations[row.patient_id, row.visit].append(row)
    doubts = _doubts(examinations, birth_dates or {})
    places: dict[str, tuple[Use, Eye]] = {}
    eyes: list[EyeResult] = []
    patients: list[PatientResult] = []
    for examination, members in sorted(examinations.items()):
        reasons = doubts[examination]
        if reasons:
            places |= {row.image_id: (Use.NO_DECISION, row.eye) for row in members}
            patients.append(_undecided(examination, members, reasons))
            continue
        by_eye, duplicates = _sort_by_eye(members)
        for eye, of_eye in by_eye.items():
            for row in of_eye:
                use = Use.NO_EYE if not eye else Use.DUPLICATE if row.image_id in duplicates else Use.COUNTED
                places[row.image_id] = use, eye
        pair = [_eye(examination, eye, by_eye.get(eye, []), duplicates) for eye in EYES]
        eyes += pair
        patients.append(_patient(examination, members, pair, policy))
    photographs = tuple(_photograph(row, *places.get(row.image_id, (Use.NO_PATIENT, row.eye))) for row in rows)
    results = Results(photographs, tuple(eyes), tuple(patients))
    results.require_reconciled()
    return results


def uncertainty(probabilities: Sequence[float]) -> float:
    """Normalised entropy of the grades' probabilities: 0 where one has all, 1 where all are equal."""
    return -sum(p * math.log(p) for p in probabilities if p > 0) / math.log(NUM_GRADES) + 0.0


def is_referable(row: PredictionRow) -> bool:
    """Whether the locked referable point or the grade of a scored photograph asks for a referral."""
    return bool(row.referable) or (row.grade is not None and row.grade >= REFERABLE_FROM)


def _check(rows: Sequence[PredictionRow]) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if row.image_id in seen:
            raise DataError(
                f"two rows have one image_id: {seen[row.image_id]} and {number}",
                where="the predictions",
                todo="give each run's table to `results` by itself",
            )
        seen[row.image_id] = number
        needed = (row.grade, row.probabilities, row.expected_grade, row.referable, row.vision_threatening)
        if row.status is Status.SCORED and None in needed:
            raise DataError(
                "a scored photograph lacks its grade, probabilities or decisions",
                where=f"the predictions, row {number}",
                todo="use the table as `dr-pipeline score` wrote it",
            )


def _pixels(row: PredictionRow) -> str:
    """Names the pixels of a photograph: the id of the first photograph that has them."""
    return row.duplicate_of or row.image_id


def _doubts(
    examinations: Mapping[Examination, Sequence[PredictionRow]], birth_dates: Mapping[str, str]
) -> dict[Examination, list[Reason]]:
    """Why an examination can have no decision, in the order of `Reason`."""
    dates: defaultdict[str, set[str]] = defaultdict(set)
    hashes: defaultdict[str, set[str]] = defaultdict(set)  # of dates in DICOM headers
    places: defaultdict[str, set[tuple[Examination, Eye]]] = defaultdict(set)
    for examination, members in examinations.items():
        dates[examination[0]] |= {birth_dates.get(row.image_id, "") for row in members} - {""}
        hashes[examination[0]] |= {row.birth_date_hash for row in members} - {""}
        for row in members:
            # Only gradable photographs identify an eye: black frames of many patients have equal pixels.
            if row.status is Status.SCORED:
                places[_pixels(row)].add((examination, row.eye))
    doubts = {}
    for examination, members in examinations.items():
        shared = any(_is_elsewhere(places[_pixels(row)]) for row in members if row.status is Status.SCORED)
        by_eye, _ = _sort_by_eye(members)
        found = {
            Reason.BIRTH_DATES_DIFFER: len(dates[examination[0]]) > 1 or len(hashes[examination[0]]) > 1,
            Reason.SITES_DIFFER: len({row.site for row in members} - {""}) > 1,
            Reason.SAME_PHOTOGRAPH_ELSEWHERE: shared,
            Reason.EYE_UNKNOWN: any(row.status in _OF_AN_EYE for row in by_eye.get(Eye.UNKNOWN, ())),
        }
        doubts[examination] = [reason for reason, holds in found.items() if holds]
    return doubts


def _is_elsewhere(places: Collection[tuple[Examination, Eye]]) -> bool:
    """Whether equal pixels belong to two examinations, or to both eyes."""
    eyes = {eye for _, eye in places} - {Eye.UNKNOWN}
    return len({examination for examination, _ in places}) > 1 or len(eyes) > 1


def _sort_by_eye(members: Sequence[PredictionRow]) -> tuple[dict[Eye, list[PredictionRow]], set[str]]:
    """The photographs by eye, and the ids of those whose pixels are counted already.

    A copy of a gradable photograph without laterality is of the eye that another copy names.
    """
    known = {_pixels(row): row.eye for row in members if row.eye and row.status is Status.SCORED}
    by_eye: defaultdict[Eye, list[PredictionRow]] = defaultdict(list)
    duplicates, counted = set(), set()
    for row in sorted(members, key=lambda row: not row.eye):  # those that name their eye first
        eye = row.eye or known.get(_pixels(row), Eye.UNKNOWN)
        by_eye[eye].append(row)
        if (eye, _pixels(row)) in counted:
            duplicates.add(row.image_id)
        counted.add((eye, _pixels(row)))
    return by_eye, duplicates


def _eye(
    examination: Examination, eye: Eye, members: Sequence[PredictionRow], duplicates: Collection[str]
) -> EyeResult:
    counted = [row for row in members if row.image_id not in duplicates]
    counts = Counter(row.status for row in counted)
    graded = [row for row in counted if row.status is Status.SCORED]
    facts: dict[str, Any] = {
        "patient_id": examination[0],
        "visit": examination[1],
        "eye": eye,
        "photographs": len(members),
        "scored": counts[Status.SCORED],
        "ungradable": counts[Status.UNGRADABLE],
        "not_fundus": counts[Status.NOT_FUNDUS],
        "failed": counts[Status.FAILED],
        "duplicates": len(members) - len(counted),
    }
    if not graded:
        status = EyeStatus.UNGRADABLE if counts[Status.UNGRADABLE] else EyeStatus.MISSING
        return EyeResult(**facts, status=status, needs_human=bool(members))
    worst = max(graded, key=lambda row: (row.grade, row.expected_grade, row.image_id))
    return EyeResult(
        **facts,
        status=EyeStatus.GRADED,
        image_id=worst.image_id,
        grade=worst.grade,
        probabilities=worst.probabilities,
        uncertainty=uncertainty(worst.probabilities or ()),
        referable=any(row.referable for row in graded),
        vision_threatening=any(row.vision_threatening for row in graded),
        needs_human=any(row.needs_human for row in graded) or bool(counts[Status.FAILED]),
    )


def _patient(
    examination: Examination, members: Sequence[PredictionRow], pair: Sequence[EyeResult], policy: Policy
) -> PatientResult:
    graded = [eye for eye in pair if eye.grade is not None]
    grade = max((eye.grade for eye in graded if eye.grade is not None), default=None)
    referable = any(eye.referable for eye in graded)
    statuses = {eye.status for eye in pair}
    contradiction = any((eye.grade is not None and eye.grade >= REFERABLE_FROM) != eye.referable for eye in graded)
    found = {
        Reason.REFERABLE_EYE: referable or (grade is not None and grade >= REFERABLE_FROM),
        Reason.UNGRADABLE_EYE: EyeStatus.UNGRADABLE in statuses,
        Reason.MISSING_EYE: EyeStatus.MISSING in statuses,
        Reason.GRADE_CONTRADICTS_REFERABLE: contradiction,
    }
    decision, urgency, months = _decide(found, grade, policy)
    right, left = pair
    return PatientResult(
        **_common(examination, members),
        decision=decision,
        urgency=urgency,
        within_months=months,
        reasons=_listed(found),
        grade=grade,
        referable=referable,
        vision_threatening=any(eye.vision_threatening for eye in graded),
        uncertainty=max((eye.uncertainty for eye in graded if eye.uncertainty is not None), default=None),
        needs_human=contradiction
        or any(eye.needs_human for eye in pair)
        or any(row.status is Status.FAILED for row in members),
        right=right.status,
        right_grade=right.grade,
        left=left.status,
        left_grade=left.grade,
    )


def _decide(found: Mapping[Reason, bool], grade: int | None, policy: Policy) -> tuple[Decision, Urgency, int | None]:
    """Rules 4 and 5; `grade` is None where neither eye has one."""
    refers_ungradable = found[Reason.UNGRADABLE_EYE] and policy.on_ungradable is Decision.REFER
    if found[Reason.REFERABLE_EYE] or refers_ungradable:
        return Decision.REFER, *policy.time_to_referral(grade)
    if found[Reason.UNGRADABLE_EYE] or found[Reason.MISSING_EYE] or grade is None:
        return Decision.RESCREEN, Urgency.NONE, None
    return Decision.RECALL, *policy.time_to(grade)


def _undecided(examination: Examination, members: Sequence[PredictionRow], reasons: Iterable[Reason]) -> PatientResult:
    return PatientResult(
        **_common(examination, members),
        decision=Decision.PERSON,
        reasons=_listed(dict.fromkeys(reasons, True)),
        needs_human=True,
    )


def _common(examination: Examination, members: Sequence[PredictionRow]) -> dict[str, Any]:
    sites = {row.site for row in members} - {""}
    return {
        "patient_id": examination[0],
        "visit": examination[1],
        "site": sites.pop() if len(sites) == 1 else "",
        "any_referable": any(is_referable(row) for row in members if row.status is Status.SCORED),
        "photographs": len(members),
    }


def _listed(found: Mapping[Reason, bool]) -> str:
    return ";".join(reason for reason, holds in found.items() if holds)


def _photograph(row: PredictionRow, use: Use, eye: Eye) -> PhotographResult:
    return PhotographResult(
        image_id=row.image_id,
        path=row.path,
        sha256=row.sha256,
        patient_id=row.patient_id,
        visit=row.visit,
        eye=eye,
        site=row.site,
        status=row.status,
        reason=row.reason,
        duplicate_of=row.duplicate_of,
        use=use,
        grade=row.grade,
        probabilities=row.probabilities,
        uncertainty=None if row.probabilities is None else uncertainty(row.probabilities),
        referable=row.referable,
        vision_threatening=row.vision_threatening,
        needs_human=row.needs_human,
        bundle_id=row.bundle_id,
    )
