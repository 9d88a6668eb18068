"""The curves as rows for `dvc plots`."""

from dataclasses import replace

import numpy as np
import yaml

from dr_pipeline.reporting.curves import CURVES, curves
from tests.factories import REPOSITORY
from tests.factories.reports import sources


def test_each_curve_has_the_columns_that_dvc_draws() -> None:
    rows = curves(sources())
    assert tuple(rows) == CURVES
    plots = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]
    drawn = {name: axes for plot in plots for name, axes in plot.items() if name.startswith("reports/curves/")}
    assert set(drawn) == {f"reports/curves/{name}.json" for name in CURVES}
    for name in CURVES:
        axes = drawn[f"reports/curves/{name}.json"]
        columns = {axes["x"], *(axes["y"] if isinstance(axes["y"], list) else [axes["y"]])}
        assert columns <= set(rows[name][0])


def test_the_curves_are_those_of_the_report() -> None:
    shown = sources()
    rows = curves(shown)
    assert (rows["roc"][0]["sensitivity"], rows["roc"][-1]["false_positive_rate"]) == (0, 1)
    assert sum(row["n"] for row in rows["reliability"]) == shown.test["n"]
    assert len(rows["workload"]) == len(shown.test["screening"]["workload"])
    assert rows["risk_coverage"][-1]["coverage"] == 1
    assert rows["risk_coverage"][-1]["wrong_grade"] == shown.test["uncertainty"]["wrong_grade"]["risk"]["value"]


def test_one_class_only_has_no_roc() -> None:
    shown = sources()
    only = replace(shown, graded=replace(shown.graded, true=np.full_like(shown.graded.true, 3)))
    assert curves(only)["roc"] == []
