"""Generates the phantom as a data set: photographs, labels.csv, and the ground truth that only tests read."""

import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_json
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import EyeCase, Stream, draw_cohort, generator
from dr_pipeline.intake.phantom.faults import Copy, FaultPlan, NonFundus, plan_faults
from dr_pipeline.intake.phantom.jpeg_files import copy_file, encode, encode_masks, encode_turned
from dr_pipeline.intake.phantom.non_fundus import draw_non_fundus
from dr_pipeline.intake.phantom.photograph import Rendered, render
from dr_pipeline.logs import progress
from dr_pipeline.params.phantom_params import Phantom
from dr_pipeline.schema import Eye
from dr_pipeline.tables.table import GradeCell, Table

PHOTOGRAPHS = "photographs"
LESION_MASKS = "lesion_masks"
LABELS = "labels.csv"
GROUND_TRUTH = "ground_truth.json"
GROUND_TRUTH_VERSION = 1
# Keys of the ground truth that depend on the file's pixels; a copy shows the same eye, so it shares the others.
GEOMETRY = ("width", "height", "retina", "optic_disc", "fovea", "px_per_disc_diameter")
_CHUNK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomLabel:
    """One row of labels.csv."""

    image: str
    patient: str
    eye: Eye
    grade: GradeCell
    camera: str
    site: str


PHANTOM_LABELS = Table(PhantomLabel, version=None, todo="generate the phantom again")


@dataclass(frozen=True)
class _Job:
    """One eye to photograph, and the faults of its files."""

    case: EyeCase
    orientation: int | None
    swapped: bool
    copy: Copy | None
    non_fundus: NonFundus | None


def write_phantom(params: Phantom, out: Path, *, without_lesions: bool = False, workers: int) -> None:
    """Writes the whole data set to `out`, replacing an earlier one; the bytes depend on `params` alone.

    Args:
        params: Seed, number of patients, grade distribution, resolution and faults.
        out: Folder for `photographs/`, `labels.csv`, `lesion_masks/` and `ground_truth.json`. A mask has the pixels of
            the upright photograph, and a bit for each kind of lesion and landmark; a photograph without one is a copy
            of another, or shows no fundus.
        without_lesions: Photographs the same eyes without their lesions; everything else, labels included, is the same.
        workers: Processes that render; 1 renders in this process.

    Raises:
        ParamsError: `grade_shares` is not a distribution, or there are more faults than photographs.
        DataError: `out` contains something that is not a phantom.
    """
    cases = draw_cohort(params.seed, params.patients, params.grade_shares)
    plan = plan_faults(params.seed, cases, params.faults)
    jobs = [
        _Job(
            case,
            orientation=plan.orientations.get(case.image_id),
            swapped=case.image_id in plan.swapped,
            copy=plan.copies.get(case.image_id),
            non_fundus=plan.non_fundus.get(case.image_id),
        )
        for case in cases
    ]
    with _replaced(out) as folder:
        (folder / PHOTOGRAPHS).mkdir()
        (folder / LESION_MASKS).mkdir()
        work = partial(_photograph, params.seed, params.megapixels, without_lesions, folder)
        entries: dict[str, Any] = {}
        for job, entry in zip(jobs, _mapped(work, jobs, workers), strict=True):
            entries[job.case.image_id] = entry
            if job.copy:
                entries[job.copy.image_id] = {key: value for key, value in entry.items() if key not in GEOMETRY}
            if job.non_fundus:
                entries[job.non_fundus.image_id] = _non_fundus_entry(job.non_fundus)
        PHANTOM_LABELS.write(folder / LABELS, _labels(jobs))
        truth = {
            "schema_version": GROUND_TRUTH_VERSION,
            "without_lesions": without_lesions,
            "photographs": entries,
            "faults": _fault_lists(plan),
        }
        write_json(folder / GROUND_TRUTH, truth)


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that replaces it once the block has succeeded."""
    if out.exists() and not (out / GROUND_TRUTH).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            "the folder contains something that is not a phantom", where=str(out), todo="name an empty or new folder"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as parent:
        folder = Path(parent) / out.name
        folder.mkdir()
        yield folder
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)


def _mapped(work: "partial[dict[str, Any]]", jobs: list[_Job], workers: int) -> Iterator[dict[str, Any]]:
    """The results of `work` in the order of `jobs`."""
    if workers == 1:
        yield from progress(map(work, jobs), label="phantom", total=len(jobs))
        return
    # Spawned, not forked: a parent with running threads (OpenCV's, torch's) must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from progress(pool.map(work, jobs, chunksize=_CHUNK), label="phantom", total=len(jobs))


def _photograph(seed: int, megapixels: float, without_lesions: bool, folder: Path, job: _Job) -> dict[str, Any]:
    """Renders one eye and writes its files; returns its entry in the ground truth."""
    photographs = folder / PHOTOGRAPHS
    rendered = render(seed, job.case, megapixels, without_lesions=without_lesions)
    quality = CAMERAS[job.case.camera].jpeg_quality
    original = encode(rendered.rgb[..., ::-1] if job.swapped else rendered.rgb, quality)
    data = original if job.orientation is None else encode_turned(rendered.rgb, quality, job.orientation)
    (photographs / f"{job.case.image_id}.jpg").write_bytes(data)
    (folder / LESION_MASKS / f"{job.case.image_id}.png").write_bytes(encode_masks(rendered.masks))
    if job.copy:
        copied = copy_file(job.copy.kind, original, rendered.rgb, quality)
        (photographs / f"{job.copy.image_id}.jpg").write_bytes(copied)
    if job.non_fundus:
        rng = generator(seed, Stream.NON_FUNDUS, job.case.patient_index, job.case.eye_index)
        pixels = draw_non_fundus(rng, job.non_fundus.kind, rendered.frame.width_px, rendered.frame.height_px)
        (photographs / f"{job.non_fundus.image_id}.jpg").write_bytes(encode(pixels, quality))
    return _photograph_entry(job.case, rendered)


def _labels(jobs: list[_Job]) -> list[PhantomLabel]:
    labels = []
    for job in jobs:
        case = job.case
        label = PhantomLabel(
            image=f"{case.image_id}.jpg",
            patient=case.patient_id,
            eye=case.eye,
            grade=case.grade,
            camera=case.camera,
            site=case.site,
        )
        labels.append(label)
        labels += [
            replace(label, image=f"{added.image_id}.jpg", patient=added.patient_id, grade=added.grade)
            for added in (job.copy, job.non_fundus)
            if added
        ]
    return sorted(labels, key=lambda label: label.image)


def _photograph_entry(case: EyeCase, rendered: Rendered) -> dict[str, Any]:
    """Ground truth of a photograph, in pixels of the upright image."""
    frame, anatomy = rendered.frame, rendered.anatomy
    optic_disc, fovea = (frame.to_px(np.array(point)) for point in ((0.0, 0.0), anatomy.fovea_dd))
    return {
        "patient": case.patient_id,
        "eye": str(case.eye),
        "grade": case.grade,
        "severity": round(case.severity, 4),
        "camera": case.camera,
        "site": case.site,
        "ungradable": case.ungradable,
        "lesions": rendered.lesion_counts,
        "width": frame.width_px,
        "height": frame.height_px,
        "retina": {"x": _px(frame.centre_px[0]), "y": _px(frame.centre_px[1]), "radius": _px(frame.radius_px)},
        "optic_disc": {"x": _px(optic_disc[0]), "y": _px(optic_disc[1])},
        "fovea": {"x": _px(fovea[0]), "y": _px(fovea[1])},
        "px_per_disc_diameter": _px(frame.px_per_dd),
    }


def _non_fundus_entry(image: NonFundus) -> dict[str, Any]:
    """Ground truth of an image that shows no fundus: no grade and no lesions, whatever its label."""
    return {
        "patient": image.patient_id,
        "eye": "",
        "grade": None,
        "ungradable": True,
        "lesions": {},
        "not_fundus": image.kind,
    }


def _fault_lists(plan: FaultPlan) -> dict[str, list[dict[str, Any]]]:
    """Every planted fault by kind, under the names of `PlantedFaults`."""
    lists: dict[str, list[dict[str, Any]]] = {
        "exact_duplicates": [],
        "near_duplicates": [],
        "cross_patient": [],
        "contradictions": [],
    }
    for original, copy in sorted(plan.copies.items()):
        lists[copy.fault].append({"original": original, "copy": copy.image_id, "way": copy.kind})
    turns = [{"image": name, "orientation": turn} for name, turn in sorted(plan.orientations.items())]
    swapped = [{"image": name} for name in sorted(plan.swapped)]
    non_fundus = sorted(plan.non_fundus.values(), key=lambda image: image.image_id)
    return {
        **lists,
        "exif_turns": turns,
        "colour_order": swapped,
        "not_fundus": [{"image": image.image_id, "kind": image.kind} for image in non_fundus],
    }


def _px(value: float) -> float:
    return round(float(value), 2)
