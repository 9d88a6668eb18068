"""Rows of predictions in a short notation: `R2h L0 Ru` is a doubtful grade 2, a grade 0 and an ungradable photograph.

Each word is an eye (R, L, ?), a grade 0–4 or u (ungradable), f (failed), x (no fundus), then any of h (needs a human),
r (referable at the locked point, whatever the grade), n (not referable), ~a (copies share a letter), %site, @birth.
"""

import re
from collections.abc import Iterable

from dr_pipeline.schema import REFERABLE_FROM, VISION_THREATENING_FROM, Eye, Status
from dr_pipeline.tables.predictions import PredictionRow

_WORD = re.compile(r"([RL?])([0-4ufx])([hrn]*)(?:~(\w+))?(?:%(\w+))?(?:@(\w+))?")
_EYES = {"R": Eye.RIGHT, "L": Eye.LEFT, "?": Eye.UNKNOWN}
_STATUSES = {"u": Status.UNGRADABLE, "f": Status.FAILED, "x": Status.NOT_FUNDUS}


def predictions(examinations: Iterable[tuple[str, str, str]]) -> tuple[list[PredictionRow], dict[str, str]]:
    """Rows and birth dates by image id, of examinations (patient, visit, words)."""
    rows: list[PredictionRow] = []
    births: dict[str, str] = {}
    first_with: dict[str, str] = {}
    for patient, visit, words in examinations:
        for word in words.split():
            eye, code, flags, copy, site, birth = _WORD.fullmatch(word).groups(default="")  # type: ignore[union-attr]
            image_id = f"image-{len(rows):04d}"
            first = first_with.setdefault(copy, image_id) if copy else image_id
            duplicate_of = "" if first == image_id else first
            rows.append(_row(image_id, _EYES[eye], code, flags, duplicate_of, patient, visit, site))
            if birth:
                births[image_id] = birth
    return rows, births


def _row(
    image_id: str, eye: Eye, code: str, flags: str, duplicate_of: str, patient: str, visit: str, site: str
) -> PredictionRow:
    facts = {
        "image_id": image_id,
        "path": f"{image_id}.jpg",
        "sha256": f"{int(image_id[-4:]):064x}",
        "duplicate_of": duplicate_of,
        "patient_id": patient,
        "eye": eye,
        "visit": visit,
        "site": site,
        "bundle_id": "0123456789abcdef",
    }
    if code in _STATUSES:
        return PredictionRow(**facts, status=_STATUSES[code], reason="drawn")
    grade = int(code)
    return PredictionRow(
        **facts,
        status=Status.SCORED,
        grade=grade,
        probabilities=tuple(0.8 if other == grade else 0.05 for other in range(5)),
        expected_grade=float(grade),
        referable="r" in flags or (grade >= REFERABLE_FROM and "n" not in flags),
        referable_probability=0.9 if grade >= REFERABLE_FROM else 0.1,
        vision_threatening=grade >= VISION_THREATENING_FROM,
        needs_human="h" in flags,
        quality=0.9,
    )
