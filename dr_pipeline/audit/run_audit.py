"""The audit in its order: what is one picture, what is wrong, what goes, and what is left to learn from."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.audit.actions import exclusions
from dr_pipeline.audit.findings import photograph_findings
from dr_pipeline.audit.grade_counts import count_grades, grade_findings
from dr_pipeline.audit.identical import hashes_to_compare, identical_groups, same_pictures
from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.audit.near_duplicates import find_near_duplicates
from dr_pipeline.audit.report import Audited
from dr_pipeline.audit.shortcut_table import shortcut_table
from dr_pipeline.audit.shortcuts import measure_shortcuts, one_grade_findings, shortcut_findings
from dr_pipeline.params.curation import Audit


def look(evidence: Evidence, params: Audit, read_canvas: Callable[[str], NDArray[np.uint8]]) -> Audited:
    """Looks for every kind of fault.

    Grades and shortcuts are judged on what is left: that is what a network would learn from.

    Args:
        evidence: The tables.
        params: What is done with each kind, and from where on grades and shortcuts are findings.
        read_canvas: Gives a canvas by image id, (canvas_px, canvas_px, 3) RGB; near duplicates are proved on them.
    """
    identical = identical_groups(evidence)
    near = find_near_duplicates(hashes_to_compare(evidence, identical), read_canvas)
    pictures = same_pictures(identical, near)
    findings = photograph_findings(evidence, pictures)
    excluded = exclusions(findings, pictures, evidence, params)
    grades = count_grades(evidence, excluded)
    shortcuts = measure_shortcuts(shortcut_table(evidence, pictures.cluster_names(), excluded))
    findings += grade_findings(grades, params.min_grade_photographs)
    findings += shortcut_findings(shortcuts, params.max_shortcut_auc)
    findings += one_grade_findings(evidence, [image_id for image_id in evidence.rows if image_id not in excluded])
    return Audited(findings, pictures, shortcuts, grades, excluded)
