"""The first page: two columns, and a banner at the figures wherever they may not hold elsewhere."""

from dataclasses import replace

import pytest

from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.headline import PRECEDENT, evidence_limits, headlines
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.reporting.report_page import render
from tests.factories.html_tags import Tags
from tests.factories.reports import external_report, images, sources

pytestmark = pytest.mark.slow


def unknown_patients(shown: Sources, count: int = 40) -> Sources:
    return replace(shown, split=dict(shown.split) | {"photographs_of_unknown_patients": count})


def validated(shown: Sources) -> Sources:
    return replace(shown, external={"far <away>": external_report()})


def test_each_cause_has_its_sentence_and_none_is_left_only_where_all_is_known() -> None:
    real = sources(adapter="folder")
    assert evidence_limits(validated(real)) == []
    (internal,) = evidence_limits(real)
    assert internal.startswith("Internal test only: these 124 photographs")
    (unknown,) = evidence_limits(validated(unknown_patients(real)))
    assert unknown.startswith("Patients unknown: of 40 of the 640 graded photographs")
    assert len(evidence_limits(unknown_patients(real))) == 2
    assert evidence_limits(validated(sources()))[0].startswith("The photographs are drawn by a program")
    drawn = replace(real, external={"drawn": external_report() | {"protocol": {"adapter": "synthetic"}}})
    assert evidence_limits(drawn) == [internal]


@pytest.mark.parametrize(
    "change", [unknown_patients, lambda shown: shown, lambda shown: validated(unknown_patients(shown))]
)
def test_the_banner_stands_in_the_box_of_the_figures_before_them(change: object) -> None:
    shown = change(sources(adapter="folder"))  # type: ignore[operator]
    page = render(shown, images())
    box = page.partition('<div class="headline limited">')[2].partition("</table>")[0]
    first = f"<b>{shown.test['qwk']['value']:.3f}</b>"
    for text in (*evidence_limits(shown), PRECEDENT):
        assert 0 < box.index(text) < box.index(first)
    assert page.index('<div class="headline') < page.index("<nav")


def test_no_banner_without_a_cause() -> None:
    page = render(validated(sources(adapter="folder")), images())
    assert 'class="limits"' not in page
    assert '<div class="headline">' in page
    assert PRECEDENT not in page


def test_headlines_have_two_columns_with_interval_and_n() -> None:
    shown = sources()
    rows = {row.label: row for row in headlines(shown)}
    assert len(rows) == 5
    page = render(shown, images())
    for row in rows.values():
        for figure in (row.every, row.gradable):
            assert f"<b>{figure['value']:.3f}</b>" in page
            assert f"interval {figure['low']:.3f}–{figure['high']:.3f}, n&nbsp;=&nbsp;{figure['n']}" in page
    assert rows["Quadratic weighted kappa"].gradable["n"] < rows["Quadratic weighted kappa"].every["n"]


def test_an_undefined_headline_states_why() -> None:
    undefined = {"value": None, "low": None, "high": None, "n": 0, "note": "undefined: all of one grade"}
    alone = {"value": 0.5, "low": None, "high": None, "n": 2, "note": "no interval: too few groups"}
    shown = sources()
    test = dict(shown.test) | {"referable_auc": undefined, "qwk": alone}
    page = render(replace(shown, test=test), images())
    assert "<b>–</b><small>undefined: all of one grade (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0)</small>" in page
    assert "no interval: too few groups, n&nbsp;=&nbsp;2" in page


def test_other_data_sets_stand_on_the_first_page_and_in_their_section() -> None:
    shown = validated(sources(adapter="folder"))
    page = render(shown, images())
    report = shown.external["far <away>"]
    assert page.count(format_figure(report["figures"]["qwk"])) >= 2
    assert '<th scope="row"><a href="#external">far &lt;away&gt;</a></th>' in page
    assert "<h3>far &lt;away&gt;</h3>" in page
    section = page.partition('<h2 id="external">')[2].partition("<h2")[0]
    assert "<li>copies &lt;b&gt; are left out</li>" in section
    for figure in (report["recalibration"]["after"]["qwk"], report["repeatability"]["qwk"]):
        assert format_figure(figure) in section
    assert "Subgroups of far" in section
    assert "far <away>" not in page
    assert Tags(page).scripts == 0


def test_without_another_data_set_the_section_says_so() -> None:
    assert "None in this run: every figure of this page is internal." in render(sources(), images())
