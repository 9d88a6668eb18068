"""Writes two candidates as one network, with the export.json that `validate`, `latency` and `package` read."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dr_pipeline.bundle.bundle_files import MODEL, WEIGHTS
from dr_pipeline.bundle.session import FLOAT16, FLOAT32, INT8, OnnxModel
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.candidate_formats import CASCADE_FORMAT, EXPORT, cascade_name
from dr_pipeline.deployment.cascade import Routing, cross_fit, fit_routing
from dr_pipeline.deployment.formats.cascade_graph import cascade_graph
from dr_pipeline.deployment.formats.onnx_graph import write_onnx
from dr_pipeline.deployment.parity import Parity, compare_logits, require_parity
from dr_pipeline.deployment.selection_inputs import CandidateFiles
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.models.ensemble import join_state_dicts, split_state_dict
from dr_pipeline.models.weights.checkpoint_files import read_tensors, write_tensors
from dr_pipeline.tables.out_of_fold import LogitsRow, write_out_of_fold_logits


def export_cascade(
    small: CandidateFiles,
    large: CandidateFiles,
    exports: Path,
    store: CanvasStore,
    out: Path,
    *,
    most: float,
    seed: int,
) -> Parity:
    """Fits the routing on validation, writes the graph, and checks it against its two networks, one after the other.

    Writes model.onnx, weights.safetensors, export.json and, for `validate`, the logits of each validation photograph by
    a routing fitted on others.

    Args:
        small: The network that grades every photograph.
        large: The one that grades those near a cut point.
        exports: Parent of the folders that `export` wrote.
        store: The canvases of their training.
        out: Folder to write.
        most: As in `fit_routing`.
        seed: Likewise.

    Raises:
        GateError: The graph decides otherwise than its networks.
    """
    routing = fit_routing(small.logits, large.logits, small.true, small.groups, most=most, seed=seed)
    _write_cross_fitted(small, large, out / "unseen.csv", most=most, seed=seed)
    folders = [exports / files.summary.name for files in (small, large)]
    networks = [onnx.load(folder / MODEL) for folder in folders]
    precision = _precision(small, large)
    write_onnx(cascade_graph(networks[0], networks[1], routing), out / MODEL, precision=precision)
    parity, asked = _require_same(routing, [folder / MODEL for folder in folders], small, store, out / MODEL)
    _write_weights(folders, out / WEIGHTS)
    write_json(
        out / EXPORT,
        _described(small, large, routing, asked)
        | ({} if precision == FLOAT32 else {"precision": precision})
        | {
            "onnx_sha256": sha256_file(out / MODEL),
            "weights_sha256": sha256_file(out / WEIGHTS),
            "parity": asdict(parity),
        },
    )
    return parity


def _write_cross_fitted(small: CandidateFiles, large: CandidateFiles, path: Path, *, most: float, seed: int) -> None:
    mixed, _ = cross_fit(small.logits, large.logits, small.true, small.groups, most=most, seed=seed)
    rows = [
        LogitsRow(image_id=image_id, logits=tuple(logits))
        for image_id, logits in zip(small.image_ids, mixed.tolist(), strict=True)
    ]
    write_out_of_fold_logits(path, rows)


def _require_same(
    routing: Routing, networks: list[Path], small: CandidateFiles, store: CanvasStore, cascade: Path
) -> tuple[Parity, float]:
    """The parity on every validation photograph, and the share of them that both networks grade."""

    def logits(path: Path) -> NDArray[np.float32]:
        network = OnnxModel(path, threads=1)
        return canvas_logits(network.logits, store, small.image_ids, network.input_px)

    one, two = (logits(path) for path in networks)
    parity = compare_logits(routing.logits(one, two).astype(np.float32), logits(cascade))
    require_parity(parity, where=str(cascade))
    return parity, float(routing.asked(one).mean())


def _write_weights(folders: list[Path], path: Path) -> None:
    """Both networks' weights; those of two formats of one network once."""
    files = [folder / WEIGHTS for folder in folders]
    if len({sha256_file(file) for file in files}) == 1:
        files = files[:1]
    write_tensors(
        join_state_dicts([state for file in files for state in split_state_dict(read_tensors((file,)))]), path
    )


def _described(small: CandidateFiles, large: CandidateFiles, routing: Routing, asked: float) -> dict[str, Any]:
    """What export.json states of a candidate, of both: the facts of the large network where there is room for one."""
    one, two = small.export, large.export
    ensembles = one["ensemble"], two["ensemble"]

    def both(key: str) -> str:
        return " + ".join(dict.fromkeys((str(one[key]), str(two[key]))))

    return {key: value for key, value in two.items() if key not in ("calibration", "precision")} | {
        "candidate": cascade_name(small.summary.name, large.summary.name),
        "format": CASCADE_FORMAT,
        "model": both("model"),
        "weights": both("weights"),
        "parameters": one["parameters"] + two["parameters"],
        "validation_model": MODEL,
        "ensemble": {
            "members": [member for ensemble in ensembles for member in ensemble["members"]],
            "views": list(dict.fromkeys(view for ensemble in ensembles for view in ensemble["views"])),
            "combine": CASCADE_FORMAT,
            "fitted": {
                "small": small.summary.name,
                "large": large.summary.name,
                "asked_share": round(asked, 4),
                **routing.to_dict(),
            },
            "validated_by": " + ".join(dict.fromkeys(ensemble["validated_by"] for ensemble in ensembles)),
        },
    }


def _precision(small: CandidateFiles, large: CandidateFiles) -> str:
    """The fewest bits of the two: by them the self-test of a bundle knows what other processors may change."""
    found = {files.export.get("precision", FLOAT32) for files in (small, large)}
    return next(precision for precision in (INT8, FLOAT16, FLOAT32) if precision in found)
