"""Runs each fold's network over the photographs that it did not see."""

from collections.abc import Sequence
from pathlib import Path

import torch

from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.errors import GateError
from dr_pipeline.evaluation.lesion_evidence import LesionEvidence, photograph_evidence, segment
from dr_pipeline.files import sha256_file
from dr_pipeline.logs import progress
from dr_pipeline.models.segmenter_files import SegmenterSpec, network_name, read_network


def lesion_evidence(
    store: LesionStore, networks: Path, spec: SegmenterSpec, *, folds: Sequence[int]
) -> list[LesionEvidence]:
    """Compares the networks with the truth, photograph by photograph.

    Args:
        store: The canvases with their folds.
        networks: The folder of the networks.
        spec: What model.json in it states.
        folds: Those that have a network.

    Raises:
        GateError: The networks were trained on other canvases.
        DataError: A network or a canvas is missing.
    """
    if sha256_file(store.index_path) != spec.index_sha256:
        raise GateError(
            "the networks were trained on other canvases, or on other folds of them",
            where=f"{networks} and {store.index_path}",
            todo="run `dvc repro train-lesions`",
        )
    evidence, device = [], "cuda" if torch.cuda.is_available() else "cpu"
    for fold in folds:
        network = read_network(networks, network_name(fold), spec).to(device)
        rows = [row for row in store.rows.values() if row.fold == fold]
        for row in progress(rows, label=f"fold {fold}"):
            canvas = store.read(row.image_id)
            maps = segment(network, canvas.pixels, tile_px=spec.training.tile_px, overlap=spec.training.overlap)
            kinds = photograph_evidence(maps, canvas.masks, spec.kinds, canvas.labelled)
            evidence.append(LesionEvidence(row.image_id, row.group, fold, kinds))
    return evidence
