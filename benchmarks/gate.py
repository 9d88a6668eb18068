"""Whether the gate calls retinas no fundus, and lets other pictures, coloured grey and enhanced photographs through.

    python -m benchmarks.gate --photographs FOLDER [FOLDER …] --out reports/benchmarks/gate.json

Every photograph of the folders is decoded at the scale of a canvas of 256 px and assessed as it is and in the views of
`benchmarks.retina_views`; so are non-fundus pictures of the phantom's six kinds, in five sizes, as JPEG files. The
folders must hold colour photographs of retinas only. The gate's limits were set on IDRiD and `shared/data/cameras`.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retina_views import ENHANCED, EXTREMES, RAMP_QUALITIES, RAMPS, VIEWS, Pixels, ramped, recompressed
from dr_pipeline.errors import ImageError
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.quality.already_enhanced import ALREADY_ENHANCED
from dr_pipeline.fundus.quality.assess import Quality, assess
from dr_pipeline.fundus.quality.colour_checks import MONOCHROME
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS, draw_non_fundus
from dr_pipeline.machine import describe_machine
from dr_pipeline.schema import Status

CANVAS_PX = 256
_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_SIZES = ((800, 600), (1024, 1024), (640, 480), (900, 1200), (224, 224))  # of drawn pictures, px
_DRAWN_JPEG_QUALITY = 92


def photographs(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES]


def assess_pixels(pixels: Pixels) -> Quality:
    disc = find_disc(pixels)
    return assess(to_canvas(pixels, disc, CANVAS_PX), disc)


def counts(named: Sequence[tuple[str, Quality]]) -> dict[str, Any]:
    """Counts of statuses and of reasons of the photographs that are not scored, and which are called no fundus."""
    rejected = [quality for _, quality in named if quality.status is not Status.SCORED]
    return {
        "n": len(named),
        **{status.value: sum(quality.status is status for _, quality in named) for status in Status},
        "reasons": dict(sorted(Counter(reason for quality in rejected for reason in quality.reasons).items())),
        "called_not_fundus": [name for name, quality in named if quality.status is Status.NOT_FUNDUS],
    }


def retina_figures(paths: Sequence[Path], every: int) -> dict[str, Any]:
    """Statuses by view; ramps and enhancements are made of every so many photographs."""
    views: dict[str, list[tuple[str, Quality]]] = {name: [] for name in (*VIEWS, *EXTREMES)}
    ramps: dict[str, list[Quality]] = {f"{ramp}, JPEG {quality}": [] for ramp in RAMPS for quality in RAMP_QUALITIES}
    enhanced: dict[str, list[Quality]] = {name: [] for name in ENHANCED}
    unreadable = []
    for number, path in enumerate(paths):
        try:
            pixels = decode(path.read_bytes(), CANVAS_PX).pixels
        except ImageError as error:
            unreadable.append(f"{path.name}: {error.what}")
            continue
        for name, view in {**VIEWS, **EXTREMES}.items():
            views[name].append((path.name, assess_pixels(view(pixels))))
        if number % every:
            continue
        for ramp in RAMPS:
            for quality in RAMP_QUALITIES:
                ramps[f"{ramp}, JPEG {quality}"].append(assess_pixels(ramped(pixels, ramp, quality)))
        for name, view in ENHANCED.items():
            enhanced[name].append(assess_pixels(view(pixels)))
    return {
        "unreadable": unreadable,
        "views": {name: counts(views[name]) for name in VIEWS},
        "extreme_views": {name: counts(views[name]) for name in EXTREMES},
        "ramps": {name: _named(qualities, MONOCHROME) for name, qualities in ramps.items()},
        "enhanced": {name: _named(qualities, ALREADY_ENHANCED) for name, qualities in enhanced.items()},
    }


def _named(qualities: Sequence[Quality], reason: str) -> dict[str, Any]:
    return {
        "n": len(qualities),
        "scored": sum(quality.status is Status.SCORED for quality in qualities),
        "not_fundus": sum(quality.status is Status.NOT_FUNDUS for quality in qualities),
        f"named_{reason}": sum(reason in quality.reasons for quality in qualities),
    }


def other_picture_figures(per_kind: int, seed: int) -> dict[str, Any]:
    figures = {}
    for index, kind in enumerate(NON_FUNDUS_KINDS):
        drawn = []
        for number in range(per_kind):
            picture = draw_non_fundus(np.random.default_rng((seed, index, number)), kind, *_SIZES[number % len(_SIZES)])
            drawn.append((f"{kind} {number}", assess_pixels(recompressed(picture, _DRAWN_JPEG_QUALITY))))
        figures[kind] = counts(drawn)
        del figures[kind]["called_not_fundus"]
        figures[kind]["recall"] = round(figures[kind]["not_fundus"] / per_kind, 4)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, help="folders of retinas in colour")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--every", type=int, default=4, help="ramps and enhancements of every so many photographs")
    parser.add_argument("--per-kind", type=int, default=100, help="drawn pictures of each non-fundus kind")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    paths = photographs(args.photographs)
    if not paths:
        parser.error("no photograph in these folders")
    result = {
        "photographs": len(paths),
        **retina_figures(paths, args.every),
        "other_pictures": other_picture_figures(args.per_kind, args.seed),
        "machine": describe_machine(),
    }
    write_json(args.out, result)
    for name, figures in result.items():
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
