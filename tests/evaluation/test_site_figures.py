"""Figures and thresholds of each site by itself."""

import numpy as np

from dr_pipeline.evaluation.decision_fit import fit_decision
from dr_pipeline.evaluation.image_metrics import figures, select
from dr_pipeline.evaluation.site_figures import figures_by_site, thresholds_by_site
from tests.factories.experiments import EVALUATION, WANTED

RNG = np.random.default_rng(3)
TRUE = np.arange(120) % 5
LOGITS = -((np.arange(5) - TRUE[:, None] - 0.6 * RNG.normal(size=(120, 1))) ** 2)
GROUPS = [f"g{number}" for number in range(120)]
SITES = ["sea" if number % 3 else "hill" for number in range(120)]
DECIDED = fit_decision(LOGITS, TRUE, GROUPS, WANTED, seed=1, provenance={}).apply(LOGITS)


def test_each_sites_figures_are_those_of_its_photographs() -> None:
    hill, sea = figures_by_site(DECIDED, TRUE, GROUPS, SITES, EVALUATION)
    assert (hill["site"], hill["n"], sea["site"], sea["n"]) == ("hill", 40, "sea", 80)
    rows = np.flatnonzero(np.asarray(SITES) == "sea")
    alone = figures(select(DECIDED, rows), TRUE[rows], [GROUPS[row] for row in rows], EVALUATION)
    for name in ("qwk", "accuracy", "referable_auc", "referable_sensitivity", "referable_specificity"):
        assert sea[name] == alone[name]
    assert sea["by_grade"] == {"0": 16, "1": 16, "2": 16, "3": 16, "4": 16}


def test_one_site_has_no_table_and_unknown_ones_have_a_name() -> None:
    assert figures_by_site(DECIDED, TRUE, GROUPS, [""] * 120, EVALUATION) == []
    assert thresholds_by_site(DECIDED.referable_probability, TRUE, ["a"] * 120, 0.9) == []
    sites = ["" if number < 2 else "sea" for number in range(120)]
    unknown, _ = figures_by_site(DECIDED, TRUE, GROUPS, sites, EVALUATION)
    assert (unknown["site"], unknown["n"], unknown["referable_auc"]["value"]) == ("unknown", 2, None)


def test_a_sites_threshold_reaches_the_target_there() -> None:
    scores = DECIDED.referable_probability
    sites = [*(["none"] * 2), *SITES[2:]]
    found = {one["site"]: one for one in thresholds_by_site(scores, TRUE, sites, 0.9)}
    assert found["none"] == {"site": "none", "threshold": None, "referable": 0}
    rows = (np.asarray(sites) == "sea") & (TRUE >= 2)
    assert found["sea"]["referable"] == rows.sum()
    assert (scores[rows] >= found["sea"]["threshold"]).mean() >= 0.9
