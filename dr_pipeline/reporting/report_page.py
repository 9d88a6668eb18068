"""reports/index.html: one self-contained file, from the pipeline's documents and plots."""

from collections.abc import Mapping, Sequence
from typing import Any

from dr_pipeline.evaluation.published_figures import PUBLISHED
from dr_pipeline.reporting.cases_page import Case
from dr_pipeline.reporting.external_page import FILTERS, figure_rows
from dr_pipeline.reporting.format_figure import LABELS, format_figure, is_figure
from dr_pipeline.reporting.headline import PRECEDENT, evidence_limits, headlines, warnings
from dr_pipeline.reporting.layer_tables import summaries
from dr_pipeline.reporting.pages import environment
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.reporting.report_sections import SECTIONS
from dr_pipeline.schema import GRADE_NAMES, GRADES, RESEARCH_USE

_MAX_LISTED = 100  # missed photographs by name; the table of predictions holds them all


def render(sources: Sources, images: Mapping[str, bytes], missed: Sequence[Case] = ()) -> str:
    """The page as HTML.

    Args:
        sources: The documents it shows.
        images: Images by name: `histogram`, `rejection`, `pareto`, `training`, `layers`, `confusion`,
            `reliability`, `workload`, `net_benefit`, `risk_coverage`, `roc` (absent if the test split has one class
            only) as SVG, `misses` as JPEG (absent for photographs of people).
        missed: Vision-threatening disease called none or mild; its pictures are shown where `misses` is.
    """
    pages = environment("dr_pipeline.reporting")
    pages.filters |= FILTERS
    page = pages.get_template("index.html.j2")
    return page.render(
        sections=SECTIONS,
        s=sources,
        images=images,
        research_use=RESEARCH_USE,
        grades=[(grade, GRADE_NAMES[grade]) for grade in GRADES],
        comparison=comparison(sources),
        missed_vision_threatening=missed_vision_threatening(sources),
        missed={case.image_id: case for case in missed},
        max_listed=_MAX_LISTED,
        headlines=headlines(sources),
        evidence_limits=evidence_limits(sources),
        precedent=PRECEDENT,
        published=PUBLISHED,
        figure_rows=figure_rows,
        warnings=warnings(sources),
        layers={name: summaries(layers) for name, layers in sources.layers.items()},
    )


def comparison(sources: Sources) -> list[tuple[str, str, str, str]]:
    """Rows of the table of figures: name, validation, test, gradable photographs of test."""
    validation, test = sources.validation[sources.chosen], sources.test
    return [
        (label, format_figure(validation[name]), format_figure(test[name]), format_figure(test["gradable"][name]))
        for name, label in LABELS.items()
        if is_figure(test.get(name))
    ]


def missed_vision_threatening(sources: Sources) -> list[dict[str, Any]]:
    """The test photographs with severe or proliferative disease that were graded none or mild."""
    graded = sources.graded
    return [
        {
            "image_id": graded.image_ids[row],
            "true": int(graded.true[row]),
            "predicted": int(graded.predicted[row]),
            "referable_probability": float(graded.referable_probability[row]),
        }
        for row in graded.missed_vision_threatening()
    ]
