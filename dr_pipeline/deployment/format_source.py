"""Reads what the formats are written from: a bundle, or a candidate that `export` and `validate` wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.bundle.bundle_files import MODEL, SUMS, WEIGHTS
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import FLOAT32
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.candidate_formats import CASCADE_FORMAT
from dr_pipeline.deployment.formats import FormatSource, Inputs
from dr_pipeline.errors import DataError, GateError
from dr_pipeline.files import read_json, sha256_bytes, sha256_file
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.schema import Split
from dr_pipeline.tables.splits import SplitRow, read_splits, select_split

MIN_CALIBRATION = 300
_EXPORT = "export.json"


@dataclass(frozen=True)
class Deployed:
    """A network that is deployed or could be.

    Attributes:
        source: What its formats are written from.
        decision: Fitted on its validation photographs.
        store: The canvases.
        validation: The validation photographs of its fold.
    """

    source: FormatSource
    decision: Decision
    store: CanvasStore
    validation: Sequence[SplitRow]


def read_deployed(
    path: Path, *, decision: Path | None, canvases: Path, splits: Path, calibration: int = MIN_CALIBRATION
) -> Deployed:
    """Reads a network with the photographs to check it on.

    Args:
        path: A bundle, or the folder that `export` wrote for a candidate.
        decision: decision.json of a candidate, which `validate` wrote; a bundle has its own.
        canvases: Folder of the canvases it was trained on.
        splits: Table of the split it was trained on.
        calibration: Number of training photographs for int8.

    Raises:
        BundleError: The bundle fails its checks.
        DataError: A file is missing, or `path` is neither, or is of fewer bits than float32.
        GateError: Network, decision, canvases and split do not belong together.
    """
    if (path / SUMS).is_file():
        facts, network, fitted = _read_bundle(path)
    elif (path / _EXPORT).is_file():
        facts, network, fitted = _read_candidate(path, decision)
    else:
        raise DataError(
            f"neither a bundle's folder ({SUMS}) nor a candidate's ({_EXPORT})",
            where=str(path),
            todo="name data/release, or data/exports/CANDIDATE",
        )
    if facts["ensemble"]["combine"] == CASCADE_FORMAT:
        raise DataError(
            "two networks in a row; formats are written from one network",
            where=str(path),
            todo="name one of its candidates, such as data/exports/lite0, and its --decision",
        )
    store, rows = CanvasStore(canvases), read_splits(splits)
    require_trained_on(facts, store, splits)
    if fitted.fitted_on.get("split") != Split.VALIDATION or fitted.fitted_on.get("fold") != str(facts["fold"]):
        raise GateError(
            "the decision was not fitted on the validation photographs of the network's fold",
            where=str(path),
            todo="name a bundle as `package` wrote it, or a candidate: a recalibrated decision is another site's",
        )
    training = select_split(rows, Split.TRAIN, facts["fold"])
    source = FormatSource(
        onnx=network,
        facts=facts,
        weights=path / WEIGHTS,
        temperature=fitted.temperature,
        calibration=partial(calibration_inputs, store, training, facts["input_px"], calibration),
    )
    return Deployed(source, fitted, store, select_split(rows, Split.VALIDATION, facts["fold"]))


def calibration_sample(rows: Sequence[SplitRow], count: int) -> list[SplitRow]:
    """`count` of the photographs, or all of fewer, with each grade and site in its proportion; the same each time."""
    ordered = sorted(rows, key=lambda row: (row.grade, row.site, sha256_bytes(row.image_id.encode())))
    taken = min(count, len(ordered))
    return [ordered[index * len(ordered) // taken] for index in range(taken)]


def calibration_inputs(
    store: CanvasStore, training: Sequence[SplitRow], input_px: int, count: int, *, at_least: int = MIN_CALIBRATION
) -> Inputs:
    """Training photographs as model inputs, uint8 RGB (1, input_px, input_px, 3).

    Raises:
        DataError: There are fewer than `at_least`.
    """
    rows = calibration_sample(training, count)
    if len(rows) < at_least:
        raise DataError(
            f"int8 is calibrated on at least {at_least} training photographs; given {len(rows)}",
            todo="stay with float32, or train on more photographs",
        )
    return (model_input(store.read(row.image_id), input_px)[np.newaxis] for row in rows)


def require_trained_on(facts: Mapping[str, Any], store: CanvasStore, splits: Path) -> None:
    """Raises GateError where the network that `facts` describe was trained on other canvases or another split."""
    if store.pixel_path.to_dict() != facts["pixel_path"] or sha256_file(splits) != facts["splits_sha256"]:
        raise GateError(
            "the network was trained on other canvases or another split",
            where=f"{store.root}, {splits}",
            todo="name those of its training with --canvases and --splits",
        )


def _read_bundle(path: Path) -> tuple[Mapping[str, Any], bytes, Decision]:
    bundle = read_bundle(path, threads=1)
    if bundle.model.precision != FLOAT32:
        raise DataError(
            f"the bundle's network is {bundle.model.precision}; formats are written from the float32 network",
            where=str(path),
            todo="name the candidate it was made from, such as data/exports/lite0, and its --decision",
        )
    verify_weights(path)
    facts = bundle.metadata["model"] | {
        "pixel_path": bundle.pixel_path.to_dict(),
        "splits_sha256": bundle.metadata["data_hashes"]["splits_sha256"],
    }
    return facts, (path / MODEL).read_bytes(), bundle.decision


def _read_candidate(path: Path, decision: Path | None) -> tuple[Mapping[str, Any], bytes, Decision]:
    facts = read_json(path / _EXPORT)
    if decision is None:
        raise DataError("a candidate has no decision of its own", where=str(path), todo="name it with --decision")
    try:
        network = (path / MODEL).read_bytes()
        hashes = {"onnx_sha256": sha256_bytes(network), "weights_sha256": sha256_file(path / WEIGHTS)}
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(error.filename)) from None
    for key, sha256 in hashes.items():
        if facts[key] != sha256:
            raise GateError(f"not the file that {_EXPORT} describes: another {key}", where=str(path), todo="dvc repro")
    fitted = Decision.from_dict(read_json(decision))
    if fitted.fitted_on.get("splits_sha256") != facts["splits_sha256"]:
        raise GateError("the decision was fitted on another split", where=str(decision), todo="dvc repro")
    return facts, network, fitted
