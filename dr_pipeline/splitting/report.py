"""What a split looks like, in figures and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dr_pipeline.schema import GRADES, RESEARCH_USE
from dr_pipeline.splitting.read import SplitRow


def describe(rows: Sequence[SplitRow], shares: Mapping[str, float]) -> dict[str, Any]:
    """Photographs and groups by part and grade, the shares asked for and reached, and whether patients are known."""
    names = [row.split if row.fold is None else str(row.fold) for row in rows]
    parts = {}
    for name, asked in shares.items():
        members = [row for row, where in zip(rows, names, strict=True) if where == name]
        grades = Counter(row.grade for row in members)
        parts[name if name == "test" else f"fold {name}"] = {
            "photographs": len(members),
            "groups": len({row.group for row in members}),
            "patients": len({row.patient_id for row in members if row.patient_id}),
            "by_grade": {str(grade): grades[grade] for grade in GRADES},
            "share_asked": round(asked, 6),
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
        "parts": parts,
    }


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
