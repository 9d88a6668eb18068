"""The report's page: self-contained, complete, escaped; it names what a reader must know."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dr_pipeline.reporting.cases_page import Case
from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.reporting.report_page import missed_vision_threatening, render
from dr_pipeline.reporting.report_plots import report_figures
from dr_pipeline.schema import RESEARCH_USE
from tests.factories.html_tags import Tags
from tests.factories.reports import images, sources

pytestmark = pytest.mark.slow

ONE_MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(sources(warnings=("grade 4 is absent",)))


def page_of(shown: Sources) -> str:
    return render(shown, images())


def test_it_needs_nothing_else_and_is_whole(page: str) -> None:
    tags = Tags(page)
    assert tags.loads
    assert all(load.startswith(("data:image/", "#")) for load in tags.loads)
    assert not re.search(r"<script|@import|url\(", page)
    assert len(page.encode()) < ONE_MEGABYTE


def test_it_says_what_a_reader_must_know(page: str) -> None:
    shown = sources()
    assert page.count(RESEARCH_USE) >= 2
    assert "grade 4 is absent" in page
    assert format_figure(shown.test["qwk"]) in page
    assert format_figure(shown.validation["lite0"]["qwk"]) in page
    assert format_figure(shown.test["gradable"]["qwk"]) in page
    assert format_figure(shown.test["baselines"]["majority_grade"]["accuracy"]) in page
    assert "18.2 (16.4–20.0)" in page
    assert "memory at most 300.0 MiB" in page
    assert "no: the large network is never asked" in page
    for text in ("Test CPU", "f" * 16, "b" * 16, "a" * 64, "tie, not taken", "The rule in one sentence.", "2 time(s)"):
        assert text in page


def test_a_format_of_fewer_bits_is_compared_with_float32(page: str) -> None:
    assert "-0.002 [-0.007–0.001], n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}130" in page
    assert '3 of 130</td><td class="number">1 of 130</td><td class="number">1.84' in page


def test_screening_uncertainty_and_baselines_are_shown(page: str) -> None:
    test, text = sources().test, re.sub(r"[ \n]+", " ", page)  # a no-break space stays
    screened = test["screening"]["intention_to_screen"]
    for figure in (
        screened["referable_sensitivity"],
        screened["at_prevalence"][0]["ppv"],
        test["detection"]["at_least"]["4"]["auc"],
        test["agreement"]["linear_kappa"],
        test["agreement"]["precision"]["3"],
        test["uncertainty"]["wrong_grade"]["entropy"]["aurc"],
        test["baselines"]["majority_grade"]["model_minus_baseline"],
    ):
        assert format_figure(figure) in text
    assert "a photograph that the quality gate rejects (8) counts as referred" in text
    assert "Preferred by it: temperature" in text


def test_every_anchor_has_its_section(page: str) -> None:
    for name in re.findall(r'href="#(\w+)"', page):
        assert f'id="{name}"' in page


def test_names_from_data_are_escaped(page: str) -> None:
    assert "phantom &lt;b&gt;" in page
    assert "phantom <b>" not in page


def test_each_site_has_a_line_with_its_figures_and_its_own_threshold(page: str) -> None:
    text = " ".join(page.split())
    assert "By site, test" in text
    assert "<td>hill &lt;1&gt;</td>" in text
    assert "<td>sea</td>" in text
    assert "each site by itself reaches the target sensitivity at: hill &lt;1&gt; 0." in text


def test_missed_vision_threatening_disease_is_listed_the_worst_first(page: str) -> None:
    shown = sources()
    true, predicted = np.array([3, 4, 4, 2]), np.array([1, 0, 4, 0])
    graded = replace(
        shown.graded,
        image_ids=("three-as-one", "four-as-none", "right", "moderate-as-none"),
        true=true,
        predicted=predicted,
        expected=predicted.astype(float),
        referable_probability=np.array([0.3, 0.1, 0.9, 0.2]),
    )
    assert [graded.image_ids[row] for row in graded.missed_vision_threatening()] == ["four-as-none", "three-as-one"]
    section = page_of(replace(shown, graded=graded)).partition('id="errors"')[2].partition("<h2")[0]
    assert "2 of the 3 test photographs" in section
    assert section.index("four-as-none") < section.index("three-as-one")
    assert "moderate-as-none" not in section


def test_photographs_of_people_stay_out() -> None:
    text = page_of(sources(adapter="idrid"))
    assert "image/jpeg" not in text
    assert "Photographs of people are not put into a report" in text


def test_figures_are_undefined_where_they_are() -> None:
    undefined = {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "note": "undefined: no photograph, or all of one grade",
    }
    shown = sources()
    text = page_of(replace(shown, test=dict(shown.test) | {"referable_specificity": undefined}))
    assert "undefined: no photograph, or all of one grade (n = 0)" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_one_kind_of_eye_gives_no_curve_and_says_so() -> None:
    shown = sources()
    only = replace(shown, graded=replace(shown.graded, true=np.full_like(shown.graded.true, 3)))
    figures = report_figures(only)
    assert "roc" not in figures
    assert "No ROC curve" in render(only, {name: data for name, data in images().items() if name in figures})


def test_quoted_figures_carry_interval_and_n() -> None:
    def shown(figure: dict[str, object]) -> str:
        return format_figure(figure).replace("\N{NO-BREAK SPACE}", " ")

    assert shown({"value": 0.8314, "low": 0.78, "high": 0.8821, "n": 120}) == "0.831 [0.780–0.882], n = 120"
    alone = {"value": 0.5, "low": None, "high": None, "n": 2, "note": "no interval: too few groups"}
    assert shown(alone) == "0.500, no interval: too few groups (n = 2)"


def test_layers_are_told_before_and_after_and_escaped(page: str) -> None:
    rows = re.findall(r"<tr><td>lite0-0</td>(.*?)</tr>", page)
    assert len(rows) == 2
    assert "0 of 96" in rows[0]
    assert "1.50" in rows[0]
    assert "3 of 96" in rows[1]
    assert "<code>backbone.&lt;act1&gt;</code> (ReLU) 3 of 16" in rows[1]
    assert "<act1>" not in page


def test_networks_without_batch_norm_have_no_shift() -> None:
    shown = sources()
    plain = {when: [layer for layer in found if layer.shift is None] for when, found in shown.layers["b0-0"].items()}
    assert "no BatchNorm" in page_of(replace(shown, layers={"b0-0": plain}))


@pytest.mark.parametrize("adapter", ["synthetic", "folder"])
def test_a_miss_has_its_quality_and_only_a_synthetic_one_its_pictures(adapter: str) -> None:
    shown = sources(adapter=adapter)
    plots = "histogram rejection pareto training layers confusion reliability workload net_benefit risk_coverage"
    images = dict.fromkeys([*plots.split(), *(["misses"] if adapter == "synthetic" else [])], b"<svg></svg>")
    (miss, *_) = missed_vision_threatening(shown)
    case = Case(miss["image_id"], miss["true"], miss["predicted"], (), "0.41 (dark)", b"\xff\xd8a", b"\xff\xd8b")
    page = render(shown, images, [case])
    assert "0.41 (dark)" in page
    assert page.count('what raised its grade">') == (adapter == "synthetic")
    assert ("data/cases.html" in page) == (adapter == "folder")
