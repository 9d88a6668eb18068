"""What `train` leaves behind, without training: networks with random weights, canvases and a split."""

import argparse
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from dr_pipeline.files import add_to_tar, read_json, sha256_file, write_json
from dr_pipeline.models.grader import grader_from_spec, normalisation
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.params.candidate import EnsembleParams, model_family
from dr_pipeline.stages import export, validate
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.gradability import GRADABILITY
from dr_pipeline.tables.splits import SPLITS
from tests.factories.bundles import PIXEL_PATH, encode
from tests.factories.csv_files import write_csv
from tests.factories.repository import REPOSITORY

MODEL = "test_efficientnet"  # timm's own for tests: 0.1 M parameters
INPUT_PX = 32
NUM_PATIENTS = 30
SYNTHETIC = REPOSITORY / "params.yaml"
SINGLE: dict[str, Any] = {"seeds": 1, "folds": False, "combine": "mean", "views": ["identity"]}
VIEWS = ["identity", "mirror", "rotate_90"]


def ensemble(**changes: Any) -> EnsembleParams:
    return EnsembleParams.model_validate(SINGLE | {"views": ("identity",)} | changes)


def write_data(root: Path, *, folds: tuple[int, ...], combined: dict[str, Any]) -> None:
    """Parameters; canvases whose colour follows the grade; a third of the patients in each of test, fold 0, fold 1."""
    rng = np.random.default_rng(0)
    index, splits, statuses, tar_bytes = [], [], [], io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for patient in range(NUM_PATIENTS):
            for eye in ("left", "right"):
                image_id, grade = f"{patient:03}-{eye}", patient // 3 % 5
                colour = np.clip(40 * grade + 40 + 15 * rng.normal(size=3), 0, 255)
                canvas = (colour + 20 * rng.normal(size=(64, 64, 3))).clip(0, 255).astype(np.uint8)
                add_to_tar(tar, f"{image_id}.png", encode(canvas, ".png"))
                row = dict.fromkeys(CANVAS_INDEX.columns, "") | {
                    "schema_version": CANVAS_INDEX.version,
                    "image_id": image_id,
                }
                index.append(row | {"shard": "shard-00000.tar", "status": "scored"})
                statuses.append({"schema_version": 1, "image_id": image_id, "status": "scored", "reason": ""})
                splits.append(
                    dict.fromkeys(SPLITS.columns, "")
                    | {
                        "schema_version": 2,
                        "image_id": image_id,
                        "patient_id": f"P{patient}",
                        "eye": eye,
                        "group": f"patient:P{patient}",
                        "grade": grade,
                        "split": "test" if patient % 3 == 2 else "development",
                        "fold": "" if patient % 3 == 2 else patient % 3,
                    }
                )
    (root / "canvases").mkdir()
    (root / "canvases" / "shard-00000.tar").write_bytes(tar_bytes.getvalue())
    write_csv(root / "canvases" / "index.csv", CANVAS_INDEX.columns, index)
    write_json(root / "canvases" / "pixel_path.json", PIXEL_PATH.to_dict() | {"fingerprint": PIXEL_PATH.fingerprint})
    write_csv(root / "splits.csv", SPLITS.columns, splits)
    write_csv(root / "gradability.csv", GRADABILITY.columns, statuses)
    params = yaml.safe_load(SYNTHETIC.read_text())
    params["folds"] = list(folds)
    params["candidates"]["tiny"] = params["candidates"].pop("lite0") | {"weights": "none", "ensemble": combined}
    params["evaluation"]["bootstrap_replicates"] = 100
    params["deployment"]["formats"]["names"] = ["onnx"]
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def write_fold(root: Path, fold: int, *, num_seeds: int = 1, **changes: Any) -> None:
    """The folder of one fold: model.json and a file for each seed."""
    norm = normalisation(MODEL)
    spec = {
        "schema_version": 1,
        "candidate": "tiny",
        "fold": fold,
        "model": MODEL,
        "family": model_family(MODEL),
        "parameters": 0,
        "input_px": INPUT_PX,
        "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
        "loss": "cross_entropy",
        "mean": norm.mean,
        "std": norm.std,
        "weights": "none (random initialisation)",
        "seeds": [20 + number for number in range(num_seeds)],
        "members": [f"member-{number}.safetensors" for number in range(num_seeds)],
        "pixel_path": PIXEL_PATH.to_dict(),
        "splits_sha256": sha256_file(root / "splits.csv"),
        "canvas_index_sha256": sha256_file(root / "canvases" / "index.csv"),
        "versions": {},
    } | changes
    for number, name in enumerate(spec["members"]):
        torch.manual_seed(100 * fold + number)
        write_tensors(grader_from_spec(spec).state_dict(), root / "models" / str(fold) / name)
    write_json(root / "models" / str(fold) / "model.json", spec)


def prepare(root: Path, trained: tuple[int, ...] = (0,), **combined: Any) -> None:
    write_data(root, folds=trained, combined=SINGLE | combined)
    for fold in trained:
        write_fold(root, fold, num_seeds=combined.get("seeds", 1))


def exported(root: Path) -> dict[str, Any]:
    arguments = {"candidate": "tiny", "models": root / "models", "fold": 0, "out": root / "export"}
    arguments |= {"source": None, "formats": None}
    paths = {"params": root / "params.yaml", "canvases": root / "canvases", "splits": root / "splits.csv"}
    export.run(argparse.Namespace(**arguments, **paths))
    return dict(read_json(root / "export" / "export.json"))


def validated(root: Path) -> dict[str, Any]:
    names = {"params": "params.yaml", "splits": "splits.csv", "gradability": "gradability.csv"}
    names |= {"canvases": "canvases", "export": "export", "out": "validation", "report": "validation.json"}
    validate.run(argparse.Namespace(candidate="tiny", fold=0, **{key: root / name for key, name in names.items()}))
    return dict(read_json(root / "validation.json")["validation"]["tiny"])


def pixels(count: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, INPUT_PX, INPUT_PX, 3), dtype=np.uint8)
