"""The folder that a browser opens: the page's own files, and data.js with what it shows.

A page from disk may fetch nothing, so the data is a script that sets one variable. All of it is shown as text: names
and reasons come from outside.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from dr_pipeline.clinic.review.order import GROUP_TEXTS, RankedRow
from dr_pipeline.errors import DataError
from dr_pipeline.files import atomic_write, canonical_json, make_private_folder, read_json
from dr_pipeline.schema import GRADE_NAMES, RESEARCH_USE
from dr_pipeline.tables.review_readings import REVIEW_READINGS, VERSION

PAGE, PICTURES = "index.html", "pictures"
_DATA, _MARKER = "data.js", "review.json"
_MARK = {"schema_version": 1, "what": "a review page of dr_pipeline"}
_VARIABLE = "window.REVIEW = "


def open_folder(out: Path) -> Path:
    """Makes the page's folder, or takes one that an earlier run made; only its owner may enter it.

    Returns:
        The folder of its pictures.

    Raises:
        DataError: There is something else.
    """
    is_ours = (out / _MARKER).is_file() and read_json(out / _MARKER) == _MARK
    if out.exists() and not is_ours and (not out.is_dir() or any(out.iterdir())):
        raise DataError("there is something that is no review page", where=str(out), todo="name an empty or new folder")
    make_private_folder(out / PICTURES)
    with atomic_write(out / _MARKER, private=True) as stream:
        stream.write(canonical_json(_MARK).encode())
    return out / PICTURES


def write_page(out: Path, data: Mapping[str, Any]) -> Path:
    """Writes the page's own files and its data.

    Args:
        out: The folder.
        data: From `page_data`.

    Returns:
        The page to open.
    """
    script = f"{_VARIABLE}{json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(',', ':'))};\n"
    with atomic_write(out / _DATA, private=True) as stream:
        stream.write(script.encode("ascii"))
    for asset in (resources.files("dr_pipeline.clinic.review") / "assets").iterdir():
        with atomic_write(out / asset.name, private=True) as stream:
            stream.write(asset.read_bytes())
    return out / PAGE


def page_data(
    ranked: Sequence[RankedRow],
    pictures: Mapping[int, tuple[str, str]],
    missing: Mapping[int, str],
    lesions: Mapping[str, dict[str, Any]],
    *,
    batch: str,
    made: str,
    names: bool,
) -> dict[str, Any]:
    """What the page shows.

    Args:
        ranked: The rows in the order of reading.
        pictures: By row number, the file names of thumbnail and full picture.
        missing: By row number, why a photograph has no picture.
        lesions: By hash, what is shown of the lesions of a photograph that has a picture.
        batch: Under which the browser keeps readings: another table has another.
        made: When, UTC.
        names: Whether ids, paths, patients, visits and sites are part of it.
    """
    return {
        "use": RESEARCH_USE,
        "batch": batch,
        "made": made,
        "bundles": sorted({ranked_row.row.bundle_id for ranked_row in ranked}),
        "names": names,
        "gradeNames": GRADE_NAMES,
        "groups": [GROUP_TEXTS[group] for group in sorted(GROUP_TEXTS)],
        "columns": REVIEW_READINGS.columns,
        "version": VERSION,
        "items": [
            _item(ranked_row, pictures.get(ranked_row.number), missing.get(ranked_row.number, ""), names=names)
            | (lesions.get(ranked_row.row.sha256, {}) if ranked_row.number in pictures else {})
            for ranked_row in ranked
        ],
    }


def _item(ranked: RankedRow, picture: tuple[str, str] | None, missing: str, *, names: bool) -> dict[str, Any]:
    """One photograph; what is unknown is left out."""
    row = ranked.row
    named = {
        "id": row.image_id,
        "path": row.path,
        "patient": row.patient_id,
        "visit": row.visit,
        "site": row.site,
    }
    value = {
        "number": ranked.number,
        **(named if names else {}),
        "sha256": row.sha256,
        "status": row.status.value,
        "reason": row.reason,
        "eye": row.eye.value,
        "camera": row.camera,
        "grade": row.grade,
        "probabilities": row.probabilities and [round(p, 4) for p in row.probabilities],
        "referable": row.referable,
        "visionThreatening": row.vision_threatening,
        "needsHuman": row.needs_human,
        "quality": row.quality,
        "uncertainty": ranked.uncertainty and round(ranked.uncertainty, 4),
        "group": int(ranked.group),
        "thumbnail": picture and f"{PICTURES}/{picture[0]}",
        "full": picture and f"{PICTURES}/{picture[1]}",
        "missing": missing,
    }
    return {key: cell for key, cell in value.items() if cell is not None and cell != ""}
