"""Whether drift is found before the grades suffer, and how often it is found where there is none.

    python -m benchmarks.drift --data DATA --work FOLDER --out reports/benchmarks/drift.json

DATA is the pipeline's `data` folder of the phantom, with its bundle. Three parts:

- The reference is what `package` would write: the phantom's training and validation photographs, measured by the
  pixel path; scores of the validation part alone.
- False alarms: 500 further patients, drawn from the same cohort model with another seed, none of them in DATA. Batches
  of 100 of these patients, both eyes, drawn without replacement, are compared with the reference.
- Detection: the photographs of the first 150 of these patients after a camera's change in small steps: colour
  temperature, gamma, blur, vignetting. At each step: quadratic weighted kappa with the phantom's true grades, its
  paired loss on the photographs that are scored before and after, and the fraction of batches with a warning.

Each once with the camera's name in every file, as DICOM and most cameras' EXIF have it, and once with neither camera
nor site known. FOLDER keeps photographs and scores: the statistics run again in seconds.
"""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dr_pipeline.bundle.reference import Observations, Reference
from dr_pipeline.clinic.drift.batch import Batch, measured
from dr_pipeline.clinic.drift.compare import Drift, Verdict, compare
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import EyeCase, draw_cohort
from dr_pipeline.intake.phantom.jpeg_files import encode
from dr_pipeline.intake.phantom.photograph import render
from dr_pipeline.logs import progress
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.metrics.intervals import wilson
from dr_pipeline.schema import RESEARCH_USE, Split, Status
from dr_pipeline.scoring.prediction_rows import make_row
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.person import Person
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.predictions import PredictionRow, read_predictions, write_predictions
from dr_pipeline.tables.splits import read_splits, select_split

SEED, MEGAPIXELS, GRADE_SHARES = 2020, 0.5, (0.36, 0.14, 0.22, 0.14, 0.14)  # shares and size of the default phantom
POOL_PATIENTS, SHIFTED_PATIENTS, BATCH_PATIENTS = 500, 150, 100
FALSE_ALARM_BATCHES, DETECTION_BATCHES = 400, 25
STEPS = (1, 2, 3, 4, 6)
MAX_QWK_LOSS = 0.05
FOUND_IN = 0.9  # of the batches: a step counts as found
BOOTSTRAP = {"replicates": 2000, "seed": 20, "confidence": 0.95}

Picture = np.ndarray[Any, np.dtype[np.uint8]]


def colour_temperature(picture: Picture, step: int, _radii: np.ndarray[Any, Any]) -> Picture:
    """Red gains 3 % a step and blue loses 7 %."""
    gains = (1 + 0.03 * step, 1.0, 1 - 0.07 * step)
    return np.clip(np.rint(picture * np.array(gains)), 0, 255).astype(np.uint8)


def gamma(picture: Picture, step: int, _radii: np.ndarray[Any, Any]) -> Picture:
    """The exponent grows by 0.08 a step: darker middle tones."""
    levels = np.rint(255 * (np.arange(256) / 255) ** (1 + 0.08 * step)).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, levels), np.uint8)


def blur(picture: Picture, step: int, _radii: np.ndarray[Any, Any]) -> Picture:
    """A Gaussian whose width grows by a thousandth of the picture's height a step."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.001 * step * len(picture)), np.uint8)


def vignetting(picture: Picture, step: int, radii: np.ndarray[Any, Any]) -> Picture:
    """At the field's rim 8 % of the light is lost a step, in its middle none."""
    light = 1 - 0.08 * step * np.minimum(radii, 1.0) ** 2
    return np.clip(np.rint(picture * light[..., None]), 0, 255).astype(np.uint8)


SHIFTS: dict[str, Callable[[Picture, int, np.ndarray[Any, Any]], Picture]] = {
    shift.__name__: shift for shift in (colour_temperature, gamma, blur, vignetting)
}


@dataclass(frozen=True)
class Study:
    """The bundle, where scores are kept, and the further patients."""

    data: Path
    work: Path
    cases: list[EyeCase]

    def rows(self, name: str, work: Callable[[Scorer], Iterable[PredictionRow]]) -> list[PredictionRow]:
        """The rows of this name, scored unless FOLDER has them."""
        path = self.work / f"{name}.csv"
        if not path.is_file():
            rows = list(work(Scorer.from_bundle(self.data / "release", threads=1)))
            write_predictions(path, rows)
        return read_predictions(path)

    def photograph(self, case: EyeCase) -> Path:
        """The drawn picture, without loss."""
        path = self.work / "photographs" / f"{case.image_id}.png"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            rgb = render(SEED, case, MEGAPIXELS, without_lesions=False).rgb
            cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return path

    def development(self) -> list[PredictionRow]:
        """Training and validation photographs; the first have no score."""
        splits, manifest = read_splits(self.data / "splits.csv"), read_manifest(self.data / "manifest.csv")
        files = {row.image_id: row for row in manifest}
        rows = {split: select_split(splits, split, 0) for split in (Split.TRAIN, Split.VALIDATION)}

        def work(scorer: Scorer) -> Iterable[PredictionRow]:
            for split, part in rows.items():
                for row in progress(part, label=split, total=len(part)):
                    file = files[row.image_id]
                    score = scorer.score((self.data / "phantom/default" / file.path).read_bytes())
                    person = Person(patient_id=row.group, site=row.site)
                    yield prediction(row.image_id, score, person, file.camera, scored=split is Split.VALIDATION)

        return self.rows("development", work)

    def shifted(self, shift: str, step: int) -> list[PredictionRow]:
        """The further patients' photographs; step 0 of all, another of the first ones."""
        cases = self.cases if step == 0 else self.cases[: 2 * SHIFTED_PATIENTS]

        def work(scorer: Scorer) -> Iterable[PredictionRow]:
            for case in progress(cases, label=f"{shift} {step}", total=len(cases)):
                picture = np.asarray(cv2.imread(str(self.photograph(case)), cv2.IMREAD_COLOR)[..., ::-1], np.uint8)
                if step:
                    picture = SHIFTS[shift](picture, step, field_radii(picture))
                score = scorer.score(encode(np.ascontiguousarray(picture), CAMERAS[case.camera].jpeg_quality))
                person = Person(patient_id=case.patient_id, site=case.site)
                yield prediction(case.image_id, score, person, case.camera)

        return self.rows(f"{shift}-{step}", work)


def field_radii(picture: Picture) -> np.ndarray[Any, Any]:
    """(height, width) distance from the centre of what is lit, in radii of its width."""
    lit = picture.max(axis=2) > 12
    columns, rows = np.flatnonzero(lit.any(axis=0)), np.flatnonzero(lit.any(axis=1))
    radius = (columns[-1] - columns[0]) / 2
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    radii: np.ndarray[Any, Any] = np.hypot(x - columns.mean(), y - rows.mean()) / radius
    return radii


def prediction(image_id: str, score: Any, person: Person, camera: str, *, scored: bool = True) -> PredictionRow:
    acquisition = score.acquisition and dataclasses.replace(score.acquisition, camera=camera)
    score = dataclasses.replace(score, person=person, acquisition=acquisition)
    row = make_row(Entry(image_id, image_id), score, image_id=image_id, duplicate_of="", bundle_id="phantom")
    grade = {"grade": None, "probabilities": None, "expected_grade": None, "referable": None}
    hidden = {**grade, "referable_probability": None, "vision_threatening": None}
    return row if scored else dataclasses.replace(row, **hidden)


def observations(rows: Iterable[PredictionRow], *, named: bool) -> Observations:
    return Observations.of(
        (row.patient_id, row.site if named else "", row.camera if named else "", measured(row))
        for row in rows
        if row.status in (Status.SCORED, Status.UNGRADABLE)
    )


def drift_of(pool: Observations, reference: Reference, rng: np.random.Generator) -> Drift:
    """Compares both eyes of BATCH_PATIENTS patients, drawn from the pool."""
    drawn = rng.choice(np.unique(pool.patients.astype(str)), BATCH_PATIENTS, replace=False)
    observed = pool.where(np.isin(pool.patients.astype(str), drawn))
    return compare(Batch("drawn", "", "phantom", observed, Counter(), 0), reference)


def fraction(hits: int, total: int) -> dict[str, Any]:
    low, high = wilson(hits, total, 0.95)
    return {"value": hits / total, "low": low, "high": high, "n": total}


def warned(rows: list[PredictionRow], reference: Reference, batches: int, *, named: bool) -> dict[str, Any]:
    """The fraction of drawn batches with a warning, and with `drift`; the measures that warn most often."""
    rng, pool = np.random.default_rng(SEED), observations(rows, named=named)
    drifts = [drift_of(pool, reference, rng) for _ in range(batches)]
    measures = Counter(measure for drift in drifts for measure in {each.measure for each in drift.warnings})
    return {
        "warned": fraction(sum(drift.verdict is not Verdict.STABLE for drift in drifts), batches),
        "drift": fraction(sum(drift.verdict is Verdict.DRIFT for drift in drifts), batches),
        "measures": {name: count / batches for name, count in measures.most_common(5)},
    }


def qwk_figures(study: Study, shift: str, step: int) -> dict[str, Any]:
    grades = {case.image_id: case.grade for case in study.cases}
    before = {row.image_id: row for row in study.shifted("none", 0)}
    after = study.shifted(shift, step)
    both = [row for row in after if row.grade is not None and before[row.image_id].grade is not None]
    true, groups = [grades[row.image_id] for row in both], [row.patient_id for row in both]
    old, new = [before[row.image_id].grade for row in both], [row.grade for row in both]
    return {
        "qwk": qwk_estimate(true, new, groups, **BOOTSTRAP).to_dict(),
        "qwk_loss": paired_qwk_difference(true, old, new, groups, **BOOTSTRAP).to_dict(),
        "rejected": sum(row.status is not Status.SCORED for row in after) / len(after),
    }


def first_step(table: list[dict[str, Any]], reached: Callable[[dict[str, Any]], bool]) -> int | None:
    return next((line["step"] for line in table if reached(line)), None)


def detection(study: Study, reference: Reference, shift: str) -> dict[str, Any]:
    table = []
    for step in STEPS:
        rows = study.shifted(shift, step)
        warnings = {
            name: warned(rows, reference, DETECTION_BATCHES, named=name == "cameras_named")
            for name in ("cameras_named", "nothing_named")
        }
        table.append({"step": step, **qwk_figures(study, shift, step), **warnings})
    lost = first_step(table, lambda line: line["qwk_loss"]["value"] >= MAX_QWK_LOSS)
    found = {
        name: first_step(table, lambda line, name=name: line[name]["warned"]["value"] >= FOUND_IN)
        for name in ("cameras_named", "nothing_named")
    }
    before = {name: step is not None and (lost is None or step < lost) for name, step in found.items()}
    return {"steps": table, "found_at": found, "qwk_lost_0_05_at": lost, "found_before": before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--work", "--out"):
        parser.add_argument(name, type=Path, required=True)
    args = parser.parse_args()
    study = Study(args.data, args.work, draw_cohort(SEED, POOL_PATIENTS, GRADE_SHARES))
    development, pool = study.development(), study.shifted("none", 0)
    reference = Reference.of(observations(development, named=True), {"looks": "phantom"})
    figures = {
        "research_use": RESEARCH_USE,
        "machine": describe_machine(),
        "bundle_sha256": sha256_file(args.data / "release" / "SHA256SUMS"),
        "reference": {"photographs": reference.overall.photographs, "patients": reference.overall.patients},
        "pool": {"patients": POOL_PATIENTS, "shifted_patients": SHIFTED_PATIENTS, "batch_patients": BATCH_PATIENTS},
        "false_alarms": {
            name: warned(pool, reference, FALSE_ALARM_BATCHES, named=name == "cameras_named")
            for name in ("cameras_named", "nothing_named")
        },
        "detection": {shift: detection(study, reference, shift) for shift in SHIFTS},
        "found_in": FOUND_IN,
    }
    write_json(args.out, figures)


if __name__ == "__main__":
    main()
