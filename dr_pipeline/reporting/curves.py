"""reports/curves/*.json: the curves of the report as rows, which `dvc plots` draws."""

from typing import Any

from dr_pipeline.evaluation.reliability_bins import NUM_BINS, reliability_bins
from dr_pipeline.metrics.curves import roc_curve
from dr_pipeline.reporting.report_inputs import Sources

CURVES = ("roc", "reliability", "workload", "net_benefit", "risk_coverage")
_UNCERTAINTY = "closeness_to_cut"  # what sends a photograph to a human reader


def curves(sources: Sources) -> dict[str, list[dict[str, Any]]]:
    """The rows of each curve of the test split, by its name; `roc` has none where only one class occurs."""
    graded, test = sources.graded, sources.test
    roc = (
        roc_curve(graded.referable_probability, graded.referable)[:, :2].tolist()
        if graded.referable.any() and not graded.referable.all()
        else []
    )
    bins = reliability_bins(graded.referable, graded.referable_probability, NUM_BINS)
    screening = test["screening"]
    risks = test["uncertainty"]["wrong_grade"][_UNCERTAINTY]["curve"]
    return {
        "roc": [{"false_positive_rate": x, "sensitivity": y} for x, y in roc],
        "reliability": [{"predicted": each.predicted, "observed": each.hits / each.n, "n": each.n} for each in bins],
        "workload": [
            {"referred": row["referred"], "sensitivity": row["sensitivity"]["value"]} for row in screening["workload"]
        ],
        "net_benefit": [
            {"threshold": row["threshold"], "model": row["model"]["value"], "refer_all": row["refer_all"]}
            for row in screening["net_benefit"]
        ],
        "risk_coverage": [{"coverage": row["coverage"], "wrong_grade": row["risk"]["value"]} for row in risks],
    }
