"""Packs the selected candidate into the bundle, after checking that its parts belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.attribution import read_attribution
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.lesions import read_lesions
from dr_pipeline.bundle.metadata import PACKAGES, build_metadata
from dr_pipeline.bundle.read import Bundle, read_bundle
from dr_pipeline.bundle.reference import read_reference
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.deployment.formats.attribution_part import attribution_part
from dr_pipeline.deployment.population import development_population
from dr_pipeline.deployment.sbom import runtime_sbom
from dr_pipeline.deployment.training_reference import DevelopmentData, development_pixels, training_reference
from dr_pipeline.errors import GateError
from dr_pipeline.files import read_json, sha256_bytes
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.machine import installed_version
from dr_pipeline.schema import Split


@dataclass(frozen=True)
class CandidateParts:
    """Where the parts of the selected candidate lie.

    Attributes:
        export: Folder of model.onnx, weights.safetensors and export.json.
        decision: decision.json.
        validation: Validation figures (JSON).
        latency: Latency figures (JSON).
        gradability: Quality thresholds (JSON).
        development: The photographs whose look and population the bundle states.
        lock: requirements.lock, for the hashes in the list of packages; None: without.
        intake: The report of `intake`, for the name of the data set; None: not named.
        lesions: lesions.onnx; None: the bundle finds no lesions.
    """

    export: Path
    decision: Path
    validation: Path
    latency: Path
    gradability: Path
    development: DevelopmentData
    lock: Path | None = None
    intake: Path | None = None
    lesions: Path | None = None


def package_candidate(name: str, parts: CandidateParts, out: Path, *, budget_ms: float) -> Bundle:
    """Writes the bundle and reads it back as a clinic would.

    Args:
        name: The selected candidate.
        parts: Where its files lie.
        out: The bundle's folder.
        budget_ms: The latency budget it was selected under, which `bench latency` compares with.

    Returns:
        The bundle as it was read back: hashes and self-test agree.

    Raises:
        GateError: The parts do not belong together.
        BundleError: `out` holds something else, or what was written cannot be read back.
        DataError: A file is missing.
    """
    export = read_json(parts.export / "export.json")
    decision = Decision.from_dict(read_json(parts.decision))
    gradability = Gradability.from_dict(read_json(parts.gradability))
    model = (parts.export / "model.onnx").read_bytes()
    weights = (parts.export / "weights.safetensors").read_bytes()
    hashes = {"onnx_sha256": sha256_bytes(model), "weights_sha256": sha256_bytes(weights)}
    require_consistent(export, decision, gradability, hashes=hashes)
    metadata = build_metadata(
        model_sha256=hashes["onnx_sha256"],
        pixel_path=PixelPath.from_dict(export["pixel_path"]),
        decision=decision,
        gradability=gradability,
        export=export,
        validation=read_json(parts.validation)["validation"][name],
        latency=read_json(parts.latency)["latency"][name] | {"budget_ms": budget_ms},
        versions={package: installed_version(package) for package in PACKAGES},
        development_pixels=development_pixels(parts.development),
        development=development_population(parts.development, read_json(parts.intake) if parts.intake else {}),
    )
    golden = make_golden(OnnxModel(model, threads=1), decision)
    reference = training_reference(
        parts.development, fold=export["fold"], splits_sha256=export["splits_sha256"], decision=decision
    )
    write_bundle(
        out,
        model=model,
        weights=weights,
        metadata=metadata,
        golden=golden,
        reference=reference,
        sbom=runtime_sbom(parts.lock),
        explain=attribution_part(model),
        lesions=parts.lesions.read_bytes() if parts.lesions else b"",
    )
    bundle = read_bundle(out, threads=1)
    read_reference(out)
    read_attribution(out, threads=1)
    read_lesions(out, threads=1)
    verify_weights(out)
    return bundle


def require_consistent(
    export: Mapping[str, Any], decision: Decision, gradability: Gradability, *, hashes: Mapping[str, str]
) -> None:
    """Checks that model, export.json, decision and thresholds belong to one split, and that none used its test part.

    Args:
        export: export.json.
        decision: As fitted by `validate`.
        gradability: As fitted by `gradability`.
        hashes: Hashes of the packed bytes, by their keys in export.json.

    Raises:
        GateError: They do not belong together, or the decision was not fitted on validation.
    """
    fitted_on = decision.fitted_on
    todo = "dvc repro"
    if fitted_on.get("split") != Split.VALIDATION:
        raise GateError(
            f"thresholds are fitted on validation only; these were fitted on {fitted_on.get('split')!r}",
            where="decision.json, fitted_on",
            todo=todo,
        )
    for key, sha256 in hashes.items():
        if export[key] != sha256:
            raise GateError(f"not the file that export.json describes: another {key}", where="export.json", todo=todo)
    for key in ("splits_sha256", "fold"):
        if str(export[key]) != fitted_on.get(key):
            raise GateError(
                f"the network was trained with {key} {export[key]}, its decision fitted with {fitted_on.get(key)}",
                where="decision.json, fitted_on",
                todo=todo,
            )
    if gradability.fitted_on.get("splits_sha256") != str(export["splits_sha256"]):
        raise GateError(
            "the quality thresholds were fitted on the development part of another split",
            where="gradability.json, fitted_on",
            todo=todo,
        )
