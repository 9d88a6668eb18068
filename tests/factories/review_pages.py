"""Review pages for tests: drawn photographs, predictions without a bundle, and a browser that opens pages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.clinic.review.make_review import Review, ReviewOptions, make_review
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.files import sha256_bytes
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.predictions import PredictionRow, write_predictions
from tests.factories.drawings import draw_fundus, jpeg

BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser")
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def probabilities(grade: int, top: float) -> tuple[float, ...]:
    """`top` for the grade, the rest shared equally."""
    return tuple(top if each == grade else (1 - top) / 4 for each in range(5))


def prediction(image_id: str, **changes: Any) -> PredictionRow:
    """A row; `grade` gives it probabilities too."""
    grade = changes.pop("grade", None)
    values: dict[str, Any] = {
        "path": f"{image_id}.jpg",
        "sha256": sha256_bytes(image_id.encode()),
        "status": Status.SCORED if grade is not None else Status.UNGRADABLE,
        "needs_human": grade is None,
        "quality": 0.8,
        "bundle_id": "b" * 16,
    }
    if grade is not None:
        values |= {
            "grade": grade,
            "probabilities": probabilities(grade, changes.pop("top", 0.9)),
            "expected_grade": float(grade),
            "referable": grade >= 2,
            "referable_probability": 0.5,
            "vision_threatening": grade >= 3,
        }
    return PredictionRow(image_id=image_id, **values | changes)


def batch(root: Path) -> tuple[Path, list[PredictionRow]]:
    """Twelve photographs below root/photographs: of each status, two sites, one seen twice, one not there any more."""
    rows = []
    for number in range(12):
        grade = number % 5 if number < 8 else None
        status = (Status.UNGRADABLE, Status.NOT_FUNDUS, Status.FAILED, Status.UNGRADABLE)[number % 4]
        row = prediction(
            f"eye{number}",
            **({"grade": grade, "top": 0.95 - 0.08 * number} if grade is not None else {"status": status}),
            reason="" if grade is not None else "low_score",
            needs_human=number % 3 == 0 or grade is None,
            patient_id=f"PAT{number // 2:02d}",
            eye=(Eye.LEFT, Eye.RIGHT)[number % 2],
            visit="2026-03",
            site=("north", "south")[number % 2],
            duplicate_of="eye0" if number == 7 else "",
        )
        data = b"no picture" if row.status is Status.FAILED else drawn(number)
        rows.append(write_photograph(root / "photographs", row, data))
    (root / "photographs" / "eye11.jpg").unlink()
    write_predictions(root / "p.csv", rows)
    return root / "p.csv", rows


def drawn(number: int) -> bytes:
    return jpeg(draw_fundus(320, 300, 160, 150, 120 + number, seed=number), 85)


def write_photograph(folder: Path, row: PredictionRow, data: bytes) -> PredictionRow:
    """Writes the row's file, and returns the row with its hash."""
    path = folder / row.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return replace(row, sha256=sha256_bytes(data))


def review(predictions: Path, out: Path, **options: Any) -> Review:
    """Makes the page in this process."""
    return make_review(
        predictions,
        out,
        sources=(str(predictions.parent / "photographs"),),
        options=ReviewOptions(**options),
        engine=EngineChoice(EngineName.IN_PROCESS),
    )


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a screen; the test is skipped where it is absent."""
    path = next(filter(os.path.exists, BROWSERS), None)
    if path is None:
        pytest.skip("Chromium: absent")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright: absent")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(BROWSER_FLAGS))
        yield chromium
        chromium.close()
