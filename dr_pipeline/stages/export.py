"""Exports one trained candidate to ONNX and proves on every validation photograph that it decides alike.

An ensemble is one graph. Where its combination is fitted, it is fitted here, on validation photographs.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("folds", "candidates.{candidate}.ensemble")

_BATCH = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--candidate", required=True, help="a key of `candidates` in params.yaml")
    parser.add_argument("--models", type=Path, required=True, help="the candidate's folder that `train` wrote")
    parser.add_argument("--fold", type=int, required=True, help="the fold to deploy")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported model")


def run(args: argparse.Namespace) -> Outcome:
    """Combines, exports, compares, writes.

    Raises:
        GateError: The networks were trained on other data, or the export decides otherwise than they.
        ParamsError: The ensemble cannot be made.
        DataError: A file is missing or damaged.
    """
    from collections.abc import Iterator
    from dataclasses import asdict
    from importlib.metadata import version

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from dr_pipeline.bundle.session import OnnxModel
    from dr_pipeline.canvases.read import CanvasStore
    from dr_pipeline.deployment.ensemble_members import read_members
    from dr_pipeline.deployment.ensemble_weights import combine_unseen, fit_combination
    from dr_pipeline.deployment.export import OPSET, export_onnx
    from dr_pipeline.deployment.out_of_fold_logits import write_unseen
    from dr_pipeline.deployment.parity import Parity, compare, require
    from dr_pipeline.errors import GateError
    from dr_pipeline.evaluation.decision_fit import group_parts
    from dr_pipeline.files import sha256_file, write_json
    from dr_pipeline.fundus.pixel_path import model_input
    from dr_pipeline.logs import progress
    from dr_pipeline.models.ensemble import Combination, Ensemble, deployed, mean_of, member_tensors
    from dr_pipeline.models.grader import num_parameters
    from dr_pipeline.models.weights.load import write_tensors
    from dr_pipeline.params.candidate import EnsembleParams
    from dr_pipeline.params.params_file import load_folds, load_section
    from dr_pipeline.schema import Split
    from dr_pipeline.splitting.read import part, read_splits
    from dr_pipeline.tracking.run import tracked

    ensemble = load_section(args.params, f"candidates.{args.candidate}.ensemble", EnsembleParams)
    members = read_members(args.models, ensemble, fold=args.fold, folds=load_folds(args.params))
    facts = members.facts
    store = CanvasStore(args.canvases)
    if store.pixel_path.to_dict() != facts["pixel_path"] or sha256_file(args.splits) != facts["splits_sha256"]:
        raise GateError("the model was trained on other canvases or splits", where=str(args.models), todo="dvc repro")
    photographs = part(read_splits(args.splits), Split.VALIDATION, args.fold)
    graders = [member.grader for member in members.all]
    num_opinions = len(graders) * len(ensemble.views)

    def batches(label: str) -> Iterator[NDArray[np.uint8]]:
        for start in progress(range(0, len(photographs), _BATCH), label=label):
            batch = photographs[start : start + _BATCH]
            yield np.stack([model_input(store.read(row.image_id), facts["input_px"]) for row in batch])

    def fitted() -> Combination:
        network = Ensemble(graders, ensemble.views, mean_of(num_opinions)).eval()
        with torch.inference_mode():
            opinions = np.concatenate([network.opinions(torch.from_numpy(one)).numpy() for one in batches("opinions")])
        grades = np.array([row.grade for row in photographs], dtype=np.int64)
        parts = group_parts([row.group for row in photographs])
        unseen = combine_unseen(ensemble.combine, opinions, grades, parts)
        write_unseen(args.out / "unseen.csv", [row.image_id for row in photographs], unseen)
        return fit_combination(ensemble.combine, opinions, grades)

    def exported(network: torch.nn.Module, path: Path) -> Parity:
        export_onnx(network, input_px=facts["input_px"], path=path)
        session = OnnxModel(path, threads=torch.get_num_threads())
        reference, shipped = [], []
        for inputs in batches("parity"):
            with torch.inference_mode():
                reference.append(network(torch.from_numpy(inputs)).numpy())
            shipped.append(session.logits(inputs))
        parity = compare(np.concatenate(reference), np.concatenate(shipped))
        require(parity, where=str(path))
        return parity

    path = args.out / "model.onnx"
    with tracked("export", candidate=facts["candidate"], fold=args.fold) as run_:
        combination = mean_of(num_opinions) if ensemble.combine == "mean" else fitted()
        parity = exported(deployed(graders, ensemble.views, combination).eval(), path)
        validated = "model.onnx"
        if len(members.of_fold) < len(members.all):
            validated = "validation.onnx"
            own = [member.grader for member in members.of_fold]
            alone = deployed(own, ensemble.views, mean_of(len(own) * len(ensemble.views)))
            exported(alone.eval(), args.out / validated)
        write_tensors(member_tensors(graders), args.out / "weights.safetensors")
        write_json(
            args.out / "export.json",
            {
                **facts,
                "schema_version": 2,
                "fold": args.fold,
                "parameters": sum(num_parameters(grader) for grader in graders),
                "ensemble": {
                    "members": [{"fold": member.fold, "seed": member.seed} for member in members.all],
                    "views": list(ensemble.views),
                    "combine": ensemble.combine,
                    "fitted": {} if ensemble.combine == "mean" else combination.facts(),
                    "validated_by": members.validated_by,
                },
                "validation_model": validated,
                "onnx_sha256": sha256_file(path),
                "weights_sha256": sha256_file(args.out / "weights.safetensors"),
                "opset": OPSET,
                "parity": asdict(parity),
                "versions": {name: version(name) for name in ("onnx", "onnxruntime", "onnxscript", "timm", "torch")},
            },
        )
        run_.metrics({f"parity.{key}": float(value) for key, value in asdict(parity).items()})
    return Outcome(
        wrote=(args.out,),
        headline=(
            f"{facts['candidate']}: {parity.changed_grades} of {parity.n} grades changed by the export, "
            f"probabilities within {parity.max_probability_difference:.1g}"
        ),
        next_command=f"dvc repro validate@{facts['candidate']}",
    )
