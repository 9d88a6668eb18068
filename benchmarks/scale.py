"""Whether intake, preprocess, audit and split stay flat in memory and incremental at 20,000 photographs.

    python -m benchmarks.scale --work DIR --out reports/benchmarks/scale.json

For each number of photographs: a scratch git and DVC repository in DIR with this repository's own stages, and that many
distinct photographs of 512 px in it, each made of the halves of two phantom eyes, turned and toned at random, so that
none is a copy of another. Measured are each stage's time and the peak memory of its largest process, shards made
again once one photograph is added, and `dvc repro` with nothing to do.
"""

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from dr_pipeline.files import read_csv, read_json, sha256_file, write_json
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.intake.phantom.generate import PHOTOGRAPHS, write_phantom
from dr_pipeline.machine import describe_machine, usable_cores
from dr_pipeline.params.phantom_params import Phantom
from dr_pipeline.recipes.compose import recipe_text
from tests.factories import REPOSITORY

STAGES = ("intake", "preprocess", "audit", "split")
SIDE_PX = 512
FAULTS = ("exact_duplicates", "near_duplicates", "cross_patient", "contradictions", "exif_turns", "colour_order")
GRADE_SHARES = (0.49, 0.1, 0.2, 0.11, 0.1)
BARS = {"shards_made_again": 2, "nothing_to_do_s": 5.0}

# Put before each stage's command: notes its time and the peak memory of its largest process.
MEASURED = """
import json, pathlib, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[2:]).returncode
peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
facts = {"seconds": round(time.perf_counter() - start, 2), "peak_mib": round(peak_mib)}
pathlib.Path("measured").mkdir(exist_ok=True)
pathlib.Path("measured", sys.argv[1] + ".json").write_text(json.dumps(facts))
sys.exit(code)
"""


def source_discs(work: Path, patients: int) -> list[NDArray[np.uint8]]:
    """Canonical discs of phantom eyes, (SIDE_PX, SIDE_PX, 3) RGB."""
    phantom = Phantom.model_validate(
        {
            "seed": 512,
            "patients": patients,
            "grade_shares": GRADE_SHARES,
            "megapixels": 0.4,
            "faults": dict.fromkeys((*FAULTS, "not_fundus"), 0),
        }
    )
    write_phantom(phantom, work / "phantom", workers=usable_cores())
    path = PixelPath(SIDE_PX)
    return [path.process(file.read_bytes()).canvas for file in sorted((work / "phantom" / PHOTOGRAPHS).iterdir())]


def photograph(discs: list[NDArray[np.uint8]], number: int) -> bytes:
    """The JPEG of photograph `number`: two eyes, each turned, one fading into the other, then a tone."""
    random = np.random.default_rng([SIDE_PX, number])
    turned = []
    for index in random.choice(len(discs), 2, replace=False):
        turn = cv2.getRotationMatrix2D((SIDE_PX / 2 - 0.5,) * 2, random.uniform(0, 360), random.uniform(1.0, 1.2))
        turned.append(cv2.warpAffine(discs[index], turn, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR))
    share = np.clip(np.linspace(-3, 4, SIDE_PX), 0, 1)[None, :, None]
    tone = (np.arange(256) / 255) ** random.uniform(0.85, 1.15) * 255 * random.uniform(0.85, 1.0)
    picture = cv2.LUT(np.rint(turned[0] * (1 - share) + turned[1] * share).astype(np.uint8), tone.astype(np.uint8))
    picture = cv2.bitwise_and(picture, picture, mask=disc_mask(SIDE_PX))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, 90))
    return bytes(data)


def write_photographs(root: Path, discs: list[NDArray[np.uint8]], numbers: range) -> None:
    """Adds photographs and their rows of labels.csv; two eyes for each patient, grades drawn by GRADE_SHARES."""
    root.mkdir(parents=True, exist_ok=True)
    new = not (root / "labels.csv").exists()
    with (root / "labels.csv").open("a", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        if new:
            table.writerow(("image", "grade", "patient", "eye"))
        for number in numbers:
            name = f"p{number // 2:05d}_{('left', 'right')[number % 2]}.jpg"
            (root / name).write_bytes(photograph(discs, number))
            grade = int(np.random.default_rng([1, number]).choice(5, p=GRADE_SHARES))
            table.writerow((name, grade, f"p{number // 2:05d}", ("left", "right")[number % 2]))


def write_repository(space: Path, canvas_px: int, num_shards: int) -> None:
    """This repository's stages, code, DVC settings and the recipe `folder`."""
    shutil.copytree(REPOSITORY / "dr_pipeline", space / "dr_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (space / "measured.py").write_text(MEASURED)
    (space / ".gitignore").write_text("/data\n/reports\n/measured\n/mlflow.db*\n/mlruns\n/mlartifacts\n")
    params = yaml.safe_load(recipe_text("folder"))
    params["preprocess"] |= {"canvas_px": canvas_px, "num_shards": num_shards}
    (space / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name in STAGES:
        stages[name]["cmd"] = f"{sys.executable} measured.py {name} {stages[name]['cmd']}"
    kept = ("code", *STAGES)
    (space / "dvc.yaml").write_text(yaml.safe_dump({"stages": {name: stages[name] for name in kept}}))
    run(space, "git", "init", "-q")
    run(space, "dvc", "init", "-q")
    shutil.copy(REPOSITORY / ".dvc" / "config", space / ".dvc" / "config")


def run(space: Path, *command: str) -> tuple[float, str]:
    """Runs a program of this environment in the scratch repository; returns its seconds and its output."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=space, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} → {done.returncode}\n{done.stdout[-4000:]}")
    return round(time.perf_counter() - start, 2), done.stdout


def shard_hashes(space: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted((space / "data/canvases").glob("shard-*.tar"))}


def stage_figures(space: Path) -> dict[str, Any]:
    return {name: json.loads((space / "measured" / f"{name}.json").read_text()) for name in STAGES}


def measure(space: Path, discs: list[NDArray[np.uint8]], num: int, canvas_px: int, num_shards: int) -> dict[str, Any]:
    """Everything about one number of photographs."""
    write_repository(space, canvas_px, num_shards)
    write_photographs(space / "data/source", discs, range(num))
    total_s, _ = run(space, "dvc", "repro", "split")
    stages = stage_figures(space)
    status = [row["status"] for row in read_csv(space / "data/canvases/index.csv")]
    result = {
        "photographs": num,
        "gradable": status.count("scored"),
        "in_splits": len(read_csv(space / "data/splits.csv")),
        "audit_findings": {kind: n for kind, n in read_json(space / "reports/audit.json")["counts"].items() if n},
        "dvc_repro_s": total_s,
        "stages": stages,
        "nothing_to_do_s": [run(space, "dvc", "repro", "split")[0] for _ in range(3)],
    }
    before = shard_hashes(space)
    write_photographs(space / "data/source", discs, range(num, num + 1))
    more_s, output = run(space, "dvc", "repro", "split")
    rendered = re.search(r"(\d+) of (\d+) shards made", output)
    if rendered is None:
        raise SystemExit(f"the preprocess stage did not run:\n{output[-4000:]}")
    after = shard_hashes(space)
    return result | {
        "one_more_photograph": {
            "shards": int(rendered[2]),
            "shards_made_again": int(rendered[1]),
            "shards_with_other_bytes": sum(before.get(name) != sha256 for name, sha256 in after.items()),
            "photographs_in_index": len(read_csv(space / "data/canvases/index.csv")),
            "dvc_repro_s": more_s,
            "stages": stage_figures(space),
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the scratch repositories; must be new")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--photographs", type=int, nargs="+", default=[1000, 20000], help="each is measured")
    parser.add_argument("--source-patients", type=int, default=150, help="phantom patients whose eyes are varied")
    parser.add_argument("--canvas-px", type=int, default=256)
    parser.add_argument("--num-shards", type=int, default=64)
    args = parser.parse_args()
    if args.work.exists():
        parser.error(f"{args.work} exists")
    args.work.mkdir(parents=True)
    discs = source_discs(args.work, args.source_patients)
    runs = []
    for num in args.photographs:
        runs.append(measure(args.work / f"n{num}", discs, num, args.canvas_px, args.num_shards))
        print(json.dumps(runs[-1], indent=2), flush=True)
    first, last = runs[0]["stages"], runs[-1]["stages"]
    result = {
        "machine": describe_machine(),
        "canvas_px": args.canvas_px,
        "num_shards": args.num_shards,
        "photographs_px": SIDE_PX,
        "bars": BARS,
        "runs": runs,
        "peak_mib_last_over_first": {
            name: round(last[name]["peak_mib"] / first[name]["peak_mib"], 3) for name in STAGES
        },
    }
    write_json(args.out, result)


if __name__ == "__main__":
    main()
