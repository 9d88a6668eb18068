"""Writes the phantom as a data set: photographs, labels.csv, and the ground truth that only tests read."""

import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_csv, write_json
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import EyeCase, draw_cohort
from dr_pipeline.intake.phantom.faults import Copy, FaultPlan, plan_faults
from dr_pipeline.intake.phantom.jpeg import encode, encode_turned, with_comment
from dr_pipeline.intake.phantom.render import Rendered, render
from dr_pipeline.params.phantom import Phantom
from dr_pipeline.progress import progress

PHOTOGRAPHS = "photographs"
LABELS = "labels.csv"
GROUND_TRUTH = "ground_truth.json"
LABELS_COLUMNS = ("image", "patient", "eye", "grade", "camera", "site")
GROUND_TRUTH_VERSION = 1
# A copy shows the original's eye, so its entry says the same, but for where things lie in its pixels.
GEOMETRY = ("width", "height", "retina", "optic_disc", "fovea", "px_per_disc_diameter")
_CHUNK = 8


@dataclass(frozen=True)
class _Job:
    """One eye to photograph, and the files its picture goes into."""

    case: EyeCase
    orientation: int | None
    copy: Copy | None


def write_phantom(params: Phantom, out: Path, *, without_lesions: bool = False, workers: int) -> None:
    """Writes the whole data set to `out`, replacing an earlier one; the bytes depend on `params` alone.

    Args:
        params: Seed, numbers, grade shares, resolution and faults.
        out: Folder for `photographs/`, `labels.csv` and `ground_truth.json`.
        without_lesions: Photographs the same eyes with their lesions left out; labels and all else stay.
        workers: Processes that render; 1 renders in this process.

    Raises:
        ParamsError: The shares are no distribution, or the faults do not fit.
        DataError: `out` holds something that is not a phantom.
    """
    cases = draw_cohort(params.seed, params.patients, params.grade_shares)
    plan = plan_faults(params.seed, cases, params.faults)
    jobs = [_Job(case, plan.orientations.get(case.image_id), plan.copies.get(case.image_id)) for case in cases]
    with _replaced(out) as folder:
        photographs = folder / PHOTOGRAPHS
        photographs.mkdir()
        work = partial(_photograph, params.seed, params.megapixels, without_lesions, photographs)
        entries: dict[str, Any] = {}
        for job, found in zip(jobs, _mapped(work, jobs, workers), strict=True):
            entries[job.case.image_id] = found
            if job.copy:
                entries[job.copy.image_id] = {k: v for k, v in found.items() if k not in GEOMETRY}
        write_csv(folder / LABELS, LABELS_COLUMNS, _label_rows(jobs))
        truth = {
            "schema_version": GROUND_TRUTH_VERSION,
            "without_lesions": without_lesions,
            "photographs": entries,
            "faults": _fault_lists(plan),
        }
        write_json(folder / GROUND_TRUTH, truth)


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place once the block has ended well."""
    if out.exists() and not (out / GROUND_TRUTH).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            "the folder holds something that is not a phantom", where=str(out), todo="give an empty or new folder"
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


def _photograph(seed: int, megapixels: float, without_lesions: bool, photographs: Path, job: _Job) -> dict[str, Any]:
    """Renders one eye and writes its files; returns its entry in the ground truth."""
    rendered = render(seed, job.case, megapixels, without_lesions=without_lesions)
    quality = CAMERAS[job.case.camera].jpeg_quality
    plain = encode(rendered.rgb, quality)
    data = plain if job.orientation is None else encode_turned(rendered.rgb, quality, job.orientation)
    (photographs / f"{job.case.image_id}.jpg").write_bytes(data)
    if job.copy:
        (photographs / f"{job.copy.image_id}.jpg").write_bytes(_copy_bytes(job.copy.way, plain, rendered.rgb, quality))
    return _entry(job, rendered)


def _copy_bytes(way: str, plain: bytes, rgb: NDArray[np.uint8], quality: int) -> bytes:
    """The copy's file, made from the picture the way a second export makes it."""
    height, width = rgb.shape[:2]
    if way == "bytes":
        return plain
    if way == "resaved":
        return with_comment(plain, "saved again")
    if way == "recompressed":
        return encode(rgb, quality - 25)
    if way == "resized":
        smaller = (round(width * 0.8), round(height * 0.8))
        return encode(cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA), quality)
    if way == "cropped":
        x, y = round(width * 0.015), round(height * 0.015)
        return encode(np.ascontiguousarray(rgb[y : height - y, x : width - x]), quality)
    return encode(cv2.convertScaleAbs(rgb, alpha=1.08), quality)


def _entry(job: _Job, rendered: Rendered) -> dict[str, Any]:
    """What is true of a photograph; pixels are those of the upright picture."""
    case, frame, anatomy = job.case, rendered.frame, rendered.anatomy
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


def _px(value: float) -> float:
    return round(float(value), 2)


def _label_rows(jobs: list[_Job]) -> Iterator[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for job in jobs:
        case = job.case
        shared = {"eye": str(case.eye), "camera": case.camera, "site": case.site}
        rows.append({"image": f"{case.image_id}.jpg", "patient": case.patient_id, "grade": case.grade, **shared})
        if job.copy:
            copy = job.copy
            rows.append({"image": f"{copy.image_id}.jpg", "patient": copy.patient_id, "grade": copy.grade, **shared})
    yield from sorted(rows, key=lambda row: row["image"])


def _fault_lists(plan: FaultPlan) -> dict[str, Any]:
    lists: dict[str, list[dict[str, Any]]] = {
        "exact_duplicates": [],
        "near_duplicates": [],
        "cross_patient": [],
        "contradictions": [],
    }
    for original, copy in sorted(plan.copies.items()):
        lists[copy.fault].append({"original": original, "copy": copy.image_id, "way": copy.way})
    turns = [{"image": image, "orientation": turn} for image, turn in sorted(plan.orientations.items())]
    return {**lists, "exif_turns": turns}
