"""The faults planted in the data set: what a real one holds by accident, listed so that tests can look for it.

Strengths: of the copies see `copies.py`; EXIF turns are stored rotated by 90°, 180° or 270°; the wrong colour order is
red and blue exchanged in the whole picture; of pictures that are no fundus see `strays.py`.
"""

from dataclasses import dataclass

import numpy as np

from dr_pipeline.errors import ParamsError
from dr_pipeline.intake.phantom.cohort import EyeCase
from dr_pipeline.intake.phantom.copies import EXACT_WAYS, NEAR_WAYS
from dr_pipeline.intake.phantom.jpeg import STORED
from dr_pipeline.intake.phantom.non_fundus import STRAY_KINDS
from dr_pipeline.intake.phantom.streams import Stream, generator
from dr_pipeline.params.phantom import PlantedFaults
from dr_pipeline.schema import GRADES

# In the order of their draw: a kind added at the end leaves what the former ones drew as it was.
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
class Stray:
    """A file that shows no fundus and is labelled as one of a patient's photographs.

    Attributes:
        image_id: Its name; it says nothing of the fault.
        patient_id: Whose it is said to be.
        grade: What the labels say.
        kind: What it shows, one of `STRAY_KINDS`.
    """

    image_id: str
    patient_id: str
    grade: int
    kind: str


@dataclass(frozen=True)
class FaultPlan:
    """By image id of the eye's photograph, each of which has one fault at most.

    Attributes:
        copies: The copies to write beside it.
        orientations: The EXIF orientations to store it with.
        swapped: Those to store with red and blue exchanged.
        strays: The pictures that are no fundus to write beside it.
    """

    copies: dict[str, Copy]
    orientations: dict[str, int]
    swapped: frozenset[str]
    strays: dict[str, Stray]


def num_added_files(faults: PlantedFaults) -> int:
    """Files beside the eyes' own photographs; turned and colour-swapped ones are those themselves."""
    wanted: dict[str, int] = faults.model_dump()
    return sum(wanted.values()) - faults.exif_turns - faults.colour_order


def plan_faults(seed: int, cases: list[EyeCase], faults: PlantedFaults) -> FaultPlan:
    """Chooses a different gradable photograph for every fault.

    Raises:
        ParamsError: There are more faults than gradable photographs, or one patient cannot share with another.
    """
    rng = generator(seed, Stream.FAULTS)
    gradable = [case for case in cases if not case.ungradable]
    wanted = [(fault, number) for fault in _KINDS for number in range(getattr(faults, fault))]
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
    swapped: set[str] = set()
    strays: dict[str, Stray] = {}
    taken = {case.image_id for case in cases}
    for (fault, number), index in zip(wanted, order, strict=True):
        case = gradable[index]
        if fault == "exif_turns":
            orientations[case.image_id] = int(rng.choice(list(STORED)))
        elif fault == "colour_order":
            swapped.add(case.image_id)
        elif fault == "not_fundus":
            kind = STRAY_KINDS[number % len(STRAY_KINDS)]
            stray = Stray(_free_id(case, case.patient_id, taken), case.patient_id, case.grade, kind)
            strays[case.image_id] = stray
            taken.add(stray.image_id)
        else:
            copy = _copy(rng, case, fault, number, patients, taken)
            taken.add(copy.image_id)
            copies[case.image_id] = copy
    return FaultPlan(copies, orientations, frozenset(swapped), strays)


def _copy(
    rng: np.random.Generator, case: EyeCase, fault: str, number: int, patients: list[str], taken: set[str]
) -> Copy:
    """The `number`-th copy of the kind `fault`; its way takes turns within the kind."""
    patient_id, grade, way = case.patient_id, case.grade, EXACT_WAYS[number % len(EXACT_WAYS)]
    if fault == "near_duplicates":
        way = NEAR_WAYS[number % len(NEAR_WAYS)]
    elif fault == "cross_patient":
        patient_id = str(rng.choice([other for other in patients if other != case.patient_id]))
    elif fault == "contradictions":
        grade = int(rng.choice([g for g in GRADES if abs(g - case.grade) == 1]))
    return Copy(_free_id(case, patient_id, taken), patient_id, grade, fault, way)


def _free_id(case: EyeCase, patient_id: str, taken: set[str]) -> str:
    suffix = 2
    while (image_id := f"{patient_id}_{case.eye}_{suffix}") in taken:
        suffix += 1
    return image_id
