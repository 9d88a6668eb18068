"""Speed of the pixel path on real photographs, compared with other programs, on one core in the same run.

    python -m benchmarks.preprocess --idrid ROOT --out reports/benchmarks/preprocess.json

The path's time includes everything: decode, hashes, disc, canvas, burnt-in text, quality. It is compared with a
script as most repositories have it and, at the first canvas size and if the package is installed, with
fundus_image_toolbox's circle crop. Both start from the bytes too, and only decode, find the field, crop and resize.
Each program has a process of its own, so that none is affected by another's libraries and memory. All run on one core
and take turns photograph by photograph, so that other load affects all alike.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.canvases.render import encode_png
from dr_pipeline.files import write_json
from dr_pipeline.fundus.burned_in_text import has_annotation
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode, read_header
from dr_pipeline.fundus.enhancement import ENHANCEMENTS, enhance
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.perceptual_hash import perceptual_hash
from dr_pipeline.fundus.pixel_path import PIXEL_PATH_VERSION, PixelPath
from dr_pipeline.fundus.quality.assess import assess
from dr_pipeline.machine import describe_machine, installed_version

CIRCLE_CROP = "fundus_image_toolbox_circle_crop"
# Of the issue that asked for the path: 512 px from photographs of 4288×2848.
BARS = {"images_per_second": 20, "times_the_plain_script": 2, "times_fundus_image_toolbox": 10}


def plain_script(data: bytes, canvas_px: int) -> None:
    """What most repositories do: decode all, threshold, crop the bounding box, INTER_AREA."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    bright = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) > 10
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    field = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cv2.resize(field, (canvas_px, canvas_px), interpolation=cv2.INTER_AREA)


def circle_crop() -> Callable[[bytes, int], Any] | None:
    """fundus_image_toolbox's circle crop, fed by OpenCV's decoder; None where the package is not installed."""
    try:
        from fundus_image_toolbox.circle_crop import crop
    except ImportError:
        return None

    def decode_and_crop(data: bytes, canvas_px: int) -> Any:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return crop(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), size=canvas_px)

    return decode_and_crop


def program(name: str, canvas_px: int) -> Callable[[bytes], Any]:
    path = PixelPath(canvas_px)
    other = circle_crop() if name == CIRCLE_CROP else None
    if other is not None:
        return lambda data: other(data, canvas_px)
    return {
        "pixel_path": path.process,
        "pixel_path_and_png": lambda data: encode_png(path.process(data).canvas),
        "plain_opencv_script": lambda data: plain_script(data, canvas_px),
    }[name]


def serve(name: str, canvas_px: int, paths: list[Path], connection: Connection) -> None:
    """Answers each photograph's number with the seconds that one program takes for it; ends at -1."""
    pin_to_one_core()
    work, files = program(name, canvas_px), [path.read_bytes() for path in paths]
    while (number := connection.recv()) >= 0:
        start = time.perf_counter()
        work(files[number])
        connection.send(time.perf_counter() - start)


def best_ms(names: list[str], canvas_px: int, paths: list[Path], repeats: int) -> dict[str, float]:
    """Mean over photographs of each program's best time."""
    context = multiprocessing.get_context("spawn")
    pipes = {name: context.Pipe() for name in names}
    processes = [
        context.Process(target=serve, args=(name, canvas_px, paths, there)) for name, (_, there) in pipes.items()
    ]
    for process in processes:
        process.start()
    total = dict.fromkeys(names, 0.0)
    for number in range(len(paths)):
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(repeats):
            for name, (here, _) in pipes.items():
                here.send(number)
                times[name].append(here.recv())
        for name in names:
            total[name] += min(times[name]) * 1e3 / len(paths)
    for process, (here, _) in zip(processes, pipes.values(), strict=True):
        here.send(-1)
        process.join()
    return total


def pin_to_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def steps_ms(files: list[bytes], canvas_px: int) -> dict[str, float]:
    """Mean time of each step of the path, one after the other."""
    steps = ("decode", "pixel_hash", "find_disc", "has_annotation", "to_canvas", "perceptual_hash", "assess")
    total = dict.fromkeys((*steps, *ENHANCEMENTS, "encode_png"), 0.0)

    def timed(step: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        total[step] += (time.perf_counter() - start) * 1e3 / len(files)
        return result

    for data in files:
        decoded = timed("decode", lambda data=data: decode(data, canvas_px))
        pixels = decoded.pixels
        timed("pixel_hash", lambda decoded=decoded: decoded.pixel_hash)
        disc = timed("find_disc", lambda pixels=pixels: find_disc(pixels))
        timed("has_annotation", lambda pixels=pixels, disc=disc: has_annotation(pixels, disc))
        canvas = timed("to_canvas", lambda pixels=pixels, disc=disc: to_canvas(pixels, disc, canvas_px))
        timed("perceptual_hash", lambda canvas=canvas: perceptual_hash(canvas))
        in_original = disc.scaled(decoded.scale)
        timed("assess", lambda canvas=canvas, disc=in_original: assess(canvas, disc))
        for name in ENHANCEMENTS:
            timed(name, lambda canvas=canvas, name=name: enhance(canvas, name))
        timed("encode_png", lambda canvas=canvas: encode_png(canvas))
    return {step: round(ms, 2) for step, ms in total.items()}


def measure(paths: list[Path], canvas_px: int, repeats: int, *, with_circle_crop: bool) -> dict[str, Any]:
    names = ["pixel_path", "pixel_path_and_png", "plain_opencv_script"]
    ms = best_ms([*names, CIRCLE_CROP] if with_circle_crop else names, canvas_px, paths, repeats)
    result: dict[str, Any] = {
        "images_per_second": {name: round(1e3 / each, 2) for name, each in ms.items()},
        "times_the_plain_script": round(ms["plain_opencv_script"] / ms["pixel_path"], 2),
    }
    if with_circle_crop:
        result["times_fundus_image_toolbox"] = round(ms[CIRCLE_CROP] / ms["pixel_path"], 2)
    return result | {"steps_ms": steps_ms([path.read_bytes() for path in paths], canvas_px)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idrid", type=Path, required=True, help="folder with the IDRiD photographs")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--photographs", type=int, default=60, help="how many, spread evenly over the folder")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--canvas-px", type=int, nargs="+", default=[512, 256])
    args = parser.parse_args()
    pin_to_one_core()
    paths = sorted(args.idrid.rglob("*.jpg"))
    if not paths:
        parser.error(f"no .jpg under {args.idrid}")
    paths = paths[:: -(-len(paths) // args.photographs)]
    load = round(os.getloadavg()[0], 2)
    installed = circle_crop() is not None
    measured = {
        str(canvas_px): measure(
            paths, canvas_px, args.repeats, with_circle_crop=installed and canvas_px == args.canvas_px[0]
        )
        for canvas_px in args.canvas_px
    }
    sides = sorted({f"{header.width}x{header.height}" for header in (read_header(p.read_bytes()) for p in paths)})
    result = {
        "num_photographs": len(paths),
        "photographs_px": sides,
        "repeats": args.repeats,
        "timing": "mean over the photographs of each one's best time; a process for each program, taking turns",
        "cores": 1,
        "other_load_at_start": load,
        "pixel_path_version": PIXEL_PATH_VERSION,
        "fundus_image_toolbox": installed_version("fundus_image_toolbox"),
        "bars_at_512_px": BARS,
        "machine": describe_machine(),
        "canvas_px": measured,
    }
    write_json(args.out, result)
    for canvas_px, figures in measured.items():
        print(f"{canvas_px} px: {figures}")


if __name__ == "__main__":
    main()
