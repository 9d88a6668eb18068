"""The figures of a graded set broken down: by subgroup, and by pairs of photographs of one eye."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.attributes import attributes_of
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.evaluation.repeatability import eye_photographs, repeatability_report
from dr_pipeline.evaluation.subgroups import subgroup_report
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.params.subgroups import Subgroups
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow


def breakdown(
    answers: Answers,
    rows: Sequence[SplitRow],
    manifest: Mapping[str, ManifestRow],
    index: Mapping[str, CanvasRow],
    params: Evaluation,
    subgroups: Subgroups,
) -> dict[str, Any]:
    """`subgroups` and `repeatability`, see `subgroup_report` and `repeatability_report`.

    Args:
        answers: For N photographs.
        rows: The N photographs.
        manifest: Rows of data/audited.csv by image id.
        index: Rows of data/canvases/index.csv by image id.
        params: Confidence, bootstrap replicates and their seed.
        subgroups: What they are grouped by, and the least size.

    Raises:
        ParamsError: They cannot be grouped by that.
    """
    true, groups = np.array([row.grade for row in rows], dtype=np.int64), [row.group for row in rows]
    attributes = attributes_of(subgroups.by, [row.image_id for row in rows], manifest, index)
    drawn = resampling(params)
    return {
        "subgroups": subgroup_report(
            answers, true, groups, attributes, drawn, min_photographs=subgroups.min_photographs
        ),
        "repeatability": repeatability_report(answers, true, eye_photographs(rows, manifest), drawn),
    }
