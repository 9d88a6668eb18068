"""Speed of reading DICOM headers, and of decoding each transfer syntax for a canvas.

    python -m benchmarks.dicom --idrid ROOT --out reports/benchmarks/dicom.json

The files are generated from IDRiD photographs by tests/factories/dicom.py. Each figure is the best of the repeats,
averaged over the photographs; decoding is compared with decoding the original JPEG.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dr_pipeline.files import write_json
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.intake.dicom_headers import fill_from_headers
from dr_pipeline.intake.records import Intake, Provenance, Record
from dr_pipeline.machine import describe_machine, installed_version
from tests.factories import dicom as factory

COMPRESSED = {
    "RLE": factory.RLE,
    "JPEG lossless (.70)": factory.JPEG_LOSSLESS_SV1,
    "JPEG-LS (.80)": factory.JPEG_LS,
    "JPEG 2000 (.90)": factory.JPEG_2000_LOSSLESS,
}
HEADERS_PER_SECOND_BAR = 300


def best_s(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def variants(jpeg: bytes) -> dict[str, bytes]:
    """One photograph in every syntax measured."""
    pixels = decode(jpeg, 4096).pixels
    native = factory.dicom(pixels, **factory.PATIENT)
    files = {
        "JPEG file": jpeg,
        "JPEG baseline (.50)": factory.dicom(
            pixels, syntax=factory.JPEG_BASELINE, stream=jpeg, photometric="YBR_FULL_422"
        ),
        "native": native,
        "deflated": factory.dicom(pixels, syntax=factory.DEFLATED),
    }
    return files | {name: factory.compressed(native, syntax) for name, syntax in COMPRESSED.items()}


def headers_per_second(data: bytes, files: int, repeats: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(files):
            (root / f"{number}.dcm").write_bytes(data)
        intake = Intake(tuple(Record(str(n), f"{n}.dcm", 0) for n in range(files)), Provenance("", "", ""))
        return files / best_s(lambda: fill_from_headers(intake, root, salt="benchmark"), repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idrid", type=Path, required=True, help="folder with the IDRiD photographs")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--photographs", type=int, default=3)
    parser.add_argument("--headers", type=int, default=300, help="how many files to read headers of")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--canvas-px", type=int, default=512)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(args.idrid.rglob("*.jpg"))
    if not paths:
        parser.error(f"no .jpg under {args.idrid}")
    total: dict[str, float] = {}
    for path in paths[:: -(-len(paths) // args.photographs)]:
        for name, data in variants(path.read_bytes()).items():
            seconds = best_s(lambda data=data: decode(data, args.canvas_px), args.repeats)
            total[name] = total.get(name, 0.0) + seconds / args.photographs
    jpeg = paths[0].read_bytes()
    header = decode(jpeg, args.canvas_px)
    wrapped = variants(jpeg)["JPEG baseline (.50)"]
    result = {
        "num_photographs": args.photographs,
        "photographs_px": f"{header.width}x{header.height}",
        "canvas_px": args.canvas_px,
        "repeats": args.repeats,
        "timing": "mean over the photographs of each one's best time, one thread",
        "decode_ms": {name: round(1e3 * seconds, 1) for name, seconds in total.items()},
        "times_the_jpeg_file": {name: round(seconds / total["JPEG file"], 2) for name, seconds in total.items()},
        "num_headers": args.headers,
        "headers_per_second": round(headers_per_second(wrapped, args.headers, args.repeats)),
        "headers_per_second_bar": HEADERS_PER_SECOND_BAR,
        "pydicom": installed_version("pydicom"),
        "python-gdcm": installed_version("python-gdcm"),
        "machine": describe_machine(),
    }
    write_json(args.out, result)
    print(result)


if __name__ == "__main__":
    main()
