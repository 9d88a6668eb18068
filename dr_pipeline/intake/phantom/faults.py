"""The faults planted in the data set: what real data sets contain by accident, listed so that tests can detect it.

Copies: see `jpeg_files.py`. EXIF turns are stored rotated by 90°, 180° or 270°. The wrong colour order is red and blue
exchanged in the whole image. Images that show no fundus: see `non_fundus.py`.
"""

from dataclasses import dataclass

import numpy as np

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.phantom.cohort import EyeCase, Stream, generator
from dr_pipeline.intake.phantom.jpeg_files import EXACT_COPIES, NEAR_COPIES, STORED_ROTATIONS
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS
from dr_pipeline.params.phantom_params import PlantedFaults
from dr_pipeline.schema import GRADES

# In drawing order: a kind added at the end leaves the draws of the others unchanged.
_KINDS = (
    "exact_duplicates",
    "near_duplicates",
    "cross_patient",
    "contradictions",
    "exif_turns",
    "colour_order",
    "not_fundus",
)


@dataclass(frozen=True)
class Copy:
    """A second file of an eye's photograph.

    Attributes:
        image_id: Its name, which does not reveal the fault.
        patient_id: The patient in the labels.
        grade: The grade in the labels.
        fault: "exact_duplicates", "near_duplicates", "cross_patient" or "contradictions".
        kind: How the copy was made, one of `EXACT_COPIES` or `NEAR_COPIES`.
    """

    image_id: str
    patient_id: str
    grade: int
    fault: str
    kind: str


@dataclass(frozen=True)
class NonFundus:
    """A file that shows no fundus but is labelled as one of a patient's photographs.

    Attributes:
        image_id: Its name, which does not reveal the fault.
        patient_id: The patient in the labels.
        grade: The grade in the labels.
        kind: What it shows, one of `NON_FUNDUS_KINDS`.
    """

    image_id: str
    patient_id: str
    grade: int
    kind: str


@dataclass(frozen=True)
class FaultPlan:
    """The faults by image id of the eye's photograph, each of which has at most one.

    Attributes:
        copies: The copies to write beside it.
        orientations: The EXIF orientations to store it with.
        swapped: Photographs to store with red and blue exchanged.
        non_fundus: The images that show no fundus, to write beside it.
    """

    copies: dict[str, Copy]
    orientations: dict[str, int]
    swapped: frozenset[str]
    non_fundus: dict[str, NonFundus]


def num_added_files(faults: PlantedFaults) -> int:
    """Number of files besides the eyes' own photographs; turned and colour-swapped ones are among those."""
    counts: dict[str, int] = faults.model_dump()
    return sum(counts.values()) - faults.exif_turns - faults.colour_order


def plan_faults(seed: int, cases: list[EyeCase], faults: PlantedFaults) -> FaultPlan:
    """Chooses a different gradable photograph for every fault.

    Raises:
        ParamsError: There are more faults than gradable photographs, or one patient cannot share with another.
    """
    rng = generator(seed, Stream.FAULTS)
    gradable = [case for case in cases if not case.ungradable]
    planned = [(fault, number) for fault in _KINDS for number in range(getattr(faults, fault))]
    patients = sorted({case.patient_id for case in cases})
    if len(planned) > len(gradable) or (faults.cross_patient and len(patients) < 2):
        raise ParamsError(
            f"{len(planned)} faults do not fit into {len(gradable)} gradable photographs of {len(patients)} patients",
            where="params.yaml, phantom.faults",
            todo="plant fewer faults or photograph more patients",
        )
    order = rng.permutation(len(gradable))[: len(planned)]
    copies: dict[str, Copy] = {}
    orientations: dict[str, int] = {}
    swapped: set[str] = set()
    non_fundus: dict[str, NonFundus] = {}
    used_ids = {case.image_id for case in cases}
    for (fault, number), index in zip(planned, order, strict=True):
        case = gradable[index]
        if fault == "exif_turns":
            orientations[case.image_id] = int(rng.choice(list(STORED_ROTATIONS)))
        elif fault == "colour_order":
            swapped.add(case.image_id)
        elif fault == "not_fundus":
            kind = NON_FUNDUS_KINDS[number % len(NON_FUNDUS_KINDS)]
            image = NonFundus(_free_id(case, case.patient_id, used_ids), case.patient_id, case.grade, kind)
            non_fundus[case.image_id] = image
            used_ids.add(image.image_id)
        else:
            copy = _copy(rng, case, fault, number, patients, used_ids)
            used_ids.add(copy.image_id)
            copies[case.image_id] = copy
    return FaultPlan(copies, orientations, frozenset(swapped), non_fundus)


def _copy(
    rng: np.random.Generator, case: EyeCase, fault: str, number: int, patients: list[str], used_ids: set[str]
) -> Copy:
    """The `number`-th copy of the fault `fault`; the kinds of copy alternate."""
    patient_id, grade, kind = case.patient_id, case.grade, EXACT_COPIES[number % len(EXACT_COPIES)]
    if fault == "near_duplicates":
        kind = NEAR_COPIES[number % len(NEAR_COPIES)]
    elif fault == "cross_patient":
        patient_id = str(rng.choice([other for other in patients if other != case.patient_id]))
    elif fault == "contradictions":
        grade = int(rng.choice([g for g in GRADES if abs(g - case.grade) == 1]))
    return Copy(_free_id(case, patient_id, used_ids), patient_id, grade, fault, kind)


def _free_id(case: EyeCase, patient_id: str, used_ids: set[str]) -> str:
    suffix = 2
    while (image_id := f"{patient_id}_{case.eye}_{suffix}") in used_ids:
        suffix += 1
    return image_id
