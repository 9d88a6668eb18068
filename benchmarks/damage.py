"""Damaged JPEG files: how many visible changes are caught, and how many whole files are refused.

    python -m benchmarks.damage FOLDER [FOLDER …] --out reports/benchmarks/damage.json

A sample of the photographs is damaged as a disk or a transfer does it, at random places between 10 and 90 % of the
file, as it is and after encoding it in other ways. A change is visible if more than 8 grey levels of a channel
change over more than 0.5 % of the disc; it is caught if the file is refused or a person is asked. All photographs,
undamaged, count for the other side.
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dr_pipeline.errors import ImageError
from dr_pipeline.files import write_json
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.formats.jpeg import SIGNATURE, read_jpeg
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.seams import agreement, one_sidedness
from dr_pipeline.schema import Status

ENCODINGS: dict[str, dict[str, Any]] = {
    "baseline 4:2:0": {"quality": 92},
    "baseline 4:4:4": {"quality": 85, "subsampling": 0},
    "optimised, quality 60": {"quality": 60, "optimize": True},
    "progressive": {"quality": 90, "progressive": True},
    "restart each row": {"quality": 90, "restart_marker_rows": 1},
    "restart each 30 rows": {"quality": 90, "restart_marker_rows": 30},
    "restart each 8 units": {"quality": 90, "restart_marker_blocks": 8},
}
SIZES = {"byte": 1, "sector": 512, "4 kB": 4096}
FILLS = ("zero", "random", "lost", "other data", "one bit")
VISIBLE_LEVELS, VISIBLE_SHARE = 8, 0.005


def damaged(data: bytes, size: int, fill: str, rng: random.Random) -> bytes:
    """One damage somewhere between 10 and 90 % of the file; blocks lie on their own grid."""
    start = int(rng.uniform(0.1, 0.9) * len(data)) // size * size
    stop = min(start + size, len(data))
    if fill == "one bit":
        filling = bytes([data[start] ^ 1 << rng.randrange(8)]) + data[start + 1 : stop]
    elif fill == "other data":
        source = rng.randrange(len(data) // 4, 3 * len(data) // 4)
        filling = data[source : source + stop - start]
    else:
        filling = {"zero": bytes(stop - start), "random": rng.randbytes(stop - start), "lost": b""}[fill]
    return data[:start] + filling + data[stop:]


def encodings(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "as it is", data
    picture = Image.open(BytesIO(data)).convert("RGB")
    for name, options in ENCODINGS.items():
        buffer = BytesIO()
        picture.save(buffer, "JPEG", **options)
        yield name, buffer.getvalue()


def disc_mask(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    disc = find_disc(pixels)
    y, x = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    inside: NDArray[np.bool_] = (x - disc.x) ** 2 + (y - disc.y) ** 2 < disc.radius**2
    return inside


def visible(pixels: NDArray[np.uint8], whole: NDArray[np.uint8], disc: NDArray[np.bool_]) -> bool:
    if pixels.shape != whole.shape:
        return True
    changed = np.abs(pixels.astype(np.int16) - whole).max(axis=2) > VISIBLE_LEVELS
    return bool(changed[disc].mean() > VISIBLE_SHARE)


def outcome(data: bytes, whole: NDArray[np.uint8], disc: NDArray[np.bool_], canvas_px: int) -> str:
    try:
        image = decode(data, canvas_px)
    except ImageError:
        return "refused"
    if image.doubt:
        return "to a person"
    if not visible(image.pixels, whole, disc):
        return "not visible"
    asks = PixelPath(canvas_px).process(data).quality.status is not Status.SCORED
    return "to a person for its quality" if asks else "visible, missed"


def count_damages(paths: list[Path], repeats: int, canvas_px: int, seed: int) -> dict[str, dict[str, int]]:
    rng = random.Random(seed)  # noqa: S311 (no secrets)
    counts: dict[str, Counter[str]] = {}
    for path in paths:
        for encoding, data in encodings(path.read_bytes()):
            whole = decode(data, canvas_px).pixels
            disc = disc_mask(whole)
            for name, size in SIZES.items():
                for fill in FILLS:
                    if (fill == "one bit") != (size == 1) and fill in ("one bit", "other data"):
                        continue
                    for _ in range(repeats):
                        result = outcome(damaged(data, size, fill, rng), whole, disc, canvas_px)
                        counts.setdefault(f"{encoding}, {name}", Counter())[result] += 1
        print(path.name, flush=True)
    return {kind: dict(sorted(results.items())) for kind, results in counts.items()}


def examine_whole(paths: list[Path], canvas_px: int, encoded: bool) -> dict[str, Any]:
    """Whole files that are refused or doubted, and how near the others come to the limits of `fundus.seams`."""
    refused, doubted, steps, agreements = [], [], [], []
    for path in paths:
        for encoding, data in encodings(path.read_bytes()) if encoded else [("as it is", path.read_bytes())]:
            name = f"{path.name}, {encoding}"
            try:
                image = decode(data, canvas_px)
            except ImageError as error:
                refused.append(f"{name}: {error.what}")
                continue
            if image.doubt:
                doubted.append(f"{name}: {image.doubt}")
            if image.format == "jpeg":
                file = read_jpeg(data)
                unit = (file.unit_width // image.scale, file.unit_height // image.scale)
                stored = image.pixels if file.header.orientation == 1 else None
                if stored is not None:
                    steps.append(one_sidedness(stored, *unit))
                    agreements.append(agreement(stored, *unit))
    return {
        "files": len(steps) + len(refused),
        "refused": refused,
        "to a person": doubted,
        "largest one-sidedness": round(max(steps), 3),
        "smallest agreement": round(min(agreements), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of photographs")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--damaged", type=int, default=12, help="how many photographs are damaged, of each folder")
    parser.add_argument("--encoded", type=int, default=20, help="how many are encoded again, whole, of each folder")
    parser.add_argument("--repeats", type=int, default=4, help="damages of each kind")
    parser.add_argument("--seed", type=int, default=2026, help="of the places and fillings")
    parser.add_argument("--canvas-px", type=int, default=512)
    args = parser.parse_args()
    result: dict[str, Any] = {"canvas_px": args.canvas_px, "visible": f"> {VISIBLE_LEVELS} levels, > 0.5 % of the disc"}
    for folder in args.folders:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        jpegs = [path for path in paths if path.open("rb").read(3) == SIGNATURE]
        if not jpegs:
            parser.error(f"no JPEG under {folder}")
        result[folder.name] = {
            "whole": examine_whole(jpegs, args.canvas_px, encoded=False),
            "whole, encoded again": examine_whole(sample(jpegs, args.encoded), args.canvas_px, encoded=True),
            "damaged": count_damages(sample(jpegs, args.damaged), args.repeats, args.canvas_px, args.seed),
        }
    write_json(args.out, result)


def sample(paths: list[Path], count: int) -> list[Path]:
    return paths[:: -(-len(paths) // count)] if count else []


if __name__ == "__main__":
    main()
