"""Exports one trained candidate to ONNX and proves on every validation photograph that it decides alike."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ()

_BATCH = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--model", type=Path, required=True, help="folder that `train` wrote")
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported model")


def run(args: argparse.Namespace) -> Outcome:
    """Exports, compares, writes."""
    from dataclasses import asdict
    from importlib.metadata import version

    import numpy as np
    import torch

    from dr_pipeline.bundle.session import OnnxModel
    from dr_pipeline.deployment.export import OPSET, export_onnx
    from dr_pipeline.deployment.parity import compare, require
    from dr_pipeline.errors import GateError
    from dr_pipeline.files import read_json, sha256_file, write_json
    from dr_pipeline.fundus.canvases import CanvasStore
    from dr_pipeline.fundus.pixel_path import model_input
    from dr_pipeline.models.factory import create_grader
    from dr_pipeline.models.weights import load_exactly
    from dr_pipeline.progress import progress
    from dr_pipeline.schema import Split
    from dr_pipeline.splitting.read import part, read_splits
    from dr_pipeline.tracking.run import tracked

    spec = read_json(args.model / "model.json")
    store = CanvasStore(args.canvases)
    if store.pixel_path.to_dict() != spec["pixel_path"] or sha256_file(args.splits) != spec["splits_sha256"]:
        raise GateError("the model was trained on other canvases or splits", where=str(args.model), todo="dvc repro")
    grader = create_grader(spec["model"], input_px=spec["input_px"], drop_rate=0.0, drop_path_rate=0.0)
    load_exactly(grader, args.model / "model.safetensors")
    grader.eval()
    path = args.out / "model.onnx"
    with tracked("export", candidate=spec["candidate"], fold=spec["fold"]) as run_:
        export_onnx(grader, input_px=spec["input_px"], path=path)
        exported = OnnxModel(path, threads=torch.get_num_threads())
        photographs = part(read_splits(args.splits), Split.VALIDATION, spec["fold"])
        reference, shipped = [], []
        for start in progress(range(0, len(photographs), _BATCH), label="parity"):
            batch = photographs[start : start + _BATCH]
            inputs = np.stack([model_input(store.read(row.image_id), spec["input_px"]) for row in batch])
            with torch.inference_mode():
                reference.append(grader(torch.from_numpy(inputs)).numpy())
            shipped.append(exported.logits(inputs))
        parity = compare(np.concatenate(reference), np.concatenate(shipped))
        require(parity, where=str(path))
        versions = {name: version(name) for name in ("onnx", "onnxruntime", "onnxscript", "timm", "torch")}
        kept = {key: value for key, value in spec.items() if key not in ("versions", "best_epoch")}
        write_json(
            args.out / "export.json",
            {
                **kept,
                "onnx_sha256": sha256_file(path),
                "opset": OPSET,
                "parity": asdict(parity),
                "versions": versions,
            },
        )
        run_.metrics({f"parity.{key}": float(value) for key, value in asdict(parity).items()})
    return Outcome(
        wrote=(args.out,),
        headline=(
            f"{spec['candidate']}: {parity.changed_grades} of {parity.n} grades changed by the export, "
            f"probabilities within {parity.max_probability_difference:.1g}"
        ),
        next_command=f"dvc repro validate@{spec['candidate']}",
    )
