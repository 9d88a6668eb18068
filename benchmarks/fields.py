"""Recall of several fields in one picture, and whether single fields are found on other grounds, squashed or small.

    python -m benchmarks.fields --idrid ROOT --cameras ROOT --out reports/benchmarks/fields.json

Pictures are composed (`benchmarks.field_layouts`) from photographs in which a round disc was found, then
stored as JPEG of quality 90 and read again. Every photograph itself is a negative: none may be called several fields.
Photographs are decoded at the scale of a 256 px canvas.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.field_layouts import GROUNDS, SEVERAL, SINGLE, Fundus, Pixels
from dr_pipeline.files import write_json
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import CIRCLE, SEVERAL_FIELDS, find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.machine import describe_machine

CANVAS_PX = 256
_LONGER_SIDE_PX = 640
_MAX_ERROR = 0.03  # of the half width: centre and half axes of a found field
_JPEG_QUALITY = 90


def stored(picture: Pixels) -> Pixels:
    """As a JPEG gives it back."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR_BGR)[..., ::-1])


def load(paths: list[Path]) -> tuple[list[Fundus], dict[str, str], dict[str, float]]:
    """Photographs with their disc, the faults that were found in them, and the aspects other than 1, by name."""
    photographs, faults, aspects = [], {}, {}
    for path in paths:
        pixels = decode(path.read_bytes(), CANVAS_PX).pixels
        disc = find_disc(pixels)
        if disc.fault:
            faults[path.name] = disc.fault
        if disc.aspect != 1:
            aspects[path.name] = round(disc.aspect, 3)
        elif disc.fit == CIRCLE:
            factor = min(1.0, _LONGER_SIDE_PX / max(pixels.shape[:2]))
            size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            photographs.append(Fundus(small, disc.x * factor, disc.y * factor, disc.radius * factor))
    return photographs, faults, aspects


def recall(photographs: list[Fundus], repeats: int, rng: np.random.Generator) -> dict[str, Any]:
    """Of each layout: how many of the pictures are called several fields, and the grounds of those that are not."""
    result = {}
    for name, compose in SEVERAL.items():
        missed: Counter[str] = Counter()
        for ground, colour in GROUNDS.items():
            for _ in range(repeats):
                chosen = [photographs[index] for index in rng.choice(len(photographs), 4, replace=False)]
                missed[ground] += find_disc(stored(compose(chosen, colour, rng))).fault != SEVERAL_FIELDS
        n = repeats * len(GROUNDS)
        result[name] = {"n": n, "found": n - missed.total(), "missed": {key: k for key, k in missed.items() if k}}
    return result


def located(photographs: list[Fundus], repeats: int, rng: np.random.Generator) -> dict[str, Any]:
    """Of each kind of single field: how many are located, and how many are called several fields."""
    result = {}
    for name, plant in SINGLE.items():
        hits: Counter[str] = Counter()
        for ground, colour in GROUNDS.items():
            for _ in range(repeats):
                planted = plant(photographs[int(rng.integers(len(photographs)))], colour)
                disc = find_disc(stored(planted.pixels))
                wanted = np.array([planted.x, planted.y, planted.half_width, planted.half_height])
                error = np.abs(np.array([disc.x, disc.y, disc.half_width, disc.half_height]) - wanted).max()
                is_right = disc.fit == CIRCLE and not disc.fault and error <= _MAX_ERROR * planted.half_width
                hits[ground] += bool(is_right)
                hits["called several"] += disc.fault == SEVERAL_FIELDS
        n = repeats * len(GROUNDS)
        missed = {ground: repeats - hits[ground] for ground in GROUNDS if hits[ground] < repeats}
        several = hits["called several"]
        result[name] = {"n": n, "located": n - sum(missed.values()), "missed": missed, "called_several": several}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idrid", type=Path, required=True, help="folder with the IDRiD photographs")
    parser.add_argument("--cameras", type=Path, required=True, help="folder with photographs of other cameras")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--repeats", type=int, default=10, help="pictures of each layout on each ground")
    parser.add_argument("--seed", type=int, default=12)
    args = parser.parse_args()
    start, rng = time.monotonic(), np.random.default_rng(args.seed)
    loaded = {name: load(sorted(root.rglob("*.[jp][pn]g"))) for name, root in vars(args).items() if name in SOURCES}
    photographs = [fundus for source in loaded.values() for fundus in source[0]]
    several, single = recall(photographs, args.repeats, rng), located(photographs, args.repeats, rng)
    n = sum(layout["n"] for layout in several.values())
    result = {
        "photographs": {name: len(source[0]) for name, source in loaded.items()},
        "faults_in_photographs": {name: source[1] for name, source in loaded.items()},
        "aspects_in_photographs": {name: source[2] for name, source in loaded.items()},
        "seed": args.seed,
        "several_fields": {"n": n, "recall": sum(layout["found"] for layout in several.values()) / n} | several,
        "single_field": single,
        "seconds": round(time.monotonic() - start),
        "machine": describe_machine(),
    }
    write_json(args.out, result)
    for name, figures in (several | single).items():
        print(f"{name}: {figures}")
    print(result["faults_in_photographs"], result["aspects_in_photographs"], result["several_fields"]["recall"])


SOURCES = ("idrid", "cameras")

if __name__ == "__main__":
    main()
