"""Exports a trained candidate, and proves on every validation photograph that the exported graph decides alike.

An ensemble is one graph. Where its weights are fitted, they are fitted here, on validation photographs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.ensemble_members import Members, read_members
from dr_pipeline.deployment.ensemble_weights import cross_fit_ensemble, fit_ensemble
from dr_pipeline.deployment.formats.onnx_graph import OPSET, export_onnx
from dr_pipeline.deployment.parity import Parity, compare_logits, require_parity
from dr_pipeline.errors import GateError
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.logs import progress
from dr_pipeline.metrics.cross_fitting import group_parts
from dr_pipeline.models.ensemble import Combination, Ensemble, Weighted, deployed_network, ensemble_state_dict, soup
from dr_pipeline.models.grader import num_parameters
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.params.candidate import FITTED, EnsembleParams
from dr_pipeline.schema import Split
from dr_pipeline.tables.out_of_fold import LogitsRow, write_out_of_fold_logits
from dr_pipeline.tables.splits import SplitRow, read_splits, select_split

_BATCH = 16
_VERSIONS = ("onnx", "onnxruntime", "onnxscript", "timm", "torch")


@dataclass(frozen=True)
class ExportOptions:
    """What is exported.

    Attributes:
        ensemble: Which networks and views form the graph, and how they are combined.
        fold: The deployed fold; its validation part is used for fitting and for parity.
        folds: All folds that are trained.
    """

    ensemble: EnsembleParams
    fold: int
    folds: tuple[int, ...]


@dataclass(frozen=True)
class Exported:
    """What `export_candidate` wrote: the candidate's name and the parity of its deployed ONNX graph."""

    candidate: str
    parity: Parity


def export_candidate(models: Path, store: CanvasStore, splits: Path, out: Path, options: ExportOptions) -> Exported:
    """Writes the deployed graph, weights.safetensors and export.json.

    Args:
        models: Folder of the candidate's trained folds.
        store: The canvases it was trained on.
        splits: Table of the split it was trained on.
        out: Folder to write.
        options: What is exported.

    Raises:
        GateError: The networks were trained on other data, or a graph decides differently from the trained networks.
        ParamsError: The ensemble needs folds that are not trained.
        DataError: A file is missing or damaged.
    """
    ensemble = options.ensemble
    members = read_members(models, ensemble, fold=options.fold, folds=options.folds)
    facts = members.facts
    if store.pixel_path.to_dict() != facts["pixel_path"] or sha256_file(splits) != facts["splits_sha256"]:
        raise GateError("the model was trained on other canvases or splits", where=str(models), todo="dvc repro")
    photographs = _Photographs(
        store, select_split(read_splits(splits), Split.VALIDATION, options.fold), facts["input_px"]
    )
    combination = _fit_combination(members, ensemble, photographs, out)
    graders = [member.grader for member in members.all]
    if ensemble.combine == "soup":
        graders = [soup(graders)]
    network = deployed_network(graders, ensemble.views, combination).eval()
    parity = _write_verified(network, photographs, out / "model.onnx")
    validated = "model.onnx"
    if len(members.of_fold) < len(members.all):
        validated = "validation.onnx"
        own = [member.grader for member in members.of_fold]
        of_fold = deployed_network(own, ensemble.views, Weighted.uniform(len(own) * len(ensemble.views))).eval()
        _write_verified(of_fold, photographs, out / validated)
    write_tensors(ensemble_state_dict(graders), out / "weights.safetensors")
    write_json(
        out / "export.json",
        {
            **facts,
            "schema_version": 2,
            "fold": options.fold,
            "parameters": sum(num_parameters(grader) for grader in graders),
            "ensemble": _ensemble_facts(members, ensemble, combination),
            "validation_model": validated,
            "onnx_sha256": sha256_file(out / "model.onnx"),
            "weights_sha256": sha256_file(out / "weights.safetensors"),
            "opset": OPSET,
            "parity": asdict(parity),
            "versions": {name: version(name) for name in _VERSIONS},
        },
    )
    return Exported(facts["candidate"], parity)


@dataclass(frozen=True)
class _Photographs:
    """The validation photographs as model inputs."""

    store: CanvasStore
    rows: Sequence[SplitRow]
    input_px: int

    def batches(self, label: str) -> Iterator[NDArray[np.uint8]]:
        """Batches of uint8 RGB, shape (≤ 16, input_px, input_px, 3)."""
        for start in progress(range(0, len(self.rows), _BATCH), label=label):
            batch = self.rows[start : start + _BATCH]
            yield np.stack([model_input(self.store.read(row.image_id), self.input_px) for row in batch])


def _fit_combination(members: Members, ensemble: EnsembleParams, photographs: _Photographs, out: Path) -> Combination:
    """The ensemble's weights; where they are fitted, also writes the cross-fitted logits that `validate` reads."""
    graders = [member.grader for member in members.all]
    if ensemble.combine == "soup":
        return Weighted.uniform(len(ensemble.views))
    mean = Weighted.uniform(len(graders) * len(ensemble.views))
    if ensemble.combine not in FITTED:
        return mean
    network = Ensemble(graders, ensemble.views, mean).eval()
    with torch.inference_mode():
        batches = [
            network.member_log_probs(torch.from_numpy(batch)).numpy() for batch in photographs.batches("ensemble")
        ]
    member_log_probs, rows = np.concatenate(batches), photographs.rows
    grades = np.array([row.grade for row in rows], dtype=np.int64)
    parts = group_parts([row.group for row in rows])
    cross_fitted = cross_fit_ensemble(ensemble.combine, member_log_probs, grades, parts)
    table = [
        LogitsRow(image_id=row.image_id, logits=tuple(logits))
        for row, logits in zip(rows, cross_fitted.tolist(), strict=True)
    ]
    write_out_of_fold_logits(out / "unseen.csv", table)
    return fit_ensemble(ensemble.combine, member_log_probs, grades)


def _write_verified(network: nn.Module, photographs: _Photographs, path: Path) -> Parity:
    export_onnx(network, input_px=photographs.input_px, path=path)
    exported = OnnxModel(path, threads=torch.get_num_threads())
    reference, shipped = [], []
    for inputs in photographs.batches("parity"):
        with torch.inference_mode():
            reference.append(network(torch.from_numpy(inputs)).numpy())
        shipped.append(exported.logits(inputs))
    parity = compare_logits(np.concatenate(reference), np.concatenate(shipped))
    require_parity(parity, where=str(path))
    return parity


def _ensemble_facts(members: Members, ensemble: EnsembleParams, combination: Combination) -> dict[str, Any]:
    return {
        "members": [{"fold": member.fold, "seed": member.seed} for member in members.all],
        "views": list(ensemble.views),
        "combine": ensemble.combine,
        "fitted": combination.to_dict() if ensemble.combine in FITTED else {},
        "validated_by": members.validated_by,
    }
