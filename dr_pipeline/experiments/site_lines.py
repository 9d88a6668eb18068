"""The figures of each site of an experiment as lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from dr_pipeline.metrics.intervals import format_estimate

_SHOWN = {
    "qwk": "QWK",
    "referable_auc": "referable AUC",
    "accuracy": "accuracy",
    "macro_auc": "macro AUC",
    "macro_f1": "macro F1",
}


def site_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """A line per trained arm and site, each beginning with a line break; none where folds are not sites.

    Args:
        report: The report of `summary.summarise`.
    """
    side = "held out" if report["protocol"] == "leave_one_site_out" else "trained on"
    for arm in report["arms"]:
        for site in arm.get("by_site", ()):
            figures = ", ".join(f"{name} {format_estimate(site[key])}" for key, name in _SHOWN.items())
            yield f"\n  {arm['arm']}, {side} {site['site']}: {figures}"
        if "mean_of_sites" in arm:
            means = arm["mean_of_sites"]
            figures = ", ".join(
                f"{name} {means[key]['value']:.3f}" for key, name in _SHOWN.items() if means[key]["value"] is not None
            )
            yield f"\n  {arm['arm']}, mean of sites: {figures}"
