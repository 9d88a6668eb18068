"""How fast the pixel path is on real photographs, beside a plain OpenCV script, on one core in the same run.

python -m benchmarks.preprocess --idrid ROOT --out FILE.json
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.deployment.machine import describe_machine
from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.cv import cv2
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.disc import find_disc
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.preprocessing import encode_png
from dr_pipeline.fundus.quality import assess


def plain_script(data: bytes, canvas_px: int) -> None:
    """What most repositories do: decode all, threshold, crop the bounding box, INTER_AREA."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    bright = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) > 10
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    field = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cv2.resize(field, (canvas_px, canvas_px), interpolation=cv2.INTER_AREA)


def best_ms(ways: dict[str, Callable[[bytes], Any]], files: list[bytes], repeats: int) -> dict[str, float]:
    """Mean over photographs of each way's best time; the ways take turns, so that other load meets all alike."""
    total = dict.fromkeys(ways, 0.0)
    for data in files:
        for name, times in _in_turns(ways, data, repeats).items():
            total[name] += min(times) * 1e3 / len(files)
    return total


def _in_turns(ways: dict[str, Callable[[bytes], Any]], data: bytes, repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            start = time.perf_counter()
            work(data)
            times[name].append(time.perf_counter() - start)
    return times


def steps_ms(files: list[bytes], canvas_px: int) -> dict[str, float]:
    """Mean time of each step of the path, one after the other."""
    total = dict.fromkeys(("decode", "pixel_sha256", "find_disc", "to_canvas", "assess", "encode_png"), 0.0)

    def timed(step: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        total[step] += (time.perf_counter() - start) * 1e3 / len(files)
        return result

    for data in files:
        decoded = timed("decode", lambda data=data: decode(data, canvas_px))
        timed("pixel_sha256", lambda decoded=decoded: decoded.pixel_sha256)
        disc = timed("find_disc", lambda decoded=decoded: find_disc(decoded.pixels))
        canvas = timed("to_canvas", lambda decoded=decoded, disc=disc: to_canvas(decoded.pixels, disc, canvas_px))
        timed("assess", lambda canvas=canvas, disc=disc: assess(canvas, disc))
        timed("encode_png", lambda canvas=canvas: encode_png(canvas))
    return {step: round(ms, 2) for step, ms in total.items()}


def measure(files: list[bytes], canvas_px: int, repeats: int) -> dict[str, Any]:
    path = PixelPath(canvas_px)
    ways: dict[str, Callable[[bytes], Any]] = {
        "pixel_path": path.process,
        "pixel_path_and_png": lambda data: encode_png(path.process(data).canvas),
        "plain_opencv_script": lambda data: plain_script(data, canvas_px),
    }
    per_second = {name: round(1e3 / ms, 1) for name, ms in best_ms(ways, files, repeats).items()}
    return {
        "images_per_second": per_second,
        "times_the_plain_script": round(per_second["pixel_path"] / per_second["plain_opencv_script"], 2),
        "steps_ms": steps_ms(files, canvas_px),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idrid", type=Path, required=True, help="folder with the IDRiD photographs")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--photographs", type=int, default=60, help="how many, spread evenly over the folder")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--canvas-px", type=int, nargs="+", default=[512, 256])
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    paths = sorted(args.idrid.rglob("*.jpg"))
    if not paths:
        parser.error(f"no .jpg under {args.idrid}")
    files = [path.read_bytes() for path in paths[:: max(1, len(paths) // args.photographs)]]
    result = {
        "num_photographs": len(files),
        "repeats": args.repeats,
        "cores": 1,
        "machine": describe_machine(),
        "canvas_px": {str(canvas_px): measure(files, canvas_px, args.repeats) for canvas_px in args.canvas_px},
    }
    write_json(args.out, result)
    for canvas_px, figures in result["canvas_px"].items():
        print(f"{canvas_px} px: {figures}")


if __name__ == "__main__":
    main()
