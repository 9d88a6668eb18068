"""Drawn predictions: two eyes a patient that resemble each other, of cameras and sites with looks of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.bundle.reference import Observations, Reference
from dr_pipeline.clinic.drift.batch import measured, read_batch
from dr_pipeline.clinic.drift.compare import Drift, compare
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.predictions import PredictionRow, write_predictions

CAMERAS = {"Topcon NW400": 90.0, "Canon CR-2": 120.0}  # brightness
SITES = {"Topcon NW400": "hill", "Canon CR-2": "lake"}
BUNDLE_ID = "b" * 16


def draw_rows(
    seed: int,
    patients: int,
    *,
    cameras: Sequence[str] = tuple(CAMERAS),
    brighter: float = 0.0,
    rejected: float = 0.04,
    named: bool = True,
    **changes: Any,
) -> list[PredictionRow]:
    """Both eyes of so many patients; `brighter` adds to the brightness, `changes` replaces fields of every row."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        camera = str(rng.choice(list(cameras)))
        person, severity = rng.normal(0, 8), rng.beta(0.6, 0.9)
        for eye in (Eye.LEFT, Eye.RIGHT):
            is_scored = rng.random() >= rejected
            expected = float(np.clip(4 * severity + rng.normal(0, 0.1), 0, 4))
            brightness = CAMERAS.get(camera, 90.0) + brighter + person + rng.normal(0, 3)
            grade = {
                "grade": round(expected),
                "probabilities": (0.2,) * 5,
                "expected_grade": round(expected, 4),
                "referable": expected >= 2,
                "referable_probability": round(min(1.0, expected / 4), 6),
                "vision_threatening": expected >= 3,
                "needs_human": False,
            }
            look = {
                "width": 3000 if camera == "Topcon NW400" else 4000,
                "height": 2000,
                "disc_radius": round(rng.normal(900, 10), 2),
                "camera": camera if named else "",
                "brightness": round(brightness, 2),
                "contrast": round(rng.normal(0.06, 0.005), 6),
                "sharpness": round(rng.normal(0.5, 0.05), 4),
                "red_over_green": round(rng.normal(1.8, 0.1), 4),
                "blue_over_green": round(rng.normal(0.5, 0.05), 4),
            }
            fields: dict[str, Any] = {
                "image_id": f"{seed}-{number}-{eye}",
                "path": f"{number}-{eye}.jpg",
                "sha256": f"{seed}{number}{eye}",
                "status": Status.SCORED if is_scored else Status.UNGRADABLE,
                "patient_id": f"P{seed}-{number}",
                "eye": eye,
                "site": SITES.get(camera, "") if named else "",
                "quality": round(rng.beta(8, 2), 4),
                "bundle_id": BUNDLE_ID,
            }
            rows.append(PredictionRow(**fields | look | (grade if is_scored else {}) | changes))
    return rows


def observe(rows: Sequence[PredictionRow]) -> Observations:
    return Observations.of((row.patient_id, row.site, row.camera, measured(row)) for row in rows)


def make_reference(patients: int = 300, *, seed: int = 1) -> Reference:
    return Reference.of(observe(draw_rows(seed, patients)), {"looks": "drawn", "scores": "drawn"})


def drift_of(folder: Path, rows: Sequence[PredictionRow], reference: Reference, **options: Any) -> Drift:
    path = folder / "batch.csv"
    write_predictions(path, rows)
    return compare(read_batch(path), reference, **options)
