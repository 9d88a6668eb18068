"""metadata.json of a recalibrated bundle: the parent's, with another decision and the figures of the new site."""

from collections.abc import Iterable, Mapping
from typing import Any

from dr_pipeline import __version__
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.metadata import identify
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.metrics.intervals import is_estimate

# Of a pixel hash, of which a million then differ with a probability of 1 - 3e-8.
_PIXEL_DIGITS = 16


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


def short_hashes(pixel_hashes: Iterable[str]) -> str:
    """The first 16 hexadecimal digits of each pixel hash, sorted, without repetition, with blanks between them."""
    return " ".join(sorted({pixel_hash[:_PIXEL_DIGITS] for pixel_hash in pixel_hashes if pixel_hash}))


def is_among(pixel_hash: str, hashes: frozenset[str]) -> bool:
    """Whether a photograph is one of those that `short_hashes` was given, split at its blanks."""
    return pixel_hash[:_PIXEL_DIGITS] in hashes


def site_text(site: str) -> str:
    """The site in words."""
    return f"the site {site}" if site else "a site without a name"
