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

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_csv, write_json
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import EyeCase, draw_cohort
from dr_pipeline.intake.phantom.copies import copy_file
from dr_pipeline.intake.phantom.faults import Copy, Stray, plan_faults
from dr_pipeline.intake.phantom.ground_truth import copy_entry, fault_lists, photograph_entry, stray_entry
from dr_pipeline.intake.phantom.jpeg import encode, encode_turned
from dr_pipeline.intake.phantom.non_fundus import draw_stray
from dr_pipeline.intake.phantom.render import render
from dr_pipeline.intake.phantom.streams import Stream, generator
from dr_pipeline.logs import progress
from dr_pipeline.params.phantom import Phantom

PHOTOGRAPHS = "photographs"
LABELS = "labels.csv"
GROUND_TRUTH = "ground_truth.json"
LABELS_COLUMNS = ("image", "patient", "eye", "grade", "camera", "site")
GROUND_TRUTH_VERSION = 1
_CHUNK = 8


@dataclass(frozen=True)
class _Job:
    """One eye to photograph, and the files its picture goes into."""

    case: EyeCase
    orientation: int | None
    swapped: bool
    copy: Copy | None
    stray: Stray | None


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
    jobs = [
        _Job(
            case,
            orientation=plan.orientations.get(case.image_id),
            swapped=case.image_id in plan.swapped,
            copy=plan.copies.get(case.image_id),
            stray=plan.strays.get(case.image_id),
        )
        for case in cases
    ]
    with _replaced(out) as folder:
        photographs = folder / PHOTOGRAPHS
        photographs.mkdir()
        work = partial(_photograph, params.seed, params.megapixels, without_lesions, photographs)
        entries: dict[str, Any] = {}
        for job, found in zip(jobs, _mapped(work, jobs, workers), strict=True):
            entries[job.case.image_id] = found
            if job.copy:
                entries[job.copy.image_id] = copy_entry(found)
            if job.stray:
                entries[job.stray.image_id] = stray_entry(job.stray)
        write_csv(folder / LABELS, LABELS_COLUMNS, _label_rows(jobs))
        truth = {
            "schema_version": GROUND_TRUTH_VERSION,
            "without_lesions": without_lesions,
            "photographs": entries,
            "faults": fault_lists(plan),
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
    plain = encode(rendered.rgb[..., ::-1] if job.swapped else rendered.rgb, quality)
    data = plain if job.orientation is None else encode_turned(rendered.rgb, quality, job.orientation)
    (photographs / f"{job.case.image_id}.jpg").write_bytes(data)
    if job.copy:
        (photographs / f"{job.copy.image_id}.jpg").write_bytes(copy_file(job.copy.way, plain, rendered.rgb, quality))
    if job.stray:
        rng = generator(seed, Stream.STRAYS, job.case.patient_index, job.case.eye_index)
        picture = draw_stray(rng, job.stray.kind, rendered.frame.width_px, rendered.frame.height_px)
        (photographs / f"{job.stray.image_id}.jpg").write_bytes(encode(picture, quality))
    return photograph_entry(job.case, rendered)


def _label_rows(jobs: list[_Job]) -> Iterator[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for job in jobs:
        case = job.case
        shared = {"eye": str(case.eye), "camera": case.camera, "site": case.site}
        rows.append({"image": f"{case.image_id}.jpg", "patient": case.patient_id, "grade": case.grade, **shared})
        rows.extend(
            {"image": f"{beside.image_id}.jpg", "patient": beside.patient_id, "grade": beside.grade, **shared}
            for beside in (job.copy, job.stray)
            if beside
        )
    yield from sorted(rows, key=lambda row: row["image"])
