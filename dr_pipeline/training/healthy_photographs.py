"""Photographs of grade 0 beside those with masks: eyes without lesions, which nobody had to outline."""

from dataclasses import dataclass

import numpy as np

from dr_pipeline.errors import DataError
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.schema import Grade, Split, Status
from dr_pipeline.training.lesion_photographs import GradingSet, LesionPhotographs
from dr_pipeline.training.self_supervised.photographs import related_ids


@dataclass(frozen=True, order=True)
class HealthyPhotograph:
    """A photograph without lesions.

    Attributes:
        image_id: Among the photographs with masks.
        path: Below the grading set's folder.
    """

    image_id: str
    path: str


def draw_healthy(
    grading: GradingSet, lesion_set: LesionSet, outlined: LesionPhotographs, number: int, seed: int, *, where: str
) -> list[HealthyPhotograph]:
    """Draws gradable photographs of grade 0, one of each group of patients, outside the grading set's test part.

    Where there are fewer, all are taken. Groups of which a photograph was outlined are left out, so that each drawn one
    is a group of its own.

    Args:
        grading: The photographs with grades.
        lesion_set: Those with masks.
        outlined: Which of them are in the grading set.
        number: How many, at most.
        seed: Of the draw.
        where: For errors, the section.

    Raises:
        DataError: An id is taken.
    """
    if not number:
        return []
    test = {row.image_id for row in grading.splits if row.split == Split.TEST}
    held_out = related_ids(grading.audited, grading.splits, test)
    matched = {match.grading_id for match in outlined.matches}
    patients = {photograph.patient_id for photograph in lesion_set.photographs} - {""}
    groups_outlined = {row.group for row in grading.splits if row.image_id in matched or row.patient_id in patients}
    by_group: dict[str, list[str]] = {}
    for row in grading.splits:
        usable = row.grade == Grade.NO_DR and grading.store.rows[row.image_id].status is Status.SCORED
        if usable and row.image_id not in held_out and row.group not in groups_outlined:
            by_group.setdefault(row.group, []).append(row.image_id)
    rng = np.random.default_rng(seed)
    drawn = [sorted(by_group[group]) for group in rng.permutation(sorted(by_group))[:number]]
    chosen = {several[rng.integers(len(several))] for several in drawn}
    found = sorted(
        HealthyPhotograph(f"healthy_{row.image_id}", row.path) for row in grading.audited if row.image_id in chosen
    )
    taken = {photograph.image_id for photograph in lesion_set.photographs}
    if both := sorted({one.image_id for one in found} & taken):
        raise DataError(
            f"a photograph with masks has the name of a drawn one of grade 0: {both[0]}",
            where=where,
            todo="rename it",
        )
    return found
