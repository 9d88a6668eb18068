"""metadata.json of a recalibrated bundle: the parent's, with another decision and the figures of the new site."""

from collections.abc import Iterable, Mapping
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.metadata import format_entries, identify, short_hashes
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.metrics.intervals import is_estimate


def recalibrated_metadata(
    parent: Mapping[str, Any], decision: Decision, report: Mapping[str, Any], pixel_hashes: Iterable[str]
) -> dict[str, Any]:
    """Builds metadata.json of the child; network, pixel path and quality thresholds are the parent's.

    Args:
        parent: metadata.json of the parent.
        decision: Fitted on the new site.
        report: Of the recalibration: site, numbers, and the figures before, after and their difference.
        pixel_hashes: Of the photographs that the decision was fitted on.
    """
    pixel_path = PixelPath.from_dict(parent["preprocessing"]["pixel_path"])
    gradability = Gradability.from_dict(parent["gradability"])
    after = report["after"]
    return {
        **parent,
        **format_entries(),
        "bundle_id": identify(parent["model"]["sha256"], pixel_path, decision, gradability),
        "changelog": {__version__: "written by `dr-pipeline recalibrate`; see CHANGELOG.md of dr_pipeline"},
        "description": (
            f"Bundle {parent['bundle_id']} ({parent['name']}), recalibrated: the same network, with the decision "
            f"(calibration, cut points, thresholds) fitted on {report['photographs']} photographs of "
            f"{site_text(report['site'])}."
        ),
        "decision": decision.to_dict(),
        "validation": dict(after),
        "eval_metrics": {name: figure["value"] for name, figure in after.items() if is_estimate(figure)},
        "recalibration": {
            **{key: value for key, value in report.items() if key != "after"},  # `validation` holds these figures
            "parent": parent["bundle_id"],
            "pixel_hashes": short_hashes(pixel_hashes),
        },
    }


def site_text(site: str) -> str:
    """The site in words."""
    return f"the site {site}" if site else "a site without a name"
