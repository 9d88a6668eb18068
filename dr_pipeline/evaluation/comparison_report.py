"""A comparison as `compare` writes it and `promote` decides by it: the report, its verdict in words, its margins."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.comparison import (
    ENDPOINTS,
    Verdict,
    changed_rows,
    compare_graders,
    margin_verdict,
    overall_verdict,
)
from dr_pipeline.evaluation.paired_answers import PairedAnswers
from dr_pipeline.files import printable, read_json
from dr_pipeline.metrics.intervals import format_estimate
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.changed import ChangedRow

if TYPE_CHECKING:  # it imports pydantic, which a clinic need not have
    from dr_pipeline.evaluation.image_metrics import Resampling

_PASSED = (Verdict.IDENTICAL, Verdict.NOT_INFERIOR)


@dataclass(frozen=True)
class Comparison:
    """Two graders on the same photographs.

    Attributes:
        report: What comparison.json holds: that of `compare_graders`, who was compared, and what was left out.
        changed: The photographs whose answer changed.
    """

    report: dict[str, Any]
    changed: tuple[ChangedRow, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the new grader is not worse, by the margins."""
        return self.report["verdict"] in _PASSED

    @property
    def failures(self) -> tuple[str, ...]:
        """The endpoints that do not pass, each with its verdict."""
        endpoints = self.report["endpoints"].items()
        return tuple(f"{name} is {one['verdict']}" for name, one in endpoints if one["verdict"] not in (None, *_PASSED))

    def lines(self) -> list[str]:
        """The verdict and the endpoints, one a line."""
        counted = f"{self.report['n']} photographs, {self.report['changed']['any']} with another answer"
        return [f"{counted}; verdict: {self.report['verdict']}", *map(self._line, self.report["endpoints"])]

    def _line(self, name: str) -> str:
        one = self.report["endpoints"][name]
        old, new = (_number(one[which]["value"]) for which in ("old", "new"))
        margin = "no margin" if one["margin"] is None else f"margin {one['margin']:g}: {one['verdict']}"
        return f"{name}: {old} → {new}, difference {format_estimate(one['difference'])}; {margin}"


def compare_pair(
    pair: PairedAnswers,
    margins: Mapping[str, float | None],
    drawn: "Resampling",
    *,
    old: Mapping[str, str],
    new: Mapping[str, str],
) -> Comparison:
    """Compares two graders.

    Args:
        pair: Their answers.
        margins: The result of `declared_margins`.
        drawn: Replicates, seed and confidence.
        old: `name` and `id` of the one in use.
        new: Likewise of the one that may replace it.

    Raises:
        DataError: See `compare_graders`.
    """
    report = compare_graders(pair.old, pair.new, pair.grades, pair.groups, margins, drawn) | {
        "old": dict(old),
        "new": dict(new),
        "left_out": dict(pair.left_out),
        "warnings": pair.warnings,
        "research_use": RESEARCH_USE,
    }
    return Comparison(report, tuple(changed_rows(pair.image_ids, pair.old, pair.new, pair.grades)))


def read_comparison(path: Path, margins: Mapping[str, float | None], *, old: str, new: str) -> Comparison:
    """Reads comparison.json, and decides it by other margins than those that it was written with.

    Args:
        path: The file.
        margins: The result of `declared_margins`.
        old: The bundle id of the one in use.
        new: That of the one that may replace it.

    Raises:
        DataError: The file is missing, is no comparison, or is one of other graders.
    """
    report = read_json(path)
    try:
        found = report["old"]["id"], report["new"]["id"]
        if found == (old, new):
            return Comparison(_decided(report, margins))
    except (KeyError, TypeError, ValueError):
        raise DataError(
            "no comparison of two graders", where=printable(path), todo="give comparison.json of `dr-pipeline compare`"
        ) from None
    raise DataError(
        f"compares {found[0]} with {found[1]}, not bundle {old}, the champion, with bundle {new}",
        where=printable(path),
        todo="dr-pipeline compare CHAMPION NEW --photographs … --labels …, with these two bundles",
    )


def _decided(report: dict[str, Any], margins: Mapping[str, float | None]) -> dict[str, Any]:
    identical = report["verdict"] == Verdict.IDENTICAL
    endpoints = {}
    for name, endpoint in ENDPOINTS.items():
        one, margin = report["endpoints"][name], margins[name]
        verdict = margin_verdict(one["difference"], endpoint, margin, identical=identical)
        endpoints[name] = one | {"margin": margin, "verdict": verdict}
    return report | {"endpoints": endpoints, "verdict": overall_verdict(endpoints)}


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
