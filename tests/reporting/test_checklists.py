"""The reporting checklists: complete, answered from the run where it can, open where only a person can."""

import re
from dataclasses import replace

import pytest

from dr_pipeline.reporting.checklists import NAMES, fill, read_checklist, render
from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.run_answers import run_answers
from dr_pipeline.schema import RESEARCH_USE
from tests.factories.html_tags import Tags
from tests.factories.reports import external_report, sources

# Published numbers of items and of parts (15a, 15b …).
ITEMS = {"stard_ai": (40, 48), "tripod_ai": (27, 52), "claim_2024": (44, 44)}


@pytest.mark.parametrize("name", NAMES)
def test_every_published_item_is_there_once_and_in_order(name: str) -> None:
    numbers = [item.number for item in read_checklist(name).items]
    whole = [int(re.sub(r"\D", "", number)) for number in numbers]
    assert (len(set(whole)), len(numbers)) == ITEMS[name]
    assert whole == sorted(whole)
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", NAMES)
def test_every_item_is_answered_or_open(name: str) -> None:
    checklist = read_checklist(name)
    assert all(item.asks and (item.answers or item.open) for item in checklist.items)
    assert "doi:" in checklist.citation
    for row in fill(checklist, sources()):
        assert row.status == ("from the run" if not row.item.open else "in part" if row.answers else "open")


def test_every_answer_is_used_and_names_where_it_stands() -> None:
    used = {name for each in NAMES for item in read_checklist(each).items for name in item.answers}
    answers = run_answers(sources())
    assert used == set(answers)
    assert all(answer.text.endswith(".") and answer.where for answer in answers.values())
    assert not [answer.text for answer in answers.values() if re.search(r"\bNone\b", answer.text[1:])]


def test_answers_are_the_run_s_own() -> None:
    shown = sources(warnings=("grade 4 is absent",))
    answers = {name: answer.text for name, answer in run_answers(shown).items()}
    assert format_figure(shown.test["qwk"]) in answers["performance"]
    assert "660 photographs, 650 used after the audit, 640 graded" in answers["flow"]
    assert "camera <1> 500" in answers["cameras"]
    assert "Grade 4 is absent." in answers["limits"]
    assert answers["external_test"] == "None in this run."
    assert answers["updating"] == "None in this run."
    further = run_answers(replace(shown, external={"far": external_report()}))
    assert further["external_test"].text == "far (n = 150)."
    assert further["study_goal"].text.endswith("external validation on far (n = 150).")


def test_a_bundle_without_its_population_says_not_stated() -> None:
    shown = sources()
    bundle = {name: value for name, value in shown.bundle.items() if name != "development"}
    assert run_answers(replace(shown, bundle=bundle))["cameras"].text.endswith("not stated.")


def test_the_page_is_self_contained_escaped_and_marks_what_is_open() -> None:
    page = render(sources(adapter="folder <i>"))
    tags = Tags(page)
    assert all(load.startswith("#") for load in tags.loads)
    assert tags.scripts == 0
    assert RESEARCH_USE in page
    for text in ("phantom <b>", "camera <1>", "hill <1>", "folder <i>"):
        assert text not in page
        assert text.replace("<", "&lt;").replace(">", "&gt;") in page
    assert page.count("To be answered: ") == sum(bool(i.open) for n in NAMES for i in read_checklist(n).items)
    assert "Tejani" in page
    assert "Collins" in page
    assert "Sounderajah" in page
