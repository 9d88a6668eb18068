"""A screening day, end to end: drawn patients, two cameras, a node that is killed, Orthanc, results, review, drift."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from dr_pipeline.schema import Status
from dr_pipeline.tables.predictions import read_predictions
from dr_pipeline.tables.result_patients import RESULT_PATIENTS
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle
from tests.factories.clinic import orthanc
from tests.factories.review_pages import browser

EXAMPLE = REPOSITORY / "examples" / "04_screening_day.py"
PATIENTS = 40
PHOTOGRAPHS, RETAKES, DAMAGED = 2 * PATIENTS, 6, 1


def test_a_screening_day_of_forty_patients(tmp_path: Path) -> None:
    bundle, day = make_bundle(tmp_path / "bundle"), tmp_path / "day"
    with orthanc(tmp_path / "orthanc") as pacs:
        destination = f"ORTHANC@127.0.0.1:{pacs.dicom_port}"
        done = subprocess.run(
            [sys.executable, EXAMPLE, "--bundle", bundle, "--out", day, "--send-to", destination],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout
        reports = len(pacs.reports())

    # Every object is accounted for: what the node took has one row and one report, what it refused is counted.
    rows = read_predictions(day / "node" / "predictions.csv")
    assert len({row.sha256 for row in rows}) == len(rows) == reports == PHOTOGRAPHS + RETAKES + DAMAGED
    assert sum(row.status is Status.FAILED for row in rows) == DAMAGED
    assert "other modality: 1 sent, 0 taken" in done.stdout
    assert f"photograph: {PHOTOGRAPHS} sent, {PHOTOGRAPHS} taken" in done.stdout
    assert (
        "CT" in (day / "node" / "refusals.csv").read_text()
        or "1.2.840.10008.5.1.4.1.1.2" in (day / "node" / "refusals.csv").read_text()
    )

    # Every patient has a result, which names no one.
    patients = RESULT_PATIENTS.read(day / "results" / "patients.csv")
    assert len({row.patient_id for row in patients}) == len(patients) == PATIENTS
    assert sum(row.photographs for row in patients) == len(rows)
    assert Counter(row.patient_id for row in rows if row.patient_id) == {r.patient_id: r.photographs for r in patients}

    # The page opens from the disk.
    with browser() as chromium:
        page = chromium.new_page()
        page.goto((day / "review" / "index.html").as_uri())
        page.get_by_text(f"{len(rows)} of {len(rows)} photographs").wait_for(timeout=30_000)

    # The drift is that of one camera's colours.
    drifted = {
        (comparison["group"], comparison["measure"])
        for comparison in json.loads((day / "drift" / "drift.json").read_text())["comparisons"]
        if comparison["verdict"] == "drift"
    }
    assert ("Drawn cedar", "blue_over_green") in drifted
    assert not [group for group, _ in drifted if group == "Drawn alder"]
    assert "WARNING" in done.stdout
    assert "Drawn^Eye" not in done.stdout + (day / "node" / "log.txt").read_text()
