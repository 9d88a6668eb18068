"""One eye photographed twice: recall on planted retakes, false pairs, the pairs that IDRiD has, and time by number.

    python -m benchmarks.same_eye --idrid ../shared/data/idrid --cameras ../shared/data/cameras --phantom data \
        --out reports/benchmarks/same_eye.json

Retakes are made of real photographs (`tests/factories/retakes.py`): two views, each in a light of its own. All of one
model are searched together with a mirror image of each first view, as a fellow eye would at best be. The phantom is any
folder with `canvases/` and `audited.csv`. At scale, the whole search runs among views of all of these and their mirror
images: time, memory, false pairs, and how many photographs are joined to their eye.
"""

import argparse
import csv
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.eye_match import MIN_CORRELATION, MIN_POINTS, MIN_POINTS_AT_REST, MIN_POINTS_NEAREST
from dr_pipeline.audit.feature_index import NUM_CANDIDATES
from dr_pipeline.audit.retinal_features import MAX_FEATURES, retinal_features
from dr_pipeline.audit.same_eye import SameEyePair, find_same_eyes, group_pairs
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.machine import describe_machine
from dr_pipeline.schema import Status
from tests.factories.retakes import View, draw_views, retake, take, with_dust

Pixels = NDArray[np.uint8]
CANVAS_PX = 512
FULL_PX = 768
# Of the canvases at scale.
SMALL_PX = 256
# Radius of the first view, in radii of the photograph's field.
MODELS = {"two fields of a wider retina": 0.62, "a field beside the other, cut off": 1.0}


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


def planted(
    pictures: dict[str, Pixels], seed: int, field: float, dust: Callable[[Pixels], Pixels] | None
) -> dict[str, Any]:
    """Recall on one retake of each photograph, and what else was found among all views and mirror images."""
    rng = np.random.default_rng(seed)
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


def phantom_eyes(folder: Path) -> tuple[CanvasStore, dict[str, str]]:
    """The phantom's canvases, and of each photograph that shows a fundus the eye: its planted copies have one name."""
    store = CanvasStore(folder / "canvases")
    with (folder / "audited.csv").open(encoding="utf-8", newline="") as stream:
        clusters = {row["image_id"]: row["duplicate_cluster"] for row in csv.DictReader(stream)}
    shown = [name for name, row in store.rows.items() if row.shard and row.status is not Status.NOT_FUNDUS]
    return store, {name: clusters[name] or name for name in shown}


def phantom(folder: Path) -> dict[str, Any]:
    """Pairs of one eye among the phantom's photographs by what they are; its planted copies are the true ones."""
    store, eyes = phantom_eyes(folder)
    pairs = find_same_eyes(eyes, store.read)
    copies = sum(eyes[pair.first] == eyes[pair.second] for pair in pairs)
    return {"photographs": len(eyes), "pairs": {"planted copies": copies, "other": len(pairs) - copies}}


def view_of(canvas: Pixels, rng: np.random.Generator) -> Pixels:
    """Another view in another brightness and colour: `retake` without noise and blur, at a tenth of its time."""
    seen = take(canvas, draw_views(rng, 1.0)[1], SMALL_PX)
    levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.8, 1.25) * rng.uniform(0.7, 1.25, 3)
    return cv2.LUT(seen, np.clip(255 * levels, 0, 255).astype(np.uint8)[None])  # type: ignore[no-any-return]


def write_views(eyes: dict[str, Pixels], count: int, folder: Path) -> None:
    """`count` JPEGs: every eye as it is, then views of each in turn."""
    rng = np.random.default_rng(3)
    for number, name in zip(range(count), cycle(eyes), strict=False):
        seen = view_of(eyes[name], rng) if number >= len(eyes) else take(eyes[name], View(), SMALL_PX)
        cv2.imwrite(str(folder / f"{name} {number}.jpg"), seen, (cv2.IMWRITE_JPEG_QUALITY, 92))


def at_scale(folder: Path, eyes: int) -> dict[str, Any]:
    """The whole search among the photographs of a folder; to know the peak memory, run it in a process of its own."""
    names = [path.stem for path in folder.iterdir()]
    start, wall = time.process_time(), time.perf_counter()
    pairs = find_same_eyes(names, lambda name: cv2.imread(str(folder / f"{name}.jpg")))
    core_s, wall_s = time.process_time() - start, time.perf_counter() - wall
    # Not getrusage: a new process inherits its parent's peak there.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    false = [described(pair) for pair in pairs if eye_of(pair.first) != eye_of(pair.second)]
    # The largest group of each eye; the rest would be separated from it.
    largest: dict[str, int] = {}
    for group in group_pairs(pairs, {}):
        largest[eye_of(group.name)] = max(largest.get(eye_of(group.name), 1), len(group.image_ids))
    return {
        "photographs": len(names),
        "eyes": eyes,
        "core_s": round(core_s),
        "core_ms_per_photograph": round(core_s / len(names) * 1e3, 1),
        "wall_s": round(wall_s),
        "peak_gib": round(int(peak.split()[1]) / 2**20, 2),
        "pairs": len(pairs),
        "false_pairs": false,
        "in_the_largest_group_of_their_eye": round((sum(largest.values()) + eyes - len(largest)) / len(names), 4),
    }


def eye_of(name: str) -> str:
    return name.rsplit(" ", 1)[0]


def growing(eyes: dict[str, Pixels], sizes: Iterable[int]) -> list[dict[str, Any]]:
    """`at_scale` by number of photographs."""
    runs = []
    for count in sizes:
        with TemporaryDirectory() as folder:
            write_views(eyes, count, Path(folder))
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                runs.append(pool.submit(at_scale, Path(folder), min(count, len(eyes))).result())
        print(runs[-1], flush=True)
    return runs


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
    parser.add_argument("--seed", type=int, default=31, help="of the planted retakes")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 5000, 20_000], help="numbers of photographs, timed"
    )
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
            "min_points_nearest": MIN_POINTS_NEAREST,
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
        result["planted"][model] = planted(pictures, args.seed, field, None)
        print(model, result["planted"][model], flush=True)
    result["planted"]["with dust of the camera"] = planted(
        pictures, args.seed, 1.0, lambda picture: with_dust(picture, args.seed)
    )
    print(result["planted"]["with dust of the camera"], flush=True)
    result["phantom"] = phantom(args.phantom)
    extract_ms = extraction_ms(list(canvases.values())[::5])
    eyes = {name: canvas for name, canvas in canvases.items() if name not in again}
    eyes |= {f"{name} mirrored": np.ascontiguousarray(canvas[:, ::-1]) for name, canvas in eyes.items()}
    store, phantoms = phantom_eyes(args.phantom)
    eyes |= {name: store.read(name) for name, eye in phantoms.items() if name == eye}
    print(result["phantom"], extract_ms, flush=True)
    result["scale"] = {"features_core_ms": round(extract_ms, 1), "runs": growing(eyes, args.sizes)}
    write_json(args.out, result)


if __name__ == "__main__":
    main()
