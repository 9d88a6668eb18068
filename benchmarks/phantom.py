"""Checks that only the lesions of the phantom reveal the grade.

    python -m benchmarks.phantom --params params.yaml --bundle data/release --phantom data/phantom/default \
        --splits data/splits.csv --out reports/benchmarks/phantom.json

Four figures, each a quadratic-weighted kappa with a patient-clustered 95 % interval: the bundle on the test eyes; on
the same eyes with the lesions left out; on a cohort of another seed; and a logistic regression on 16×16 colour
thumbnails and the images' geometry, trained on the development eyes.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dr_pipeline.files import write_json
from dr_pipeline.intake.phantom.generate import LABELS, PHANTOM_LABELS, PHOTOGRAPHS, PhantomLabel, write_phantom
from dr_pipeline.machine import describe_machine, usable_cores
from dr_pipeline.metrics.bootstrap import qwk_estimate
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.phantom_params import Phantom, PlantedFaults
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.splits import read_splits


def estimate(grades: Sequence[int], rows: Sequence[PhantomLabel]) -> dict[str, float | int | None]:
    true = np.array([row.grade for row in rows])
    groups = [row.patient for row in rows]
    return qwk_estimate(true, np.array(grades), groups, replicates=1000, seed=1, confidence=0.95).to_dict()


def bundle_grades(scorer: Scorer, phantom: Path, rows: Sequence[PhantomLabel]) -> list[int]:
    grades = []
    for row in rows:
        grading = scorer.score((phantom / PHOTOGRAPHS / row.image).read_bytes()).grading
        if grading is None:
            raise SystemExit(f"{row.image} was not graded")
        grades.append(grading.grade)
    return grades


def shortcuts(phantom: Path, rows: Sequence[PhantomLabel]) -> NDArray[np.float64]:
    """Features without lesions: colours at 16×16, width, height, aspect."""
    features = []
    for row in rows:
        image = cv2.imread(str(phantom / PHOTOGRAPHS / row.image))
        height, width = image.shape[:2]
        small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
        features.append(np.concatenate([small.ravel() / 255, [width, height, width / height]]))
    return np.array(features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("params", "bundle", "phantom", "splits", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    params = load_section(args.params, "phantom.default", Phantom)
    split = {row.image_id: row.split for row in read_splits(args.splits)}
    rows = [row for row in PHANTOM_LABELS.read(args.phantom / LABELS) if Path(row.image).stem in split]
    test = [row for row in rows if split[Path(row.image).stem] == "test"]
    development = [row for row in rows if split[Path(row.image).stem] != "test"]
    scorer = Scorer.from_bundle(args.bundle, threads=1)
    figures = {"test eyes": estimate(bundle_grades(scorer, args.phantom, test), test)}
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "without lesions"
        write_phantom(params, bare, without_lesions=True, workers=usable_cores())
        figures["test eyes without lesions"] = estimate(bundle_grades(scorer, bare, test), test)
        other = Path(folder) / "another seed"
        # Without faults: an image that shows no fundus has no grade to compare.
        none = PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0))
        other_seed = params.model_copy(update={"seed": params.seed + 1000, "faults": none})
        write_phantom(other_seed, other, workers=usable_cores())
        others = PHANTOM_LABELS.read(other / LABELS)
        figures["another seed"] = estimate(bundle_grades(scorer, other, others), others)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    probe.fit(shortcuts(args.phantom, development), [row.grade for row in development])
    figures["thumbnail and geometry probe"] = estimate(probe.predict(shortcuts(args.phantom, test)), test)
    write_json(args.out, {"qwk": figures, "machine": describe_machine(), "research_use": RESEARCH_USE})
    for name, figure in figures.items():
        print(f"{name}: QWK {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}, n = {figure['n']})")


if __name__ == "__main__":
    main()
