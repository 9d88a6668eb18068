"""What adapting batch normalisation to a site does to kappa, where the site is the test part through another camera.

    python -m benchmarks.adaptation --bundle data/release --data data --root data/phantom/default \
      --out reports/benchmarks/adaptation.json

For each camera, at full strength, all gradable test photographs are adapted to without their labels and graded by the
parent and by the child. Differences are paired by group. One network, one seed, one cohort.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.deployment.adapt_bundle import adapt_bundle
from dr_pipeline.deployment.class_shares import score_photographs
from dr_pipeline.engines.choice import EngineChoice, EngineName
from dr_pipeline.files import write_json
from dr_pipeline.fundus.camera_models import Camera
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.schema import RESEARCH_USE, Split, Status
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import read_splits, select_split

CAMERAS = ("none", "warm", "cool", "vignetting", "bright", "dark", "narrow_field")
DRAWN = {"replicates": 1000, "seed": 20, "confidence": 0.95}
_FULL_SIZE_PX = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bundle", "data", "root", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    paths = {row.image_id: row.path for row in read_manifest(args.data / "audited.csv")}
    rows = select_split(read_splits(args.data / "splits.csv"), Split.TEST, 0)
    engine = EngineChoice(EngineName.IN_PROCESS)
    cameras = {}
    for name in CAMERAS:
        with tempfile.TemporaryDirectory() as scratch:
            site, child = Path(scratch) / "site", Path(scratch) / "child"
            site.mkdir()
            camera = Camera(frozenset() if name == "none" else frozenset({name}), 1.0)
            for number, row in enumerate(rows):
                pixels = decode((args.root / paths[row.image_id]).read_bytes(), _FULL_SIZE_PX).pixels
                (site / f"{number}.jpg").write_bytes(camera.encode(camera.photograph(pixels, find_disc(pixels))))
            report = adapt_bundle(args.bundle, site, child, site="").report
            names = [f"{number}.jpg" for number in range(len(rows))]
            before, after = (
                score_photographs(read_bundle(root, threads=1), site, names, "", engine)
                for root in (args.bundle, child)
            )
        kept = [at for at, score in enumerate(before) if score.status is Status.SCORED]
        true, groups = np.array([rows[at].grade for at in kept]), [rows[at].group for at in kept]
        graded = [[scores[at].grading.grade for at in kept] for scores in (before, after)]  # type: ignore[union-attr]
        cameras[name] = {
            "parent_qwk": qwk_estimate(true, graded[0], groups, **DRAWN).to_dict(),
            "child_minus_parent": paired_qwk_difference(true, graded[1], graded[0], groups, **DRAWN).to_dict(),
            "changed_grades": report["changed_grades"],
        }
        print(name, cameras[name], flush=True)
    write_json(args.out, {"cameras": cameras, "machine": describe_machine(), "research_use": RESEARCH_USE})


if __name__ == "__main__":
    main()
