"""One eye photographed twice: recall on planted retakes, false pairs, the pairs that IDRiD has, and time by number.

    python -m benchmarks.same_eye --idrid ../shared/data/idrid --cameras ../shared/data/cameras --phantom data \
        --out reports/benchmarks/same_eye.json

Retakes are made of real photographs (`tests/factories/retakes.py`): two views, each in a light of its own. All of one
model are searched together with a mirror image of each first view, as a fellow eye would at best be. The phantom is any
folder with `canvases/` and `audited.csv`. At scale, photographs are sets of real descriptors, changed at random.
"""

import argparse
import csv
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.eye_match import MIN_CORRELATION, MIN_POINTS, MIN_POINTS_AT_REST, alignments
from dr_pipeline.audit.feature_index import NUM_CANDIDATES, candidate_pairs
from dr_pipeline.audit.retinal_features import MAX_FEATURES, RetinalFeatures, retinal_features
from dr_pipeline.audit.same_eye import SameEyePair, find_same_eyes, group_pairs
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.machine import describe_machine
from dr_pipeline.schema import Status
from tests.factories.retakes import retake, with_dust

Pixels = NDArray[np.uint8]
CANVAS_PX = 512
FULL_PX = 768
# Radius of the first view, in radii of the photograph's field.
MODELS = {"two fields of a wider retina": 0.62, "a field beside the other, cut off": 1.0}
SIZES = (1000, 2000, 5000)
WANTED = 20_000
# Bits of a descriptor's byte that change in a photograph of another eye, and of the same one.
STRANGER, SAME = 40, 10


def full_canvas(path: Path) -> Pixels:
    pixels = decode(path.read_bytes(), FULL_PX).pixels
    return to_canvas(pixels, find_disc(pixels), FULL_PX)


def reduced(picture: Pixels) -> Pixels:
    return cv2.resize(picture, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]


def described(pair: SameEyePair) -> list[Any]:
    return [pair.first, pair.second, pair.points, pair.correlation, pair.rotation_deg, pair.scale, pair.shift]


def real(canvases: dict[str, Pixels]) -> dict[str, Any]:
    """The groups found among photographs as they are."""
    start = time.process_time()
    pairs = find_same_eyes(canvases, canvases.__getitem__)
    return {
        "photographs": len(canvases),
        "core_ms_per_photograph": round((time.process_time() - start) / len(canvases) * 1e3, 1),
        "groups": [list(group.image_ids) for group in group_pairs(pairs, {})],
        "pairs": [described(pair) for pair in pairs],
    }


def planted(pictures: dict[str, Pixels], field: float, dust: Callable[[Pixels], Pixels] | None) -> dict[str, Any]:
    """Recall on one retake of each photograph, and what else was found among all views and mirror images."""
    rng = np.random.default_rng(1)
    canvases, shifts = {}, {}
    for name, picture in pictures.items():
        one, other, shifts[name] = retake(picture, rng, field=field, side_px=CANVAS_PX)
        views = (one, other) if dust is None else (dust(one), dust(other))
        canvases[f"{name} 1"], canvases[f"{name} 2"] = views
        if dust is None:
            canvases[f"{name} mirrored"] = np.ascontiguousarray(views[0][:, ::-1])
    pairs = find_same_eyes(canvases, canvases.__getitem__)
    found = {(pair.first, pair.second) for pair in pairs}
    wanted = {name: (f"{name} 1", f"{name} 2") for name in pictures}
    by_shift: dict[str, list[bool]] = {}
    for name, pair in wanted.items():
        by_shift.setdefault(f"{10 * int(10 * shifts[name])} % and more", []).append(pair in found)
    return {
        "retakes": len(wanted),
        "found": sum(pair in found for pair in wanted.values()),
        "recall": round(sum(pair in found for pair in wanted.values()) / len(wanted), 4),
        "by_shift": {key: [sum(hits), len(hits)] for key, hits in sorted(by_shift.items())},
        "missed": sorted(name for name, pair in wanted.items() if pair not in found),
        "photographs_searched": len(canvases),
        "false_pairs": [described(pair) for pair in pairs if (pair.first, pair.second) not in wanted.values()],
    }


def phantom(folder: Path) -> dict[str, Any]:
    """Pairs of one eye among the phantom's photographs by what they are; its planted copies are the true ones."""
    store = CanvasStore(folder / "canvases")
    with (folder / "audited.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["image_id"]: row for row in csv.DictReader(stream)}
    names = [name for name, row in store.rows.items() if row.shard and row.status is not Status.NOT_FUNDUS]
    kinds: Counter[str] = Counter()
    for pair in find_same_eyes(names, store.read):
        one, other = rows[pair.first], rows[pair.second]
        copies = one["duplicate_cluster"] and one["duplicate_cluster"] == other["duplicate_cluster"]
        kinds["planted copies" if copies else "other"] += 1
    return {"photographs": len(names), "pairs": dict(kinds)}


def many(sources: list[RetinalFeatures], count: int, seed: int = 0) -> tuple[list[RetinalFeatures], set[Any]]:
    """Features as of a large data set, and the pairs of one eye among them: one photograph in ten has a retake."""
    rng = np.random.default_rng(seed)
    drawn: list[RetinalFeatures] = []
    pairs = set()
    for number in range(count):
        if number % 10 == 9:
            one, noise = drawn[number - 5], SAME
            pairs.add((number - 5, number))
            points = one.points + np.float32(20)
        else:
            one, noise = sources[int(rng.integers(len(sources)))], STRANGER
            points = one.points + rng.normal(0, 15, one.points.shape).astype(np.float32)
        changed = one.descriptors.astype(np.int16) + rng.integers(-noise, noise + 1, one.descriptors.shape)
        drawn.append(RetinalFeatures(points, np.clip(changed, 0, 255).astype(np.uint8)))
    return drawn, pairs


def at_scale(sources: list[RetinalFeatures], count: int) -> dict[str, Any]:
    """Time of index and candidates; to know the peak memory, run it in a process of its own."""
    features, pairs = many(sources, count)
    start, wall = time.process_time(), time.perf_counter()
    candidates = candidate_pairs([one.descriptors for one in features])
    index_s, index_wall_s = time.process_time() - start, time.perf_counter() - wall
    sample = candidates[:: max(1, len(candidates) // 2000)]
    start = time.process_time()
    for one, other in sample:
        list(alignments(features[one], features[other]))
    # Not getrusage: a new process inherits its parent's peak there.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    verify_s = (time.process_time() - start) / len(sample) * len(candidates)
    return {
        "photographs": count,
        "index_core_s": round(index_s, 1),
        "index_wall_s": round(index_wall_s, 1),
        "candidates": len(candidates),
        "verify_core_s": round(verify_s, 1),
        "retakes_among_candidates": [len(pairs & set(candidates)), len(pairs)],
        "peak_gib": round(int(peak.split()[1]) / 2**20, 2),
    }


def extrapolated(runs: list[dict[str, Any]], extract_ms: float) -> dict[str, Any]:
    """Core time for `WANTED` photographs: the index by the power law of two runs, the rest in proportion."""
    small, large = runs[-2:]
    power = np.log(large["index_core_s"] / small["index_core_s"]) / np.log(large["photographs"] / small["photographs"])
    factor = WANTED / large["photographs"]
    parts = {
        "features": extract_ms / 1e3 * WANTED,
        "index": large["index_core_s"] * factor**power,
        "candidates": large["verify_core_s"] * factor,
    }
    total = sum(parts.values())
    return {
        "photographs": WANTED,
        "index_grows_with_power": round(float(power), 2),
        "core_s": {name: round(float(seconds)) for name, seconds in parts.items()},
        "core_ms_per_photograph": round(float(total) / WANTED * 1e3, 1),
        "minutes_on_two_cores_if_shared_evenly": round(float(total) / 120, 1),
    }


def extraction_ms(canvases: Iterable[Pixels]) -> float:
    """Core time of one photograph's features, its PNG decoded as well."""
    encoded = [cv2.imencode(".png", canvas, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1] for canvas in canvases]
    start = time.process_time()
    for data in encoded:
        retinal_features(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return (time.process_time() - start) / len(encoded) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("idrid", "cameras", "phantom", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4, help="of IDRiD's photographs, for the planted retakes")
    args = parser.parse_args()
    idrid = sorted(args.idrid.rglob("*.jpg"))
    cameras = sorted((args.cameras / "photographs").iterdir())
    chosen = {path.stem for path in [*idrid[:: args.every], *cameras]}
    canvases, pictures = {}, {}
    for path in [*idrid, *cameras]:
        picture = full_canvas(path)
        canvases[path.stem] = reduced(picture)
        if path.stem in chosen:
            pictures[path.stem] = picture
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "limits": {
            "max_features": MAX_FEATURES,
            "num_candidates": NUM_CANDIDATES,
            "min_points": MIN_POINTS,
            "min_points_at_rest": MIN_POINTS_AT_REST,
            "min_correlation": MIN_CORRELATION,
        },
        "as they are": real(canvases),
    }
    print(result["as they are"], flush=True)
    again = {name for group in result["as they are"]["groups"] for name in group[1:]}
    pictures = {name: picture for name, picture in pictures.items() if name not in again}
    result["planted"] = {}
    for model, field in MODELS.items():
        result["planted"][model] = planted(pictures, field, None)
        print(model, result["planted"][model], flush=True)
    result["planted"]["with dust of the camera"] = planted(pictures, 1.0, lambda picture: with_dust(picture, seed=1))
    print(result["planted"]["with dust of the camera"], flush=True)
    result["phantom"] = phantom(args.phantom)
    sample = list(canvases.values())[::5]
    extract_ms = extraction_ms(sample)
    sources, runs = [retinal_features(canvas) for canvas in sample], []
    for count in SIZES:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            runs.append(pool.submit(at_scale, sources, count).result())
    result["scale"] = {
        "features_core_ms": round(extract_ms, 1),
        "runs": runs,
        "extrapolated": extrapolated(runs, extract_ms),
    }
    print(result["phantom"], result["scale"], flush=True)
    write_json(args.out, result)


if __name__ == "__main__":
    main()
