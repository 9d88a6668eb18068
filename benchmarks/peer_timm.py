"""`dr-pipeline score` against timm's own inference.py: the same photographs, network and input, whole runs.

python -m benchmarks.peer_timm FOLDER --inference PATH/TO/timm/inference.py [--repeats 2] [--int8] [--out FILE.json]

The script is that of timm's repository, as it is. Both start from nothing, on the cores that there are; the network is
EfficientNet-Lite0 with random weights, which cost what trained ones do. Ours measures quality, looks for damage, text
and duplicates, and verifies its bundle too; timm's decodes, resizes and classifies.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import onnx
import timm
import torch

from dr_pipeline.bundle.golden import draw_disc, make_golden
from dr_pipeline.bundle.metadata import PACKAGES, build_metadata
from dr_pipeline.bundle.session import FLOAT32, INT8, OnnxModel
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.deployment.formats.onnx_graph import export_onnx, write_onnx
from dr_pipeline.deployment.formats.onnx_int8 import quantise
from dr_pipeline.files import sha256_bytes, write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.machine import describe_machine, usable_cores
from dr_pipeline.models.grader import create_grader
from tests.factories.bundles import DECISION, FIGURE, GRADABILITY, LATENCY, WEIGHTS, export_json

_MODEL, _INPUT_PX, _CANVAS_PX, _BATCH = "tf_efficientnet_lite0", 288, 512, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inference", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--int8", action="store_true", help="our network in 8 bits, calibrated on drawings")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        bundle = lite0_bundle(root / "bundle", int8=args.int8)
        ours = [sys.executable, "-m", "dr_pipeline", "score", args.folder, "--bundle", bundle, "--out", root / "p.csv"]
        timms = [sys.executable, args.inference, "--data-dir", args.folder, "--model", _MODEL, "--num-classes", "5"]
        timms += ["--img-size", str(_INPUT_PX), "--device", "cpu", "-b", str(_BATCH), "-j", str(usable_cores())]
        checkpoint = root / "random.pth"  # without one the script asks a model hub
        torch.save(timm.create_model(_MODEL, num_classes=5).state_dict(), checkpoint)
        timms += ["--checkpoint", checkpoint, "--results-dir", root / "timm"]
        seconds: dict[str, list[float]] = {"timm": [], "ours": []}
        for _ in range(args.repeats):
            seconds["timm"].append(wall_s(timms))
            seconds["ours"].append(wall_s(ours))
            print({name: round(values[-1], 1) for name, values in seconds.items()}, flush=True)
        files = (root / "p.csv").read_text(encoding="utf-8").count("\n") - 1
    timm_s, ours_s = median(seconds["timm"]), median(seconds["ours"])
    ratio = timm_s / ours_s
    print(f"{files} files: timm {timm_s:.1f} s, ours {ours_s:.1f} s, {ratio:.1f} times")
    if args.out:
        figures = {name: [round(value, 2) for value in values] for name, values in seconds.items()}
        settings = {
            "model": _MODEL,
            "input_px": _INPUT_PX,
            "canvas_px": _CANVAS_PX,
            "timm_batch": _BATCH,
            "int8": args.int8,
        }
        result = {"files": files, "seconds": figures, "ratio": round(ratio, 2), "machine": describe_machine()}
        write_json(args.out, settings | result)


def lite0_bundle(out: Path, *, int8: bool = False) -> Path:
    """A bundle with an untrained network."""
    torch.manual_seed(0)
    grader = create_grader(_MODEL, input_px=_INPUT_PX, drop_rate=0.0, drop_path_rate=0.0)
    path = out.with_suffix(".onnx")
    export_onnx(grader, input_px=_INPUT_PX, path=path)
    if int8:
        drawings = [draw_disc(seed, _INPUT_PX)[None] for seed in range(32)]
        write_onnx(quantise(onnx.load(path), drawings), path, precision=INT8)
    model, pixel_path = path.read_bytes(), PixelPath(_CANVAS_PX)
    exported = export_json(model) | {"model": _MODEL, "input_px": _INPUT_PX, "pixel_path": pixel_path.to_dict()}
    exported["precision"] = INT8 if int8 else FLOAT32
    metadata = build_metadata(
        model_sha256=sha256_bytes(model),
        pixel_path=pixel_path,
        decision=DECISION,
        gradability=GRADABILITY,
        export=exported,
        validation={"qwk": FIGURE, "referable_sensitivity": FIGURE},
        latency=LATENCY,
        versions=dict.fromkeys(PACKAGES, "1.0"),
    )
    golden = make_golden(OnnxModel(model, threads=1), DECISION)
    write_bundle(out, model=model, weights=WEIGHTS, metadata=metadata, golden=golden)
    return out


def wall_s(command: list[str | Path]) -> float:
    started_s = time.monotonic()
    finished = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{command[1]} failed: {finished.stderr[-2000:]}")
    return time.monotonic() - started_s


if __name__ == "__main__":
    main()
