"""What a split looks like, in figures and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dr_pipeline.schema import GRADES, RESEARCH_USE, Split
from dr_pipeline.splitting.grade_balance import GradeTest
from dr_pipeline.splitting.predefined import LeftOut
from dr_pipeline.splitting.similarity_levels import SAME_PICTURE_BITS, Probe
from dr_pipeline.tables.splits import SplitRow

_NOT_FOLDS = (Split.TEST, Split.TRAIN)


def part_name(key: str) -> str:
    """The part's name in splits.csv's terms and in the report, by its key in a division."""
    return key if key in _NOT_FOLDS else f"fold {key}"


def describe(
    rows: Sequence[SplitRow], shares: Mapping[str, float | None], left_out: Sequence[LeftOut] = ()
) -> dict[str, Any]:
    """Photographs and groups by part and grade, the shares asked for and reached, and whether patients are known.

    Args:
        rows: splits.csv.
        shares: Asked for, by part: "test", "0", "1", …, "train"; None where the part was given.
        left_out: What is in no part.
    """
    strata = worst_grades(rows)
    parts = {}
    for key, asked in shares.items():
        name = part_name(key)
        members = [row for row in rows if row.part == name]
        grades = Counter(row.grade for row in members)
        groups = strata.get(name, Counter[int]())
        parts[name] = {
            "photographs": len(members),
            "groups": groups.total(),
            "patients": len({row.patient_id for row in members if row.patient_id}),
            "by_grade": {str(grade): grades[grade] for grade in GRADES},
            "groups_by_worst_grade": {str(grade): groups[grade] for grade in GRADES},
            "share_asked": None if asked is None else round(asked, 6),
            "share": round(len(members) / len(rows), 6),
        }
    unknown = sum(not row.patient_id for row in rows)
    return {
        "research_use": RESEARCH_USE,
        "photographs": len(rows),
        "groups": len({row.group for row in rows}),
        "patients": len({row.patient_id for row in rows if row.patient_id}),
        "photographs_of_unknown_patients": unknown,
        "patients_said": _patients_said(unknown, len(rows)),
        "grades_absent": [grade for grade in GRADES if not any(row.grade == grade for row in rows)],
        "left_out": [asdict(left) for left in left_out],
        "parts": parts,
    }


def worst_grades(rows: Sequence[SplitRow]) -> dict[str, Counter[int]]:
    """Groups by the grade of their worse eye, of each part."""
    worst: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.part, row.group)
        worst[key] = max(row.grade, worst.get(key, 0))
    strata: dict[str, Counter[int]] = {}
    for (part, _), grade in sorted(worst.items()):
        strata.setdefault(part, Counter())[grade] += 1
    return strata


def headline(report: Mapping[str, Any], grades: GradeTest, probe: Probe) -> str:
    """The split in one breath."""
    parts = report["parts"]
    told = [f"{parts[Split.TEST]['photographs']} test"]
    if Split.TRAIN in parts:
        told += [f"{parts['fold 0']['photographs']} validation", f"{parts[Split.TRAIN]['photographs']} train"]
    else:
        folds = [part["photographs"] for name, part in parts.items() if name != Split.TEST]
        told.append(f"{sum(folds)} in {len(folds)} folds")
    if report["left_out"]:
        told.append(f"{len(report['left_out'])} left out")
    said = report["patients_said"].partition(":")[0]
    return (
        f"{report['photographs']} photographs in {report['groups']} groups: {', '.join(told)}; {said}; nothing shared; "
        f"grades by part p = {grades.p:.2g}; {_probe_said(probe)}"
    )


def _probe_said(probe: Probe) -> str:
    probed = sum(part.photographs for part in probe.parts.values())
    if not probed:
        return "no photograph has a perceptual hash: look-alikes across parts not probed"
    same = sum(part.same_picture for part in probe.parts.values())
    said = f"{same} of {probed} held-out photographs within {SAME_PICTURE_BITS} bits of a training photograph"
    alike = [name for name, part in probe.parts.items() if part.beyond_chance and not part.leaks]
    if alike:
        said += f"; more look-alikes than a draw gives in {', '.join(alike)}: look at look_alikes in the report"
    return said


def _patients_said(unknown: int, total: int) -> str:
    if not unknown:
        return "patients known"
    if unknown < total:
        return (
            f"patients unknown for {unknown} of {total} photographs: two eyes of one of these patients may lie in "
            "different parts"
        )
    return (
        "patients unknown: photographs are kept apart one by one, two eyes of a patient may lie in different parts, "
        "and figures may look better than they are"
    )
