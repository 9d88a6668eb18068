"""Time of one photograph: networks against eager PyTorch, a JPEG from file to decision, and how far a repeat differs.

python -m benchmarks.latency FOLDER --bundle DIR [--calls 200] --out FILE.json

FOLDER holds photographs of 4288×2848 px, such as IDRiD's. One thread, one photograph at a time. The exported network,
EfficientNet-Lite in 8 bits too, and the same network in eager PyTorch take turns in one process, so that their ratio
holds on a busy machine too; times in milliseconds are those of the machine as it was. Weights are random, which does
not affect the time.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from dr_pipeline.bundle.session import INT8, OnnxModel
from dr_pipeline.deployment.formats.onnx_graph import export_onnx, write_onnx
from dr_pipeline.deployment.formats.onnx_int8 import quantise
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.models.grader import create_grader
from dr_pipeline.scoring.latency import grading_latency, latency_figures, sample_photographs
from dr_pipeline.scoring.scorer import Scorer

NETWORKS = (("tf_efficientnet_lite0", 224), ("efficientnet_b3", 300))
WARM_UP = 5
RESAMPLINGS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    started_s = time.monotonic()
    files = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    whole = whole_gradings(args.bundle, files, args.calls)
    print_row("file to decision", whole["first"])
    print(f"steps, ms: {whole['first']['steps_ms']}; a repeat's p50 differs by {whole['p50_change']:+.1%}")
    networks = [network_against_eager(model, input_px, args.calls) for model, input_px in NETWORKS]
    result = {"networks": networks, "file_to_decision": whole, "threads": 1, "machine": describe_machine()}
    write_json(args.out, result | {"seconds": round(time.monotonic() - started_s, 1)})


def whole_gradings(bundle: Path, files: list[Path], calls: int) -> dict[str, Any]:
    """The calls that `score` makes, measured twice one after the other."""

    def load(threads: int) -> Scorer:
        return Scorer.from_bundle(bundle, threads=threads)

    photographs, _ = sample_photographs(load(1), files, min(calls, 100))
    first = latency_figures(load, photographs, warmup=WARM_UP, count=calls, threads=1)
    again = grading_latency(load(1), photographs, warmup=WARM_UP, count=calls).to_dict()
    return {
        "input_px": load(1).input_px,
        "canvas_px": load(1).pixel_path.canvas_px,
        "first": first,
        "again": again,
        "p50_change": round(again["p50_ms"] / first["p50_ms"] - 1, 4),
    }


def network_against_eager(model: str, input_px: int, calls: int) -> dict[str, Any]:
    """The exported network and the same one in PyTorch in turns, from 8-bit pixels to logits."""
    torch.manual_seed(0)
    grader = create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0).eval()
    image = np.random.default_rng(0).integers(0, 255, (1, input_px, input_px, 3), np.uint8)
    with TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "model.onnx"
        export_onnx(grader, input_px=input_px, path=path)
        exported = OnnxModel(path, threads=1)
        difference = float(np.abs(exported.logits(image) - grader(torch.from_numpy(image)).numpy()).max())
        runs: dict[str, Callable[[], Any]] = {
            "onnx": lambda: exported.logits(image),
            "eager": lambda: grader(torch.from_numpy(image)).numpy(),
        }
        if "lite" in model:
            reduced = in_8_bits(path, image)
            runs["onnx_int8"] = lambda: reduced.logits(image)
        times_ms = dict(zip(runs, in_turns(list(runs.values()), calls), strict=True))
    row = {
        "model": model,
        "input_px": input_px,
        "n": calls,
        "largest_logit_difference": difference,
        **{name: percentiles(times) for name, times in times_ms.items()},
        "times_as_fast": {name: ratio(times, times_ms["eager"]) for name, times in times_ms.items() if name != "eager"},
    }
    for name in runs:
        print_row(f"{model} {input_px} px, {name}", row[name])
    for name, times in row["times_as_fast"].items():
        print(
            f"{name}, times as fast as eager, medians: {times['value']} [{times['low']}, {times['high']}]", flush=True
        )
    return row


def in_8_bits(path: Path, image: NDArray[np.uint8]) -> OnnxModel:
    """The network in 8 bits, whatever becomes of its random logits."""
    reduced = path.with_name("int8.onnx")
    write_onnx(quantise(onnx.load(path), [image], max_error=np.inf), reduced, precision=INT8)
    return OnnxModel(reduced, threads=1)


def in_turns(works: Sequence[Callable[[], Any]], calls: int) -> list[NDArray[Any]]:
    """Milliseconds of each call, shape (calls,), of each."""
    times_ms = np.empty((WARM_UP + calls, len(works)))
    for row in times_ms:
        for place, work in enumerate(works):
            started_s = time.perf_counter()
            work()
            row[place] = 1000 * (time.perf_counter() - started_s)
    return list(times_ms[WARM_UP:].T)


def percentiles(times_ms: NDArray[Any]) -> dict[str, Any]:
    """As `Latency.to_dict` has them."""
    drawn = np.random.default_rng(0).integers(len(times_ms), size=(RESAMPLINGS, len(times_ms)))
    result: dict[str, Any] = {"interval_95": {}}
    for key, percent in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)):
        low, high = np.percentile(np.percentile(times_ms[drawn], percent, axis=1, method="higher"), [2.5, 97.5])
        result[key] = round(float(np.percentile(times_ms, percent, method="higher")), 2)
        result["interval_95"][key] = {"low": round(float(low), 2), "high": round(float(high), 2)}
    return result


def ratio(fast_ms: NDArray[Any], slow_ms: NDArray[Any]) -> dict[str, float]:
    """Ratio of the medians; its interval resamples turns, in which both had the same machine."""
    drawn = np.random.default_rng(0).integers(len(fast_ms), size=(RESAMPLINGS, len(fast_ms)))
    low, high = np.percentile(np.median(slow_ms[drawn], axis=1) / np.median(fast_ms[drawn], axis=1), [2.5, 97.5])
    value = float(np.median(slow_ms) / np.median(fast_ms))
    return {"value": round(value, 2), "low": round(float(low), 2), "high": round(float(high), 2)}


def print_row(name: str, row: dict[str, Any]) -> None:
    interval = row["interval_95"]["p95_ms"]
    print(
        f"{name}: p50 {row['p50_ms']:.1f}, p95 {row['p95_ms']:.1f} [{interval['low']:.1f}, {interval['high']:.1f}] ms"
    )


if __name__ == "__main__":
    main()
