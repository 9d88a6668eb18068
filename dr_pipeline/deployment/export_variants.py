"""Writes an exported candidate in fewer bits: exports that validation, latency and package take as any other.

Whether one is deployed is decided by `select`, on its own grades and time; one that cannot be written is a row there.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from dr_pipeline.bundle.bundle_files import MODEL, WEIGHTS
from dr_pipeline.bundle.session import FLOAT16, INT8, OnnxModel
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.candidate_formats import EXPORT, REFUSAL
from dr_pipeline.deployment.format_source import calibration_inputs, require_trained_on
from dr_pipeline.deployment.formats.onnx_graph import write_onnx
from dr_pipeline.deployment.formats.onnx_half import half
from dr_pipeline.deployment.formats.onnx_int8 import quantise
from dr_pipeline.deployment.parity import Parity, compare_logits
from dr_pipeline.errors import DrPipelineError, ParamsError
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.logs import logger
from dr_pipeline.params.candidate import FITTED
from dr_pipeline.schema import Split
from dr_pipeline.tables.splits import SplitRow, read_splits, select_split

PRECISIONS = {"onnx-fp16": FLOAT16, "onnx-int8": INT8}


@dataclass(frozen=True)
class Variant:
    """Attributes:
    name: The format.
    parity: Agreement with the float32 network on the validation photographs; None: it was not written.
    refusal: Why it was not written; empty: it was.
    """

    name: str
    parity: Parity | None
    refusal: str = ""


def export_variants(
    export: Path, store: CanvasStore, splits: Path, names: Sequence[str], *, calibration: int
) -> list[Variant]:
    """Writes a folder for each format below the candidate's; folders of other formats are removed.

    The decision of each is fitted by `validate` on its own logits: rounding shifts them, and the operating point must
    be that of the network which ships.

    Args:
        export: Folder that `export` wrote, float32.
        store: The canvases of its training.
        splits: The split of its training.
        names: Keys of PRECISIONS.
        calibration: Training photographs to measure ranges on, or all of fewer; their number stands in export.json.

    Raises:
        GateError: Other canvases or another split.
    """
    for path in sorted(export.glob(f"*/{EXPORT}")):
        shutil.rmtree(path.parent)
    facts = read_json(export / EXPORT)
    require_trained_on(facts, store, splits)
    rows = read_splits(splits)
    return [_variant(export, facts, store, rows, name, calibration) for name in names]


def _variant(
    export: Path, facts: dict[str, Any], store: CanvasStore, rows: Sequence[SplitRow], name: str, calibration: int
) -> Variant:
    out = export / name
    described = facts | {"format": name, "precision": PRECISIONS[name]}
    try:
        described |= _write(export, facts, store, rows, name, calibration)
    except Exception as error:  # converters raise what they like; one format must not end the candidate
        if not isinstance(error, DrPipelineError):
            logger.warning("%s failed", name, exc_info=True)
        text = error.what if isinstance(error, DrPipelineError) else str(error).partition("\n")[0][:200]
        refusal = f"{name} was not written: {text or type(error).__name__}"
        shutil.rmtree(out, ignore_errors=True)
        write_json(out / EXPORT, described | {REFUSAL: refusal})
        return Variant(name, None, refusal)
    write_json(out / EXPORT, described)
    return Variant(name, Parity(**described["parity"]))


def _write(
    export: Path, facts: dict[str, Any], store: CanvasStore, rows: Sequence[SplitRow], name: str, calibration: int
) -> dict[str, Any]:
    """Writes the networks, and returns what export.json states of them."""
    if facts["ensemble"]["combine"] in FITTED:
        raise ParamsError(
            f"an ensemble with fitted weights ({facts['ensemble']['combine']}) is validated on its members in float32",
            todo="set combine to mean, or stay with float32",
        )
    out, validated, px = export / name, facts["validation_model"], facts["input_px"]
    training = select_split(rows, Split.TRAIN, facts["fold"])
    for file in dict.fromkeys((MODEL, validated)):
        model = onnx.load(export / file)
        if name == "onnx-int8":
            model = quantise(model, calibration_inputs(store, training, px, calibration, at_least=1))
        else:
            model = half(model)
        write_onnx(model, out / file, precision=PRECISIONS[name])
    shutil.copyfile(export / WEIGHTS, out / WEIGHTS)
    image_ids = [row.image_id for row in select_split(rows, Split.VALIDATION, facts["fold"])]
    networks = [OnnxModel(path, threads=1) for path in (export / validated, out / validated)]
    parity = compare_logits(*(canvas_logits(network.logits, store, image_ids, px) for network in networks))
    described = {"onnx_sha256": sha256_file(out / MODEL), "parity": asdict(parity)}
    return described | ({"calibration": min(calibration, len(training))} if name == "onnx-int8" else {})
