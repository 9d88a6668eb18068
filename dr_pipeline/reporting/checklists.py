"""reports/checklists.html: CLAIM, STARD-AI and TRIPOD+AI, filled from the run; the rest is left open for a person.

The items stand in checklists/*.yaml, in our own short words: the published lists are what counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import yaml

from dr_pipeline.reporting.pages import environment
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.reporting.run_answers import Answer, run_answers
from dr_pipeline.schema import RESEARCH_USE

NAMES = ("stard_ai", "tripod_ai", "claim_2024")


@dataclass(frozen=True)
class Item:
    """One item of a list.

    Attributes:
        number: As published, such as `15c`.
        asks: What it asks for, in our words.
        answers: Names of `run_answers`.
        open: What only a person can answer; empty: nothing.
    """

    number: str
    asks: str
    answers: tuple[str, ...]
    open: str


@dataclass(frozen=True)
class Checklist:
    """A published list.

    Attributes:
        name: Such as `STARD-AI`.
        title: What it is for.
        citation: Where it was published.
        complete: Which of its items are here.
        items: In its order.
    """

    name: str
    title: str
    citation: str
    complete: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class FilledItem:
    """An item with the run's answers."""

    item: Item
    answers: tuple[Answer, ...]

    @property
    def status(self) -> str:
        """Who has answered it."""
        if not self.item.open:
            return "from the run"
        return "in part" if self.answers else "open"


def read_checklist(name: str) -> Checklist:
    """One of NAMES."""
    text = files("dr_pipeline.reporting").joinpath("checklists", f"{name}.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    items = tuple(
        Item(str(row["item"]), row["asks"], tuple(row["answers"]), row["open"]) for row in document.pop("items")
    )
    return Checklist(**document, items=items)


def fill(checklist: Checklist, sources: Sources) -> list[FilledItem]:
    """The items with what the run answers."""
    known = run_answers(sources)
    return [FilledItem(item, tuple(known[name] for name in item.answers)) for item in checklist.items]


def render(sources: Sources) -> str:
    """The page as HTML."""
    filled = [(checklist, fill(checklist, sources)) for checklist in map(read_checklist, NAMES)]
    page = environment("dr_pipeline.reporting").get_template("checklists.html.j2")
    return page.render(
        checklists=[(checklist, items, _counts(items)) for checklist, items in filled],
        bundle_id=sources.bundle["bundle_id"],
        research_use=RESEARCH_USE,
    )


def _counts(items: Sequence[FilledItem]) -> dict[str, int]:
    return {status: sum(item.status == status for item in items) for status in ("from the run", "in part", "open")}
