"""shifts.csv: one row per figure of each shift."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.table import Fixed4, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftRow:
    """One figure; what is undefined, or has no interval, is an empty cell."""

    kind: str  # "camera" or "reader"; "clean" for the photographs as they are
    family: str  # the model, such as "blur" or "border_2_up"
    level: str  # "mild", "moderate" or "severe"
    strength: Fixed4  # 0 … 1
    rejected: Fixed4 | None  # fraction of all photographs that gets no grade
    among: str  # the figure is of "all" photographs with an answer, or of the "gradable" ones
    # "qwk", "auc_cumulative_probability", "auc_expected_grade", "auc_severity", "ece", "brier", and among "all", by
    # intention to screen, "referable_sensitivity" and "referable_specificity"
    figure: str
    n: int
    value: Fixed4 | None
    low: Fixed4 | None
    high: Fixed4 | None
    change: Fixed4 | None  # shifted minus clean, on the same photographs
    change_low: Fixed4 | None
    change_high: Fixed4 | None
    research_use: str = RESEARCH_USE


SHIFTS = Table(ShiftRow, version=VERSION)
read_shifts = SHIFTS.read
write_shifts = SHIFTS.write


def shift_rows(report: Mapping[str, Any]) -> Iterator[ShiftRow]:
    """The rows of a report of `dr_pipeline.evaluation.shift_figures.shift_report`, the clean photographs first."""
    clean = {"kind": "clean", "family": "", "level": "", "strength": 0.0} | report["clean"]
    for shift in [clean, *report["shifts"]]:
        for among in ("all", "gradable"):
            for name, figure in shift[among].items():
                change = figure.get("change", {})
                yield ShiftRow(
                    **{key: shift[key] for key in ("kind", "family", "level", "strength")},
                    rejected=shift["rejected"]["value"],
                    among=among,
                    figure=name,
                    **{key: figure[key] for key in ("n", "value", "low", "high")},
                    change=change.get("value"),
                    change_low=change.get("low"),
                    change_high=change.get("high"),
                )
