"""Whether the audit finds every planted fault and nothing else: in the phantom, and among real photographs.

    python -m benchmarks.audit --idrid ROOT --work DIR --out reports/benchmarks/audit.json [--small]

Three data sets go through the pipeline's own stages, each stage in a process of its own: a phantom with faults, a clean
phantom (whose fellow eyes and pictures of one camera are the hard negatives), and reduced photographs of IDRiD with
faulty copies. Strengths: see dr_pipeline/intake/phantom/{jpeg_files,faults,non_fundus}.py. Recall is by kind and way;
every finding about one picture that names two, or a fault that was not planted, is a false alarm.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.planted import Planted, phantom_truth, plant_in_photographs
from dr_pipeline.audit.duplicates import hashes_to_compare, identical_groups
from dr_pipeline.audit.image_similarity import correlation, features
from dr_pipeline.audit.inputs import join_inputs
from dr_pipeline.audit.near_duplicates import MIN_CORRELATION, RADIUS
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.files import read_json, write_json
from dr_pipeline.fundus.perceptual_hash import NUM_TURNS, hash_words, turn_hashes, turn_square
from dr_pipeline.intake.adapters import idrid
from dr_pipeline.machine import describe_machine
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.params.phantom_params import PlantedFaults
from dr_pipeline.params.section import validate
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.manifest import ManifestRow, read_manifest

REPOSITORY = Path(__file__).resolve().parents[1]
# Findings about one picture in several files, and about single files.
ABOUT_PICTURES = ("identical", "near_duplicates", "contradictions", "cross_patient")
ABOUT_FILES = ("unreadable", "not_fundus", "colour_order", "identity")

# Its last line: KiB of its own peak (not the rusage's, which begins with that of the process it was forked from) and of
# its largest worker's.
_CHILD = """
import re, resource, sys
from pathlib import Path
from dr_pipeline.cli import main
status = main(sys.argv[1:])
own = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@dataclass(frozen=True)
class Run:
    """What the stages made of one data set.

    Attributes:
        data: The data set.
        report: reports/audit.json.
        manifest: Its rows.
        intake: reports/intake.json.
        store: The canvases.
        cost: Seconds and peak memory in MiB by stage.
    """

    data: Path
    report: dict[str, Any]
    manifest: list[ManifestRow]
    intake: dict[str, Any]
    store: CanvasStore
    cost: dict[str, dict[str, float]]


def run_stages(work: Path, *, phantom: Mapping[str, Any] | None, canvas_px: int) -> Run:
    """Runs phantom (where asked), intake, preprocess and audit over `work`/data.

    Args:
        work: Folder that everything is written into.
        phantom: The parameters of a phantom to draw; None where `work`/data is already there, in its layout.
        canvas_px: Of the canvases.
    """
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    document["dataset"]["adapter"] = "synthetic"
    document["phantom"] = {"planted": dict(phantom)} if phantom else {}
    document["preprocess"]["canvas_px"] = canvas_px
    work.mkdir(parents=True, exist_ok=True)
    params, data, canvases = work / "params.yaml", work / "data", work / "canvases"
    manifest, intake, report = work / "manifest.csv", work / "intake.json", work / "audit.json"
    params.write_text(yaml.safe_dump(document), encoding="utf-8")
    stages: dict[str, tuple[object, ...]] = {
        "phantom": ("--name", "planted", "--out", data),
        "intake": (
            *("--root", data, "--manifest", manifest),
            *("--readings", work / "readings.csv", "--report", intake),
        ),
        "preprocess": ("--root", data, "--manifest", manifest, "--out", canvases),
        "audit": (
            *("--manifest", manifest, "--intake", intake, "--canvases", canvases),
            *("--out", work / "audited.csv", "--report", report, "--page", work / "audit.html"),
        ),
    }
    if not phantom:
        del stages["phantom"]
    cost = {stage: measured(stage, "--params", params, *arguments) for stage, arguments in stages.items()}
    return Run(data, read_json(report), read_manifest(manifest), read_json(intake), CanvasStore(canvases), cost)


def measured(stage: str, *arguments: object) -> dict[str, float]:
    """Runs one stage in a child process; its seconds, and the peak memory of the largest process in it."""
    start = time.perf_counter()
    command = [sys.executable, "-c", _CHILD, stage, *map(str, arguments)]
    child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if child.returncode:
        raise SystemExit(f"{stage} failed:\n{child.stderr[-2000:]}")
    peak_kib = max(int(number) for number in child.stdout.splitlines()[-1].split())
    return {"seconds": round(time.perf_counter() - start, 2), "peak_mib": round(peak_kib / 1024, 1)}


def recall(planted: Planted, run: Run) -> dict[str, dict[str, int]]:
    """By kind and way: how many were planted, and how many were found as what they are."""
    found = list(_found(planted, run))
    planted_of, found_of = Counter(kind for kind, _ in found), Counter(kind for kind, good in found if good)
    return {kind: {"planted": number, "found": found_of[kind]} for kind, number in sorted(planted_of.items())}


def _found(planted: Planted, run: Run) -> Iterator[tuple[str, bool]]:
    """Every planted fault's kind, and whether it was found."""
    by_kind = findings(run)
    first_of = {name: group[0] for group in by_kind["identical"] for name in sorted(group)}
    near = {frozenset(pair) for pair in by_kind["near_duplicates"]}
    for pair in planted.pairs:
        firsts = frozenset(first_of.get(name, name) for name in (pair.original, pair.copy))
        same = len(firsts) == 1
        if pair.kind.startswith("exact"):
            yield pair.kind, same
        elif pair.kind in ("cross_patient", "contradictions"):
            yield pair.kind, any({pair.original, pair.copy} <= set(group) for group in by_kind[pair.kind])
        else:
            yield pair.kind, same or firsts in near
    for kind, names in (("colour_order", planted.swapped), ("not_fundus", list(planted.non_fundus))):
        flagged = {name for group in by_kind[kind] for name in group}
        for name in names:
            yield (f"not_fundus: {planted.non_fundus[name]}" if kind == "not_fundus" else kind), name in flagged


def precision(planted: Planted, run: Run) -> dict[str, dict[str, int]]:
    """By kind: findings, and those that join different pictures or say of a file what is not true of it."""
    by_kind, alarms = findings(run), Counter[str]()
    real = {
        "contradictions": planted.origins_with_several(1),
        "cross_patient": planted.origins_with_several(0),
        "not_fundus": set(planted.non_fundus),
        "colour_order": set(planted.swapped),
    }
    for kind in ABOUT_PICTURES:
        for group in by_kind[kind]:
            origins = {planted.origin[name] for name in group}
            right = len(origins) == 1 and None not in origins
            alarms[kind] += not (right and (kind not in real or origins <= real[kind]))
    for kind in ABOUT_FILES:
        alarms[kind] += sum(name not in real.get(kind, set()) for group in by_kind[kind] for name in group)
    return {kind: {"findings": len(by_kind[kind]), "false": alarms[kind]} for kind in (*ABOUT_PICTURES, *ABOUT_FILES)}


def against_brute_force(run: Run) -> dict[str, int | bool]:
    """The near pairs reported beside those of a comparison of every pair, in every turn."""
    inputs = join_inputs(run.manifest, run.store.rows, run.intake)
    hashes = hashes_to_compare(inputs, identical_groups(inputs))
    names = sorted(hashes)
    words, kept, compared = hash_words([hashes[name] for name in names]), {}, 0
    for turn in range(NUM_TURNS):
        queries = turn_hashes(words, turn)
        for row in range(len(names) - 1):
            distance = np.bitwise_count(queries[row] ^ words[row + 1 :]).sum(axis=1)
            compared += len(distance)
            for other in row + 1 + np.flatnonzero(distance <= RADIUS):
                pair = (names[row], names[int(other)])
                one, two = (features(run.store.read(name)) for name in pair)
                similarity = correlation(turn_square(one, turn), two, MIN_CORRELATION)
                if similarity >= MIN_CORRELATION:
                    kept[pair] = similarity
    reported = {tuple(group) for group in findings(run)["near_duplicates"]}
    return {
        "hashes": len(names),
        "compared": compared,
        "reported": len(reported),
        "brute_force": len(kept),
        "equal": reported == set(kept),
    }


def findings(run: Run) -> dict[str, list[list[str]]]:
    """The image ids of every finding, by kind."""
    by_kind: dict[str, list[list[str]]] = {kind: [] for kind in (*ABOUT_PICTURES, *ABOUT_FILES)}
    for finding in run.report["findings"]:
        by_kind.setdefault(finding["kind"], []).append(sorted(finding["image_ids"]))
    return by_kind


def upright(run: Run, pairs: Mapping[str, str], reference: CanvasStore) -> dict[str, float | int]:
    """How many turned photographs have an upright canvas: it is like one that was never turned, as it lies.

    Args:
        run: Holds the turned ones.
        pairs: The upright photograph's image id by the turned one's.
        reference: Holds the upright ones.
    """
    found = [
        correlation(features(run.store.read(stored)), features(reference.read(plain)), MIN_CORRELATION)
        for stored, plain in pairs.items()
    ]
    good = sum(value >= MIN_CORRELATION for value in found)
    return {"planted": len(found), "found": good, "lowest_correlation": round(min(found, default=1.0), 4)}


def summary(planted: Planted, run: Run) -> dict[str, Any]:
    """The figures that every data set has."""
    return {
        "photographs": len(planted.origin),
        "recall": recall(planted, run),
        "precision": precision(planted, run),
        "near_pairs": against_brute_force(run),
        "cost": run.cost,
    }


def phantom_params(patients: int, megapixels: float, *, per_kind: int, per_near: int, seed: int) -> dict[str, Any]:
    """Parameters of a phantom with so many faults of each kind; near duplicates by way."""
    faults = dict.fromkeys(PlantedFaults.model_fields, per_kind) | {"near_duplicates": 5 * per_near}
    shares = [0.36, 0.14, 0.22, 0.14, 0.14]
    return {"seed": seed, "patients": patients, "grade_shares": shares, "megapixels": megapixels, "faults": faults}


def in_phantoms(work: Path, *, patients: int, megapixels: float, per_kind: int, canvas_px: int) -> dict[str, Any]:
    """A phantom with faults and the same one without."""
    faulty = phantom_params(patients, megapixels, per_kind=per_kind, per_near=per_kind, seed=71)
    clean = phantom_params(patients, megapixels, per_kind=0, per_near=0, seed=71)
    run = run_stages(work / "phantom", phantom=faulty, canvas_px=canvas_px)
    planted = phantom_truth(work / "phantom" / "data")
    without = run_stages(work / "clean", phantom=clean, canvas_px=canvas_px)
    nothing = phantom_truth(work / "clean" / "data")
    figures = summary(planted, run)
    figures["recall"]["exif_turns"] = upright(run, {name: name for name in planted.turned}, without.store)
    return {"phantom": figures, "clean_phantom": summary(nothing, without)}


def in_photographs(root: Path, work: Path, *, originals: int, per_kind: int, canvas_px: int) -> dict[str, Any]:
    """IDRiD's training photographs, reduced to about 1,000 px, with faulty copies."""
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    dataset = validate(document["dataset"] | {"adapter": "idrid"}, Dataset, where="params.yaml, dataset")
    records = [record for record in idrid.read(root, dataset).records if record.grade is not None][:originals]
    planted = plant_in_photographs(
        [root / record.path for record in records],
        [int(record.grade or 0) for record in records],
        work / "idrid" / "data",
        per_kind=per_kind,
        long_side_px=1072,
        seed=72,
    )
    run = run_stages(work / "idrid", phantom=None, canvas_px=canvas_px)
    figures = summary(planted, run)
    original = {pair.copy: pair.original for pair in planted.pairs if pair.copy in planted.turned}
    figures["recall"]["exif_turns"] = upright(run, original, run.store)
    return {"idrid": {"originals": len(records), **figures}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idrid", type=Path, help="folder with the IDRiD photographs; left out where not given")
    parser.add_argument("--work", type=Path, required=True, help="empty folder for the data sets")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--small", action="store_true", help="few faults, to try it")
    args = parser.parse_args()
    if args.work.exists() and any(args.work.iterdir()):
        parser.error(f"{args.work} is not empty")
    per_kind, patients, originals = (10, 80, 60) if args.small else (100, 1000, 413)
    figures = in_phantoms(args.work, patients=patients, megapixels=0.2, per_kind=per_kind, canvas_px=256)
    if args.idrid:
        figures |= in_photographs(args.idrid, args.work, originals=originals, per_kind=per_kind, canvas_px=256)
    write_json(args.out, {**figures, "machine": describe_machine(), "research_use": RESEARCH_USE})
    for name, found in figures.items():
        false = sum(counts["false"] for counts in found["precision"].values())
        print(f"{name}: {found['photographs']} photographs, {false} false alarms, {found['near_pairs']}")
        for kind, counts in found["recall"].items():
            print(f"  {kind}: {counts['found']} of {counts['planted']}")
    shutil.rmtree(args.work)


if __name__ == "__main__":
    main()
