"""A section of the report is one file and one registration."""

import re

import pytest
from markupsafe import Markup

from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.reporting.report_page import render
from dr_pipeline.reporting.report_sections import SECTIONS, Section
from tests.factories.reports import images, sources

pytestmark = pytest.mark.slow


def test_a_further_section_is_shown_and_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapter(shown: Sources) -> Markup:
        return Markup('<h2 id="site">Site</h2><p>{}</p>').format(shown.intake["adapter"])

    shown = sources(adapter="clinic <b>")
    before = render(shown, images())
    monkeypatch.setattr(
        "dr_pipeline.reporting.report_page.SECTIONS", [*SECTIONS, Section("site", "Site", html=adapter)]
    )
    page = render(shown, images())
    assert page.index('<h2 id="provenance">') < page.index('<h2 id="site">Site</h2>')
    assert '<a href="#site">Site</a>' in page
    assert '<h2 id="site">Site</h2><p>clinic &lt;b&gt;</p>' in page
    assert "site" not in re.findall(r'<h2 id="(\w+)">', before)


def test_sections_have_their_headings() -> None:
    shown = sources()
    page = render(shown, images())
    positions = [page.index(f'<h2 id="{section.anchor}">') for section in SECTIONS]
    assert positions == sorted(positions)
