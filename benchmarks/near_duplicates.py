"""Near duplicates: time of a hash and of the search, recall on planted copies, false alarms, distances.

    python -m benchmarks.near_duplicates --idrid ../shared/data/idrid --phantom data/phantom/default \
        --out reports/benchmarks/near_duplicates.json

Copies are made from IDRiD photographs at full size and go through the pixel path again; each kind is searched for
among all photographs. The phantom is any folder that the stage `phantom` wrote; its own near duplicates are the copies.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.hamming import pairs_within
from dr_pipeline.audit.image_similarity import correlation, features
from dr_pipeline.audit.near_duplicates import MIN_CORRELATION, RADIUS, find_near_duplicates
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.enhancement import ENHANCEMENTS, enhance
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import NUM_TURNS, hash_words, perceptual_hash, turn_hashes, turn_square
from dr_pipeline.machine import describe_machine

Pixels = NDArray[np.uint8]
Words = NDArray[np.uint64]


def jpeg(bgr: Pixels, quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1])


def resized(bgr: Pixels, factor: float) -> Pixels:
    return cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]


def cropped(bgr: Pixels) -> Pixels:
    y, x = (round(0.015 * side) for side in bgr.shape[:2])
    return np.ascontiguousarray(bgr[y:-y, x:-x])


# Kind → how the copy's file is made from the picture and its number.
WAYS: dict[str, Callable[[Pixels, int], bytes]] = {
    "recompressed q40": lambda bgr, _: jpeg(bgr, 40),
    "recompressed q20 (beyond the promise)": lambda bgr, _: jpeg(bgr, 20),
    "resized 0.5": lambda bgr, _: jpeg(resized(bgr, 0.5), 90),
    "resized 0.65": lambda bgr, _: jpeg(resized(bgr, 0.65), 90),
    "resized 0.8": lambda bgr, _: jpeg(resized(bgr, 0.8), 90),
    "cropped 3 %": lambda bgr, _: jpeg(cropped(bgr), 90),
    "brightened 1.08": lambda bgr, _: jpeg(cv2.convertScaleAbs(bgr, alpha=1.08), 90),
    "brightened 1.3": lambda bgr, _: jpeg(cv2.convertScaleAbs(bgr, alpha=1.3), 90),
    "brightened 1.2 + 10": lambda bgr, _: jpeg(cv2.convertScaleAbs(bgr, alpha=1.2, beta=10), 90),
    "turned or mirrored": lambda bgr, number: jpeg(turn_square(bgr, 1 + number % 7), 90),
}


def canvas_of(data: bytes, canvas_px: int) -> Pixels:
    decoded = decode(data, canvas_px)
    return to_canvas(decoded.pixels, find_disc(decoded.pixels), canvas_px)


def hash_ms(canvases: Iterable[Pixels]) -> float:
    """Median time of one hash."""
    times = []
    for canvas in canvases:
        start = time.perf_counter()
        perceptual_hash(canvas)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1e3, 3)


def summary(values: Iterable[float]) -> dict[str, float]:
    array = np.array(list(values), np.float64)
    low, middle, high = np.percentile(array, [1, 50, 99])
    figures = {"min": array.min(), "p1": low, "median": middle, "p99": high, "max": array.max()}
    return {"n": len(array), **{name: round(float(value), 3) for name, value in figures.items()}}


def distances(hashes: list[str], leave_out: set[tuple[int, int]]) -> dict[str, dict[str, float]]:
    """Distances of all pairs of photographs but those left out, upright and in the nearest of the other turns."""
    words = hash_words(hashes)
    rows, columns = np.triu_indices(len(words), 1)
    others = np.array([pair not in leave_out for pair in zip(rows.tolist(), columns.tolist(), strict=True)])
    by_turn = [np.bitwise_count(turn_hashes(words, turn)[:, None] ^ words).sum(2)[rows, columns] for turn in range(8)]
    turned_least = np.min(by_turn[1:], axis=0)
    return {"upright": summary(by_turn[0][others]), "nearest other turn": summary(turned_least[others])}


def on_idrid(paths: list[Path], num_copies: int, canvas_px: int) -> dict[str, Any]:
    canvases = {path.stem: canvas_of(path.read_bytes(), canvas_px) for path in paths}
    hashes = {name: perceptual_hash(canvas) for name, canvas in canvases.items()}
    by_arm: dict[str, Any] = {}
    for arm in ENHANCEMENTS:
        pairs = find_near_duplicates(hashes, lambda name, arm=arm: enhance(canvases[name], arm))
        by_arm[arm] = [[pair.first, pair.second, pair.distance, round(pair.correlation, 3)] for pair in pairs]
    chosen = paths[:: max(1, len(paths) // num_copies)][:num_copies]
    recall: dict[str, Any] = {}
    for way, make in WAYS.items():
        copies = {}
        for number, path in enumerate(chosen):
            bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
            copies[f"copy of {path.stem}"] = canvas_of(make(bgr, number), canvas_px)
        recall[way] = recall_of(canvases, hashes, copies)
        print(way, recall[way], flush=True)
    names = sorted(canvases)
    leave_out = {(names.index(first), names.index(second)) for first, second, *_ in by_arm["none"]}
    return {
        "num_photographs": len(paths),
        "hash_ms": hash_ms(canvases.values()),
        "claimed_near_by_arm": by_arm,
        "copies": recall,
        "distances_of_others": distances([hashes[name] for name in names], leave_out),
    }


def recall_of(canvases: dict[str, Pixels], hashes: dict[str, str], copies: dict[str, Pixels]) -> dict[str, Any]:
    """How many copies are found with their original, in each arm; and how far the copies lie."""
    all_canvases = {**canvases, **copies}
    all_hashes = {**hashes, **{name: perceptual_hash(canvas) for name, canvas in copies.items()}}
    wanted = {(name, name.removeprefix("copy of ")) for name in copies}
    found: dict[str, Any] = {"n": len(wanted)}
    for arm in ENHANCEMENTS:
        pairs = find_near_duplicates(all_hashes, lambda name, arm=arm: enhance(all_canvases[name], arm))
        claimed = {tuple(sorted((pair.first, pair.second), key=lambda name: name not in copies)) for pair in pairs}
        found[f"found, {arm}"] = len(wanted & claimed)
        if arm == "none":
            found["distance"] = summary(pair.distance for pair in pairs if copies.keys() & {pair.first, pair.second})
            found["correlation"] = summary(p.correlation for p in pairs if copies.keys() & {p.first, p.second})
    return found


def on_phantom(folder: Path, canvas_px: int) -> dict[str, Any]:
    truth = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
    planted = {
        tuple(sorted((fault["original"], fault["copy"]))): fault["way"]
        for kind in ("exact_duplicates", "near_duplicates", "cross_patient", "contradictions")
        for fault in truth["faults"][kind]
    }
    paths = {path.stem: path for path in sorted((folder / "photographs").iterdir())}
    canvases = {name: canvas_of(path.read_bytes(), canvas_px) for name, path in paths.items()}
    hashes = {name: perceptual_hash(canvas) for name, canvas in canvases.items()}
    pairs = find_near_duplicates(hashes, canvases.__getitem__)
    claimed = {(pair.first, pair.second) for pair in pairs}
    names = sorted(hashes)
    row = {name: number for number, name in enumerate(names)}
    return {
        "num_photographs": len(canvases),
        "planted": len(planted),
        "planted_found": len(planted.keys() & claimed),
        "false_alarms": sorted(claimed - planted.keys()),
        "distance_of_planted": summary(pair.distance for pair in pairs),
        "correlation_of_planted": summary(pair.correlation for pair in pairs),
        "distances_of_others": distances([hashes[n] for n in names], {(row[a], row[b]) for a, b in planted}),
        "fellow_eyes_correlation": summary(fellow_eyes(canvases)),
        "sources": [hashes[name] for name in names],
    }


def fellow_eyes(canvases: dict[str, Pixels]) -> Iterable[float]:
    """The likeness of each left eye, mirrored, and its right one."""
    for name in sorted(canvases):
        other = name.replace("left", "right")
        if name.endswith("left") and other in canvases:
            mirrored = turn_square(features(canvases[name]), 1)
            yield correlation(mirrored, features(canvases[other]), MIN_CORRELATION)


def many(sources: Words, count: int, seed: int = 0) -> tuple[Words, set[tuple[int, int]]]:
    """Hashes as a large data set has them, and the pairs of which one is a planted copy.

    Each is a photograph's hash with a fifth of its bits changed, as far apart as the nearest hundredth of real pairs
    (some 82 bits); one in twenty is a copy of another with up to `RADIUS` bits changed, half of them turned as well.
    """
    rng = np.random.default_rng(seed)
    bits = np.unpackbits(sources.view(np.uint8), axis=1)[rng.integers(len(sources), size=count)]
    words = np.packbits(bits ^ (rng.random(bits.shape) < 0.2), axis=1).view(np.uint64)
    originals, copies = rng.permutation(count)[: count // 10].reshape(2, -1)
    for original, copy in zip(originals.tolist(), copies.tolist(), strict=True):
        turn = int(rng.integers(NUM_TURNS)) if copy % 2 else 0
        flips = np.zeros(256, np.uint8)
        flips[rng.permutation(256)[: rng.integers(RADIUS + 1)]] = 1
        words[copy] = turn_hashes(words[original : original + 1], turn)[0] ^ np.packbits(flips).view(np.uint64)
    return words, {(min(pair), max(pair)) for pair in zip(originals.tolist(), copies.tolist(), strict=True)}


@dataclass(frozen=True)
class Searched:
    """What a search found and took; `peak_gib` is the whole process's."""

    pairs: set[tuple[int, int]]
    seconds: float
    cpu_seconds: float
    peak_gib: float


def search(words: Words, turns: int) -> Searched:
    """Searches; to know the peak memory, run it in a process of its own."""
    found: set[tuple[int, int]] = set()
    start, cpu_start = time.perf_counter(), time.process_time()
    for turn in range(turns):
        for pairs in pairs_within(words, RADIUS, turn_hashes(words, turn) if turn else None):
            found.update(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    # Not getrusage: a new process inherits its parent's peak there.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return Searched(found, seconds, cpu_seconds, int(peak.split()[1]) / 2**20)


def at_scale(sources: Words, count: int) -> dict[str, Any]:
    words, planted = many(sources, count)
    figures: dict[str, Any] = {"num_hashes": count, "planted": len(planted), "radius": RADIUS}
    for label, turns in (("upright only", 1), ("all eight turns", NUM_TURNS)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            searched = pool.submit(search, words, turns).result()
        figures[label] = {
            "seconds": round(searched.seconds, 1),
            "cpu_seconds": round(searched.cpu_seconds, 1),
            "peak_gib": round(searched.peak_gib, 2),
            "planted_found": len(planted & searched.pairs),
            "pairs": len(searched.pairs),
        }
    few = words[:4000]
    distance = np.bitwise_count(few[:, None] ^ few[None]).sum(axis=2)
    brute = set(zip(*(side.tolist() for side in np.nonzero(np.triu(distance <= RADIUS, 1))), strict=True))
    figures["equal_to_brute_force_on_4000"] = search(few, 1).pairs == brute
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("idrid", "phantom", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=103, help="of each kind")
    parser.add_argument("--hashes", type=int, default=100_000)
    parser.add_argument("--canvas-px", type=int, default=512)
    args = parser.parse_args()
    paths = sorted(args.idrid.rglob("*.jpg"))
    if not paths:
        parser.error(f"no .jpg under {args.idrid}")
    phantom = on_phantom(args.phantom, args.canvas_px)
    result = {
        "machine": describe_machine(),
        "canvas_px": args.canvas_px,
        "radius": RADIUS,
        "min_correlation": MIN_CORRELATION,
        "search": at_scale(hash_words(phantom.pop("sources")), args.hashes),
        "phantom": phantom,
    }
    print(result, flush=True)
    result["idrid"] = on_idrid(paths, args.copies, args.canvas_px)
    write_json(args.out, result)


if __name__ == "__main__":
    main()
