"""Checks a split as written, and its report: figures, statements and the headline."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dr_pipeline.params.curation import SplitParams
from dr_pipeline.schema import GRADES, RESEARCH_USE, Split
from dr_pipeline.splitting.grade_balance import GradeTest, grade_test
from dr_pipeline.splitting.groups import Photograph
from dr_pipeline.splitting.leakage import require_no_leak, require_nothing_shared, require_similar_grades
from dr_pipeline.splitting.make_split import SplitAssignment
from dr_pipeline.splitting.predefined import LeftOut
from dr_pipeline.splitting.similarity_probe import SAME_PICTURE_BITS, SimilarityProbe, probe_similarity
from dr_pipeline.tables.splits import SplitRow

_NOT_FOLDS = (Split.TEST, Split.TRAIN)


@dataclass(frozen=True)
class CheckedSplit:
    """A split with its report.

    Attributes:
        report: The content of reports/split.json.
        grades: The test of the parts' grades.
        similarity: The probe for look-alikes.
        drawn: Whether all parts were drawn.
    """

    report: dict[str, Any]
    grades: GradeTest
    similarity: SimilarityProbe
    drawn: bool

    def require(self) -> None:
        """Raises GateError where grades differ between drawn parts, or photographs leak."""
        if self.drawn:
            require_similar_grades(self.grades)
        require_no_leak(self.similarity)

    @property
    def headline(self) -> str:
        """The split in one line."""
        return headline(self.report, self.grades, self.similarity)


def part_name(key: str) -> str:
    """The part's name in the report, by its key in an assignment."""
    return key if key in _NOT_FOLDS else f"fold {key}"


def describe_split(
    rows: Sequence[SplitRow], shares: Mapping[str, float | None], left_out: Sequence[LeftOut] = ()
) -> dict[str, Any]:
    """Photographs and groups by part and grade, requested and actual shares, and whether patients are known.

    Args:
        rows: splits.csv.
        shares: Requested, by part: "test", "0", "1", …, "train"; None where the part is predefined.
        left_out: Photographs in no part.
    """
    strata = worst_grades(rows)
    parts = {}
    for key, requested in shares.items():
        name = part_name(key)
        members = [row for row in rows if row.part == name]
        grades = Counter(row.grade for row in members)
        groups = strata.get(name, Counter[int]())
        parts[name] = {
            "photographs": len(members),
            "groups": groups.total(),
            "patients": len({row.patient_id for row in members if row.patient_id}),
            "by_grade": {str(grade): grades[grade] for grade in GRADES},
            "by_site": dict(sorted(Counter(row.site for row in members if row.site).items())),
            "groups_by_worst_grade": {str(grade): groups[grade] for grade in GRADES},
            "share_asked": None if requested is None else round(requested, 6),
            "share": round(len(members) / len(rows), 6),
        }
    unknown = sum(not row.patient_id for row in rows)
    return {
        "research_use": RESEARCH_USE,
        "photographs": len(rows),
        "groups": len({row.group for row in rows}),
        "patients": len({row.patient_id for row in rows if row.patient_id}),
        "photographs_of_unknown_patients": unknown,
        "patients_said": _patients_statement(unknown, len(rows)),
        "grades_absent": [grade for grade in GRADES if not any(row.grade == grade for row in rows)],
        "left_out": [asdict(left) for left in left_out],
        "parts": parts,
    }


def worst_grades(rows: Sequence[SplitRow]) -> dict[str, Counter[int]]:
    """By part: number of groups by the grade of their worse eye."""
    worst: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.part, row.group)
        worst[key] = max(row.grade, worst.get(key, 0))
    strata: dict[str, Counter[int]] = {}
    for (part, _), grade in sorted(worst.items()):
        strata.setdefault(part, Counter())[grade] += 1
    return strata


def check_split(
    rows: Sequence[SplitRow], assignment: SplitAssignment, photographs: Iterable[Photograph], params: SplitParams
) -> CheckedSplit:
    """Checks a split as it was written.

    Args:
        rows: splits.csv, read back.
        assignment: What it was written from.
        photographs: Those assigned, for their perceptual hashes and eyes.
        params: The section `split`.

    Raises:
        GateError: Something is shared between parts.
    """
    photographs = list(photographs)
    shared = require_nothing_shared(rows, {one.image_id: one.same_eye for one in photographs if one.same_eye})
    grades = grade_test(worst_grades(rows))
    given = {part_name(key) for key, share in assignment.shares.items() if share is None}
    hashes = {photograph.image_id: photograph.perceptual_hash for photograph in photographs}
    similarity = probe_similarity(rows, hashes, params.salt, given)
    report = describe_split(rows, assignment.shares, assignment.left_out) | {
        "asked": params.model_dump(mode="json"),
        "grades_by_part": grades.to_dict(),
        "look_alikes": similarity.to_dict(),
        "shared_between_parts": shared,
    }
    return CheckedSplit(report, grades, similarity, assignment.drawn)


def headline(report: Mapping[str, Any], grades: GradeTest, probe: SimilarityProbe) -> str:
    """The split in one line."""
    parts = report["parts"]
    sizes = [f"{parts[Split.TEST]['photographs']} test"]
    folds = [part["photographs"] for name, part in parts.items() if name not in _NOT_FOLDS]
    sizes.append(f"{folds[0]} validation" if len(folds) == 1 else f"{sum(folds)} in {len(folds)} folds")
    if Split.TRAIN in parts:
        sizes.append(f"{parts[Split.TRAIN]['photographs']} train")
    if report["left_out"]:
        sizes.append(f"{len(report['left_out'])} left out")
    patients = report["patients_said"].partition(":")[0]
    return (
        f"{report['photographs']} photographs in {report['groups']} groups: {', '.join(sizes)}; {patients}; nothing "
        f"shared; grades by part p = {grades.p:.2g}; {_similarity_summary(probe)}"
    )


def _similarity_summary(probe: SimilarityProbe) -> str:
    probed = sum(part.photographs for part in probe.parts.values())
    if not probed:
        return "no photograph has a perceptual hash: look-alikes across parts not probed"
    same = sum(part.same_picture for part in probe.parts.values())
    summary = f"{same} of {probed} held-out photographs within {SAME_PICTURE_BITS} bits of a training photograph"
    beyond_chance = [name for name, part in probe.parts.items() if part.beyond_chance and not part.leaks]
    if beyond_chance:
        summary += f"; more look-alikes than chance in {', '.join(beyond_chance)}: see look_alikes in the report"
    return summary


def _patients_statement(unknown: int, total: int) -> str:
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
