"""Describes the photographs of development for the bundle's card: patients, grades, sites, cameras."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dr_pipeline.deployment.training_reference import DevelopmentData
from dr_pipeline.schema import GRADES
from dr_pipeline.tables.canvas_index import read_canvas_index
from dr_pipeline.tables.manifest import iterate_manifest
from dr_pipeline.tables.splits import DEVELOPMENT, read_splits

_PROVENANCE = ("name", "licence", "citation")


def development_population(data: DevelopmentData, intake: Mapping[str, Any]) -> dict[str, Any]:
    """The training and validation photographs, of any fold; never those of the test part.

    Args:
        data: The tables.
        intake: The report of `intake`, which names the data set; empty: not named.

    Returns:
        `data_set`, `photographs`, `patients`, `photographs_of_unknown_patients`; counts `by_grade`, and of `sites`,
        `cameras` (of the file's header, else of the labels) and `formats`, under "" where unknown.
    """
    rows = [row for row in read_splits(data.splits) if row.split == DEVELOPMENT]
    index = {row.image_id: row for row in read_canvas_index(data.canvas_index)}
    canvases = [index[row.image_id] for row in rows if row.image_id in index]
    labelled = {row.image_id: row.camera for row in iterate_manifest(data.manifest)}
    grades = Counter(row.grade for row in rows)
    provenance = intake.get("provenance", {})
    return {
        "data_set": {key: str(provenance[key]) for key in _PROVENANCE if provenance.get(key)},
        "photographs": len(rows),
        "patients": len({row.patient_id for row in rows if row.patient_id}),
        "photographs_of_unknown_patients": sum(not row.patient_id for row in rows),
        "by_grade": {str(grade): grades[grade] for grade in GRADES},
        "sites": _counted(row.site for row in rows),
        "cameras": _counted(canvas.camera or labelled.get(canvas.image_id, "") for canvas in canvases),
        "formats": _counted(canvas.format for canvas in canvases),
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
