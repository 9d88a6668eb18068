"""metadata.json of a bundle whose batch normalisation was adapted to a site: the parent's, with another network."""

from collections.abc import Mapping
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.metadata import format_entries, identify
from dr_pipeline.bundle.recalibrated import site_text
from dr_pipeline.bundle.session import FLOAT32
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability


def adapted_metadata(
    parent: Mapping[str, Any], decision: Decision, model_sha256: str, report: Mapping[str, Any]
) -> dict[str, Any]:
    """Builds metadata.json of the child; decision, pixel path and quality thresholds are the parent's.

    Args:
        parent: metadata.json of the parent.
        decision: The parent's.
        model_sha256: Hash of the adapted model.onnx.
        report: Of the adaptation.
    """
    pixel_path = PixelPath.from_dict(parent["preprocessing"]["pixel_path"])
    gradability = Gradability.from_dict(parent["gradability"])
    return {
        **parent,
        **format_entries(),
        "bundle_id": identify(model_sha256, pixel_path, decision, gradability),
        "changelog": {__version__: "written by `dr-pipeline recalibrate`; see CHANGELOG.md of dr_pipeline"},
        "description": (
            f"Bundle {parent['bundle_id']} ({parent['name']}) with batch normalisation adapted to {report['used']} "
            f"photographs without labels of {site_text(report['site'])}; decision and weights are the parent's. "
            "The validation figures are the parent's, of before the adaptation: this network was not validated."
        ),
        "model": {**parent["model"], "sha256": model_sha256, "precision": FLOAT32},
        "adaptation": {**report, "parent": parent["bundle_id"]},
    }
