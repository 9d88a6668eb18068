"""cases.html: photographs that a reader should look at again, with what raised their grades; kept private.

Two lists: vision-threatening disease that was called none or mild, and labels that out-of-fold predictions contradict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.evaluation.graded_images import Graded
from dr_pipeline.evaluation.label_errors import OutOfFold, suspicious_labels
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.limits import limits_of
from dr_pipeline.lesions.svg import hex_colour, lesion_svg
from dr_pipeline.reporting.pages import environment
from dr_pipeline.schema import GRADE_NAMES, GRADES, RESEARCH_USE
from dr_pipeline.scoring.overlay import overlay
from dr_pipeline.tables.graded import GradedRow

MAX_PICTURES = 60  # of each list: two JPEGs of about 10 kB each; the others have their line alone
_SIDE_PX = 240
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Case:
    """One photograph of a list.

    Attributes:
        image_id: Its name.
        grade: By the readers.
        called: By the bundle, or out of fold.
        facts: What else its line shows: name and value.
        quality: Score and reasons.
        picture: JPEG; empty beyond MAX_PICTURES.
        found: JPEG with what raised the grade over the picture; empty where the bundle cannot show it.
        lesions: SVG of the lesions, to lie over the picture; empty where the bundle cannot find them.
    """

    image_id: str
    grade: int
    called: int
    facts: tuple[tuple[str, str], ...]
    quality: str
    picture: bytes = b""
    found: bytes = b""
    lesions: bytes = b""


FindLesions = Callable[[str], Findings]
CanvasMap = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def render(misses: Sequence[Case], labels: Sequence[Case], *, bundle_id: str, vision_threatening: int) -> str:
    """The page as HTML; text from file names is escaped.

    Args:
        misses: From `missed_cases`.
        labels: From `label_cases`.
        bundle_id: The bundle's.
        vision_threatening: Number of photographs with severe or proliferative disease.
    """
    return (
        environment("dr_pipeline.reporting")
        .get_template("cases.html.j2")
        .render(
            misses=misses,
            labels=labels,
            bundle_id=bundle_id,
            vision_threatening=vision_threatening,
            max_pictures=MAX_PICTURES,
            legend=[(kind.name.replace("_", " "), hex_colour(kind)) for kind in KINDS if kind.is_lesion],
            grades=[(grade, GRADE_NAMES[grade]) for grade in GRADES],
            research_use=RESEARCH_USE,
        )
    )


def render_external(
    rows: Sequence[GradedRow], store: CanvasStore, canvas_map: CanvasMap | None, *, bundle_id: str
) -> str:
    """The page of another data set: the bundle was trained on none of it, so that its grades are out of fold.

    Args:
        rows: The photographs that the network graded.
        store: Their canvases.
        canvas_map: See `missed_cases`.
        bundle_id: The bundle's.
    """
    graded = Graded.of(rows)
    probabilities = np.array([row.probabilities for row in rows], dtype=np.float64)
    return render(
        missed_cases(graded, store, canvas_map),
        label_cases(OutOfFold(graded.image_ids, graded.true, probabilities, left_aside=0), store, canvas_map),
        bundle_id=bundle_id,
        vision_threatening=int(graded.vision_threatening.sum()),
    )


def missed_cases(
    graded: Graded, store: CanvasStore, canvas_map: CanvasMap | None, find_lesions: FindLesions | None = None
) -> list[Case]:
    """Severe or proliferative disease called none or mild, the worst first.

    Args:
        graded: The test photographs.
        store: Their canvases.
        canvas_map: What raised the grade, over a canvas; None where the bundle cannot show it.
        find_lesions: What is found in the photograph of this name; None where the bundle has no network for lesions.
    """
    cases = []
    for rank, row in enumerate(graded.missed_vision_threatening()):
        facts = (
            ("expected grade", f"{graded.expected[row]:.2f}"),
            ("P(referable)", f"{graded.referable_probability[row]:.3f}"),
        )
        grades = int(graded.true[row]), int(graded.predicted[row])
        case = _case(graded.image_ids[row], *grades, facts, rank, store, canvas_map)
        cases.append(_with_lesions(case, find_lesions) if find_lesions and case.picture else case)
    return cases


def _with_lesions(case: Case, find_lesions: FindLesions) -> Case:
    """The case with its lesions over the picture, and the second opinion on them with its limits among its facts."""
    try:
        findings = find_lesions(case.image_id)
    except ImageError as error:  # the file was moved or altered since its canvas was made
        return replace(case, facts=(*case.facts, ("lesions", error.what)))
    opinion = second_opinion(Counts.of(findings)).to_text()
    svg = lesion_svg(findings, findings.window).encode()
    facts = ("second opinion by counts:", opinion), ("limits:", " / ".join(limits_of(findings)) or "none")
    return replace(case, facts=(*case.facts, *facts), lesions=svg)


def label_cases(predictions: OutOfFold, store: CanvasStore, canvas_map: CanvasMap | None) -> list[Case]:
    """Labels that out-of-fold predictions contradict, the most suspicious first; see `suspicious_labels`."""
    cases = []
    for rank, suspicion in enumerate(suspicious_labels(predictions.grades, predictions.probabilities)):
        at = suspicion.index
        label, suggested = int(predictions.grades[at]), suspicion.suggested
        facts = (
            ("P(label)", f"{predictions.probabilities[at, label]:.3f}"),
            ("P(suggested)", f"{predictions.probabilities[at, suggested]:.3f}"),
        )
        cases.append(_case(predictions.image_ids[at], label, suggested, facts, rank, store, canvas_map))
    return cases


def _case(
    image_id: str,
    grade: int,
    called: int,
    facts: tuple[tuple[str, str], ...],
    rank: int,
    store: CanvasStore,
    canvas_map: CanvasMap | None,
) -> Case:
    row = store.rows.get(image_id)
    score = "unknown" if row is None or row.quality is None else f"{row.quality:.2f}"
    reasons = row.quality_reasons if row else ""
    quality = f"{score} ({reasons})" if reasons else score
    if rank >= MAX_PICTURES or row is None or not row.shard:
        return Case(image_id, grade, called, facts, quality)
    canvas = store.read(image_id)
    found = _jpeg(overlay(canvas, canvas_map(canvas))) if canvas_map else b""
    return Case(image_id, grade, called, facts, quality, _jpeg(canvas), found)


def _jpeg(canvas: NDArray[np.uint8]) -> bytes:
    small = cv2.resize(canvas, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise DataError("a picture cannot be encoded as JPEG", where="cases page")
    return bytes(data)
