"""Makes the int8 variant of an exported candidate: an export that validation, latency and package take as any other."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import onnx

from dr_pipeline.bundle.session import INT8, OnnxModel
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.format_source import MIN_CALIBRATION, calibration_inputs, require_trained_on
from dr_pipeline.deployment.formats.onnx_graph import write_onnx
from dr_pipeline.deployment.formats.onnx_int8 import quantise
from dr_pipeline.deployment.parity import Parity, compare_logits
from dr_pipeline.errors import ParamsError
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.params.candidate import FITTED
from dr_pipeline.schema import Split
from dr_pipeline.tables.splits import read_splits, select_split


def quantise_candidate(
    export: Path, store: CanvasStore, splits: Path, out: Path, *, calibration: int = MIN_CALIBRATION
) -> Parity:
    """Writes the export folder of the int8 variant.

    Its decision is fitted by `validate` on its own logits. Whether it is deployed is decided by its QWK and latency.

    Args:
        export: Folder that `export` wrote, float32.
        store: The canvases of its training.
        splits: The split of its training.
        out: Folder to write.
        calibration: Number of training photographs.

    Returns:
        Agreement with the float32 network on the validation photographs; it also stands in export.json.

    Raises:
        ParamsError: The ensemble has fitted weights, whose validation needs float32 members.
        DataError: There are too few training photographs.
        GateError: Other canvases or another split; or the logits are off however many layers stay in float32.
    """
    facts = read_json(export / "export.json")
    require_trained_on(facts, store, splits)
    if facts["ensemble"]["combine"] in FITTED:
        raise ParamsError(
            f"an ensemble that is combined by fitted weights ({facts['ensemble']['combine']}) has no int8 variant",
            where=str(export),
            todo="set combine to mean, or stay with float32",
        )
    rows, validated, px = read_splits(splits), facts["validation_model"], facts["input_px"]
    training = select_split(rows, Split.TRAIN, facts["fold"])
    for name in dict.fromkeys(("model.onnx", validated)):
        photographs = calibration_inputs(store, training, px, calibration)
        write_onnx(quantise(onnx.load(export / name), photographs), out / name, precision=INT8)
    image_ids = [row.image_id for row in select_split(rows, Split.VALIDATION, facts["fold"])]
    parity = _agreement(export / validated, out / validated, store, image_ids)
    shutil.copyfile(export / "weights.safetensors", out / "weights.safetensors")
    changed = {"precision": INT8, "onnx_sha256": sha256_file(out / "model.onnx"), "parity": asdict(parity)}
    write_json(out / "export.json", facts | changed)
    return parity


def _agreement(reference: Path, quantised: Path, store: CanvasStore, image_ids: Sequence[str]) -> Parity:
    models = [OnnxModel(path, threads=1) for path in (reference, quantised)]
    logits = [canvas_logits(model.logits, store, image_ids, model.input_px) for model in models]
    return compare_logits(*logits)
