"""Repeatability of a bundle: each eye of the phantom's test part photographed a second time.

    python -m benchmarks.repeatability --data data --params params.yaml --out reports/benchmarks/repeatability.json

`another_camera`: the generator draws the same eye with the same lesions by the next of its five cameras, with another
field, resolution, colour, sharpness and compression; the disc lies elsewhere. `altered_copy`: the photograph itself
through three of the shift suite's camera models at mild strength, drawn for each. Drawn eyes neither move nor blink,
and ungradable photographs are drawn for neither: these are figures of cameras, not of a clinic's second visit.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.deployment.score_answers import answers_of
from dr_pipeline.deployment.shift_suite import score_shifted
from dr_pipeline.evaluation.repeatability import EyePhotograph, repeatability_report
from dr_pipeline.files import write_json
from dr_pipeline.intake.phantom.cameras import CAMERAS
from dr_pipeline.intake.phantom.cohort import EyeCase, draw_cohort
from dr_pipeline.intake.phantom.jpeg_files import encode
from dr_pipeline.intake.phantom.photograph import render
from dr_pipeline.logs import progress
from dr_pipeline.machine import describe_machine
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.phantom_params import Phantom
from dr_pipeline.schema import RESEARCH_USE, Split
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.splits import read_splits

DRAWN = {"replicates": 2000, "seed": 20, "confidence": 0.95}
NAMES = tuple(CAMERAS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "params", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    phantom = load_section(args.params, "phantom.default", Phantom)
    scorer = Scorer.from_bundle(args.data / "release", threads=1)
    groups = {row.image_id: row.group for row in read_splits(args.data / "splits.csv") if row.split == Split.TEST}
    cases = draw_cohort(phantom.seed, phantom.patients, phantom.grade_shares)
    eyes = [case for case in cases if case.image_id in groups and not case.ungradable]

    def photograph(case: EyeCase) -> bytes:
        pixels = render(phantom.seed, case, phantom.megapixels, without_lesions=False).rgb
        return encode(pixels, CAMERAS[case.camera].jpeg_quality)

    first, another, altered = list[Score](), list[Score](), list[Score]()
    for case in progress(eyes, label="eyes"):
        plain, copy = score_shifted(scorer, photograph(case), [("mixed", "mild")], seed=0)
        first.append(plain)
        altered.append(copy)
        other_camera = NAMES[(NAMES.index(case.camera) + 1) % len(NAMES)]
        another.append(scorer.score(photograph(replace(case, camera=other_camera))))

    def report(second: list[Score]) -> dict[str, Any]:
        true = np.array([case.grade for case in eyes], dtype=np.int64)
        pictures = [EyePhotograph(case.image_id, "", groups[case.image_id]) for case in eyes]
        return repeatability_report(answers_of(first + second), np.concatenate([true, true]), pictures * 2, DRAWN)

    write_json(
        args.out,
        {
            "machine": describe_machine(),
            "bundle_id": identify_bundle(args.data / "release").bundle_id,
            "data": "synthetic eyes of the held-out test part",
            "another_camera": report(another),
            "altered_copy": report(altered),
            "research_use": RESEARCH_USE,
        },
    )


if __name__ == "__main__":
    main()
