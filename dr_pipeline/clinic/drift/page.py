"""The page of one batch: self-contained HTML without scripts, charts as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.reference import RATES, Distribution, Reference
from dr_pipeline.clinic.drift.compare import Comparison, Drift, Limits, expected_group
from dr_pipeline.clinic.drift.history import Entry
from dr_pipeline.clinic.drift.report import LABELS, camera_warning, detection_sentence, format_value, sentence
from dr_pipeline.schema import RESEARCH_USE

_BINS = 24
_WIDTH, _HEIGHT = 240, 90
_SHOWN_RANGE = (0.005, 0.995)  # quantiles of the reference and the batch between which a chart is drawn
_MAX_WARNINGS = 8  # above the tables, which have all
_MAX_HISTORY = 60  # the latest batches that a chart shows


@dataclass(frozen=True)
class Histogram:
    """Two outlines over the same bins, as SVG points, and the ends of the axis."""

    reference: str
    batch: str
    low: str
    high: str


@dataclass(frozen=True)
class Series:
    """One measure over the batches.

    Attributes:
        measure: Its label.
        line: SVG points of the effect.
        points: (x, y, verdict, label) of each batch.
        watch: y of the limit.
        drift: y of the limit.
    """

    measure: str
    line: str
    points: tuple[tuple[float, float, str, str], ...]
    watch: float
    drift: float


def render_page(drift: Drift, reference: Reference, history: Sequence[Entry]) -> str:
    """The page.

    Args:
        drift: The result.
        reference: What the batch was compared with.
        history: All batches, this one included; none: no chart of them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["figure"] = lambda comparison, values: format_value(comparison.measure, values)
    return pages.get_template("drift.html.j2").render(
        drift=drift,
        reference=reference,
        warnings=[sentence(comparison) for comparison in drift.warnings[:_MAX_WARNINGS]],
        camera_warning=camera_warning(drift),
        detects=detection_sentence(drift),
        groups=_groups(drift),
        charts=histograms(drift, reference),
        series=history_series(history, drift.limits),
        history=history[-_MAX_HISTORY:],
        labels=LABELS,
        width=_WIDTH,
        height=_HEIGHT,
        research_use=RESEARCH_USE,
    )


def _groups(drift: Drift) -> dict[str, list[Comparison]]:
    """The comparisons by their group's heading, in order."""
    groups: dict[str, list[Comparison]] = {}
    for comparison in drift.comparisons:
        heading = "All photographs" if comparison.kind == "all" else f"{comparison.kind.title()} {comparison.group}"
        groups.setdefault(heading, []).append(comparison)
    return groups


def histograms(drift: Drift, reference: Reference) -> dict[str, Histogram]:
    """The chart of each measure of the whole batch, by its label."""
    observed = drift.batch.observed
    expected, _ = expected_group(reference, observed)
    charts = {}
    for measure, distribution in expected.measures.items():
        values = observed.values[measure]
        if len(values := values[~np.isnan(values)]):
            charts[LABELS[measure]] = _histogram(distribution, values)
    return charts


def _histogram(expected: Distribution, values: NDArray[np.float64]) -> Histogram:
    ends = np.quantile(values, _SHOWN_RANGE)
    low = min(float(ends[0]), expected.quantile(_SHOWN_RANGE[0]))
    high = max(float(ends[1]), expected.quantile(_SHOWN_RANGE[1]))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    edges[0] = np.nextafter(low, -np.inf)  # a bin has its upper edge, not its lower one
    fractions = np.diff(expected.cdf(edges)), np.histogram(np.clip(values, low, high), edges)[0] / len(values)
    top = max(float(part.max()) for part in fractions)
    reference, batch = (_outline(part / top) for part in fractions)
    return Histogram(reference, batch, f"{low:.4g}", f"{high:.4g}")


def _outline(heights: NDArray[np.float64]) -> str:
    """A closed staircase of heights 0 … 1, as SVG points."""
    x = np.linspace(0, _WIDTH, len(heights) + 1)
    y = _HEIGHT * (1 - heights)
    corners = [(0.0, float(_HEIGHT))]
    for left, right, level in zip(x[:-1], x[1:], y, strict=True):
        corners += [(left, level), (right, level)]
    return _points([*corners, (float(_WIDTH), float(_HEIGHT))])


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def history_series(history: Sequence[Entry], limits: Limits) -> list[Series]:
    """The charts over the latest batches, one per measure; none of fewer than two batches."""
    shown = history[-_MAX_HISTORY:]
    if len(shown) < 2:
        return []
    return [_series(measure, shown, limits) for measure in LABELS if any(measure in entry.measures for entry in shown)]


def _series(measure: str, shown: Sequence[Entry], limits: Limits) -> Series:
    watch, drift = (limits.rate_watch, limits.rate_drift) if measure in RATES else (limits.watch, limits.drift)
    top = max(2 * drift, *(entry.measures[measure].effect for entry in shown if measure in entry.measures))

    def height(effect: float) -> float:
        return 4 + (_HEIGHT - 8) * (1 - effect / top)

    points = []
    for number, entry in enumerate(shown):
        if (measured := entry.measures.get(measure)) is not None:
            x = 4 + (_WIDTH - 8) * number / (len(shown) - 1)
            label = f"{entry.name}: {measured.value:.4g}, effect {measured.effect:.2f}, {measured.verdict}"
            points.append((round(x, 1), round(height(measured.effect), 1), str(measured.verdict), label))
    line = _points([(x, y) for x, y, _, _ in points])
    return Series(LABELS[measure], line, tuple(points), height(watch), height(drift))
