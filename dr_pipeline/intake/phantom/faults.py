"""The faults planted in the data set: what a real one holds by accident, listed so that tests can look for it."""

from dataclasses import dataclass

import numpy as np

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.phantom.cohort import EyeCase
from dr_pipeline.intake.phantom.jpeg import STORED
from dr_pipeline.intake.phantom.streams import Stream, generator
from dr_pipeline.params.phantom import PlantedFaults
from dr_pipeline.schema import GRADES

EXACT_WAYS = ("bytes", "resaved")
NEAR_WAYS = ("recompressed", "resized", "cropped", "brightened")


@dataclass(frozen=True)
class Copy:
    """A second file of an eye's photograph.

    Attributes:
        image_id: Its name; it says nothing of the fault.
        patient_id: Whose it is said to be.
        grade: What the labels say.
        fault: "exact_duplicates", "near_duplicates", "cross_patient" or "contradictions".
        way: How the copy was made, one of `EXACT_WAYS` or `NEAR_WAYS`.
    """

    image_id: str
    patient_id: str
    grade: int
    fault: str
    way: str


@dataclass(frozen=True)
class FaultPlan:
    """By original image id: the copies to write, and the EXIF orientations to store pictures with."""

    copies: dict[str, Copy]
    orientations: dict[str, int]


def plan_faults(seed: int, cases: list[EyeCase], faults: PlantedFaults) -> FaultPlan:
    """Chooses a different gradable photograph for every fault.

    Raises:
        ParamsError: There are more faults than gradable photographs, or one patient cannot share with another.
    """
    rng = generator(seed, Stream.FAULTS)
    gradable = [case for case in cases if not case.ungradable]
    wanted = [
        fault
        for fault in ("exact_duplicates", "near_duplicates", "cross_patient", "contradictions", "exif_turns")
        for _ in range(getattr(faults, fault))
    ]
    patients = sorted({case.patient_id for case in cases})
    if len(wanted) > len(gradable) or (faults.cross_patient and len(patients) < 2):
        raise ParamsError(
            f"{len(wanted)} faults do not fit into {len(gradable)} gradable photographs of {len(patients)} patients",
            where="params.yaml, phantom.faults",
            todo="plant fewer faults or photograph more patients",
        )
    order = rng.permutation(len(gradable))[: len(wanted)]
    copies: dict[str, Copy] = {}
    orientations: dict[str, int] = {}
    taken = {case.image_id for case in cases}
    for number, (fault, index) in enumerate(zip(wanted, order, strict=True)):
        case = gradable[index]
        if fault == "exif_turns":
            orientations[case.image_id] = int(rng.choice(list(STORED)))
            continue
        copy = _copy(rng, case, fault, number, patients, taken)
        taken.add(copy.image_id)
        copies[case.image_id] = copy
    return FaultPlan(copies, orientations)


def _copy(
    rng: np.random.Generator, case: EyeCase, fault: str, number: int, patients: list[str], taken: set[str]
) -> Copy:
    patient_id, grade, way = case.patient_id, case.grade, EXACT_WAYS[number % len(EXACT_WAYS)]
    if fault == "near_duplicates":
        way = NEAR_WAYS[number % len(NEAR_WAYS)]
    elif fault == "cross_patient":
        patient_id = str(rng.choice([other for other in patients if other != case.patient_id]))
    elif fault == "contradictions":
        grade = int(rng.choice([g for g in GRADES if abs(g - case.grade) == 1]))
    suffix = 2
    while (image_id := f"{patient_id}_{case.eye}_{suffix}") in taken:
        suffix += 1
    return Copy(image_id, patient_id, grade, fault, way)
