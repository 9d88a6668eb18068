"""Adapts a bundle's batch normalisation to photographs of another site, without labels, and writes a child bundle."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dr_pipeline.bundle.adapted import adapted_metadata
from dr_pipeline.bundle.bundle_files import LESIONS, WEIGHTS
from dr_pipeline.bundle.decision import Decided
from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.read import Bundle, read_bundle
from dr_pipeline.bundle.reference import read_reference
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.verify import verified_content, verify_weights
from dr_pipeline.bundle.write import require_new_folder, write_bundle
from dr_pipeline.bundle_storage import as_folder
from dr_pipeline.deployment.class_shares import require_no_child
from dr_pipeline.deployment.formats.attribution_part import attribution_part
from dr_pipeline.deployment.formats.onnx_graph import export_onnx
from dr_pipeline.deployment.parity import compare_logits, require_parity
from dr_pipeline.deployment.sbom import runtime_sbom
from dr_pipeline.errors import BundleError, DataError, ImageError
from dr_pipeline.files import printable, sha256_file
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.intake.photographs import list_photographs
from dr_pipeline.logs import progress
from dr_pipeline.models.grader import Grader, grader_from_spec
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.trained_weights import load_strict
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.training.optimization import adapt_batch_norm

MIN_PHOTOGRAPHS = 50  # fewer give statistics that depend on who happened to come
_MAX_PHOTOGRAPHS = 2000  # at even distances over the folder; more change the statistics little, and are kept in memory
_BATCH = 32


@dataclass(frozen=True)
class Adapted:
    """What was done.

    Attributes:
        child: The bundle that was written, as it was read back.
        report: Numbers of photographs, and how many answers changed.
    """

    child: Bundle
    report: dict[str, Any]


def adapt_bundle(root: Path, photographs: Path, out: Path, *, site: str) -> Adapted:
    """Re-estimates the statistics of batch normalisation on gradable photographs without labels (AdaBN).

    No weight is trained and the decision stays as it is. Whether the child grades this site better is not known without
    labels: its report states how many answers changed, not whether for the better.

    Args:
        root: The parent: one network on one view, with batch normalisation.
        photographs: A folder of the site's photographs.
        out: The folder of the child, which is new or empty.
        site: Name of the site; empty: unknown. Where the bundle has a quality threshold for it, that applies.

    Raises:
        BundleError: The parent is damaged, an ensemble, recalibrated, or without batch normalisation.
        DataError: Fewer than 50 photographs are gradable, or there is something at `out`.
    """
    require_new_folder(out, parent=root)
    parent = read_bundle(root, threads=torch.get_num_threads())
    verify_weights(root)
    require_no_child(parent)
    grader = _grader(parent)
    inputs, num_files = _model_inputs(parent, photographs, site)
    if not adapt_batch_norm(grader, _batches(inputs)):
        raise BundleError("the network has no batch normalisation", where=str(root), todo="recalibrate with labels")
    with tempfile.TemporaryDirectory() as folder:
        model, weights = Path(folder) / "model.onnx", Path(folder) / "weights.safetensors"
        export_onnx(grader, input_px=parent.model.input_px, path=model)
        write_tensors(grader.state_dict(), weights)
        exported = OnnxModel(model, threads=torch.get_num_threads())
        _require_parity(grader, exported, inputs)
        report = _report(parent, exported, inputs, site=site, num_files=num_files)
        reference = read_reference(parent.root)
        write_bundle(
            out,
            model=model.read_bytes(),
            weights=weights.read_bytes(),
            metadata=adapted_metadata(parent.metadata, parent.decision, sha256_file(model), report),
            golden=make_golden(exported, parent.decision),
            reference=reference.without_scores() if reference else None,
            sbom=runtime_sbom(),
            explain=attribution_part(model.read_bytes()),
            lesions=verified_content(parent.root).get(LESIONS, b""),
        )
    verify_weights(out)
    return Adapted(read_bundle(out, threads=1), report)


def _grader(parent: Bundle) -> Grader:
    described = parent.metadata["model"]
    ensemble = described["ensemble"]
    networks = 1 if ensemble["combine"] == "soup" else len(ensemble["members"])
    if networks > 1 or ensemble["views"] != ["identity"]:
        raise BundleError(
            f"combines {networks} network(s) on {len(ensemble['views'])} view(s); one network on one view is needed",
            where=str(parent.root),
            todo="recalibrate it with labelled photographs, or adapt the bundle of a single network",
        )
    grader = grader_from_spec(described)
    with as_folder(parent.root) as folder:
        load_strict(grader, folder / WEIGHTS)
    return grader.eval()


def _model_inputs(parent: Bundle, photographs: Path, site: str) -> tuple[NDArray[np.uint8], int]:
    """The inputs (N, side, side, 3) of gradable photographs, and how many files there are."""
    listing = list_photographs(photographs, photographs)
    paths = listing.photographs
    drawn = paths[:: max(1, -(-len(paths) // _MAX_PHOTOGRAPHS))]
    inputs = []
    for path in progress(drawn, label="adapt", total=len(drawn)):
        try:
            photograph = parent.pixel_path.process(read_image_file(photographs / path), find_text=False)
        except ImageError:
            continue  # counted: `photographs` less `used`
        status, _ = parent.gradability.apply(photograph.quality.status, photograph.quality.score, site=site)
        if status is Status.SCORED:
            inputs.append(model_input(photograph.canvas, parent.model.input_px))
    if len(inputs) < MIN_PHOTOGRAPHS:
        raise DataError(
            f"{len(inputs)} of {len(drawn)} photographs are gradable; at least {MIN_PHOTOGRAPHS} are needed",
            where=printable(photographs),
            todo="add photographs of the site",
        )
    return np.stack(inputs), len(paths) + len(listing.unnameable)


def _batches(inputs: NDArray[np.uint8]) -> Iterator[torch.Tensor]:
    """Shuffled, so that a batch is not of one day; a rest of one photograph joins the batch before it."""
    order = np.random.default_rng(0).permutation(len(inputs))
    starts = range(0, len(order) - 1, _BATCH)
    for start in progress(starts, label="statistics", total=len(starts)):
        end = start + _BATCH if len(order) - (start + _BATCH) > 1 else len(order)
        yield torch.from_numpy(inputs[order[start:end]])
        if end == len(order):
            return


def _require_parity(grader: Grader, exported: OnnxModel, inputs: NDArray[np.uint8]) -> None:
    some = inputs[: 2 * _BATCH]
    with torch.inference_mode():
        reference = grader(torch.from_numpy(some)).numpy()
    require_parity(compare_logits(reference, exported.logits(some)), where="the adapted network")


def _report(
    parent: Bundle, exported: OnnxModel, inputs: NDArray[np.uint8], *, site: str, num_files: int
) -> dict[str, Any]:
    before, after = (_decided(parent, model, inputs) for model in (parent.model, exported))
    return {
        "site": site,
        "method": "statistics of batch normalisation re-estimated on photographs without labels "
        "(AdaBN, Li et al. 2016, arXiv:1603.04779)",
        "validated": "no: without labels nobody knows whether these grades are better; label at least 50 photographs "
        "and compare the two bundles",
        "photographs": num_files,
        "used": len(inputs),
        "changed_grades": int((before.grade != after.grade).sum()),
        "changed_referable": int((before.referable != after.referable).sum()),
        "mean_expected_grade_before": round(float(before.expected_grade.mean()), 4),
        "mean_expected_grade_after": round(float(after.expected_grade.mean()), 4),
        "research_use": RESEARCH_USE,
    }


def _decided(parent: Bundle, model: OnnxModel, inputs: NDArray[np.uint8]) -> Decided:
    batches: Sequence[NDArray[np.uint8]] = [inputs[at : at + _BATCH] for at in range(0, len(inputs), _BATCH)]
    return parent.decision.apply(np.concatenate([model.logits(batch) for batch in batches]))
