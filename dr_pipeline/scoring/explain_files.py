"""Explains files: a picture and an entry of a list for each, and figures where there are masks of lesions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.files import atomic_write, printable
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.drawing import draw_lesions, legend_of
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.limits import limits_of
from dr_pipeline.logs import progress
from dr_pipeline.metrics.localisation import TOLERANCE, Localisation, centre_prior, localisation_figures, localise
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.scoring.explain import Explainer, Explanation
from dr_pipeline.scoring.lesion_masks import LesionMasks
from dr_pipeline.scoring.overlay import captioned, overlay
from dr_pipeline.scoring.score import failed
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.read import read_entry

VERSION = 1
CENTRE_PRIOR = "centre_prior"
_MAX_DRAWN_PX = (1 << 15) - 1  # OpenCV warps to no longer sides
_FULL_SIDE = 1 << 16  # no photograph is as large: nothing is decoded at a fraction of its size
_INTERVALS: dict[str, Any] = {"replicates": 2000, "seed": 20, "confidence": 0.95}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_ENDING = re.compile(r"(?<=.)\.(?!\d+$)[^.]*$")  # digits are the end of a DICOM UID, not a file's ending
_NAME_LENGTH = 100
_LESIONS = "-lesions"


def explain_files(
    entries: Sequence[Entry], explainer: Explainer, out: Path, *, masks: LesionMasks | None, pictures: bool
) -> dict[str, Any]:
    """Explains files one by one; a file that is not graded has a reason instead of a picture.

    Args:
        entries: The files.
        explainer: The loaded bundle.
        out: Folder of the pictures, which only their owner may read.
        masks: Of lesions; None: none.
        pictures: Whether pictures are written.

    Returns:
        The list and the figures, for JSON.

    Raises:
        DataError: A mask cannot be used, or none belongs to a graded photograph.
    """
    rows, names = [], _PictureNames()
    localised: dict[str, list[Localisation]] = {explainer.method: [], CENTRE_PRIOR: []}
    for entry in progress(entries, label="explain", total=len(entries)):
        explanation, data = _explained(entry, explainer)
        row = {"file": printable(entry.relative), **_row(explanation)}
        photograph = explanation.photograph
        drawable = photograph is not None and max(photograph.width, photograph.height) <= _MAX_DRAWN_PX
        if photograph is not None and not drawable:
            row["reason"] = f"a side of more than {_MAX_DRAWN_PX} px is not drawn"
        if drawable and pictures:
            lesions = explanation.score.lesions
            endings = {"picture": "", **({"lesion_picture": _LESIONS} if lesions else {})}
            row |= names.new(entry.relative, endings)
            _draw(out / row["picture"], explanation, data)
            if lesions:
                _draw_lesions(out / row["lesion_picture"], lesions.findings, data)
        if drawable and masks is not None:
            found = _localised(explanation, masks, entry.relative)
            row["lesions"] = "yes" if found else "no mask"
            for name, localisation in zip(localised, found, strict=False):
                localised[name].append(localisation)
        rows.append(row)
    report = {
        "schema_version": VERSION,
        "research_use": RESEARCH_USE,
        "bundle_id": explainer.bundle_id,
        **({"lesions_id": explainer.lesions_id} if explainer.lesions_id else {}),
        "method": explainer.method,
        "map": "what each place adds to the severity: the sum of the logits, each times its distance from grade 2",
        "photographs": rows,
    }
    return report if masks is None else report | {"localisation": _figures(localised)}


def _explained(entry: Entry, explainer: Explainer) -> tuple[Explanation, bytes]:
    try:
        data = read_entry(entry)
    except ImageError as error:
        return Explanation(failed(error.what)), b""
    return explainer.explain(data), data


def _row(explanation: Explanation) -> dict[str, Any]:
    score = explanation.score
    row: dict[str, Any] = {"status": str(score.status), "reason": score.reason}
    if explanation.photograph is None or explanation.canvas_map is None or score.grading is None:
        return row
    x, y = explanation.peak()
    grading = score.grading
    return row | {
        "grade": grading.grade,
        "expected_grade": round(grading.expected_grade, 4),
        "strongest": {"x": round(x, 1), "y": round(y, 1), "adds": float(f"{explanation.canvas_map.max():.3g}")},
        **({} if score.lesions is None else {"found": _found(score.lesions.findings)}),
    }


def _found(findings: Findings) -> dict[str, Any]:
    """The counts of the lesions, and the second opinion on them."""
    return {
        "lesions": {kind.name: findings.count(kind.name) for kind in KINDS if kind.is_lesion},
        "second_opinion": second_opinion(Counts.of(findings)).to_text(),
        "limits": list(limits_of(findings)),
    }


def _draw(path: Path, explanation: Explanation, data: bytes) -> None:
    grading = explanation.score.grading
    caption = (
        f"grade {grading.grade}, expected {grading.expected_grade:.2f}\n{RESEARCH_USE}" if grading else RESEARCH_USE
    )
    _write_png(path, captioned(overlay(decode(data, _FULL_SIDE).pixels, explanation.original_map()), caption))


def _draw_lesions(path: Path, findings: Findings, data: bytes) -> None:
    stated = [f"second opinion by counts: {second_opinion(Counts.of(findings)).to_text()}"]
    if limits := limits_of(findings):
        stated.append(f"limits: {'; '.join(limits)}")
    drawn = draw_lesions(decode(data, _FULL_SIDE).pixels, findings)
    _write_png(path, captioned(drawn, "\n".join([*stated, RESEARCH_USE]), legend_of(findings)))


def _write_png(path: Path, drawn: NDArray[np.uint8]) -> None:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise DataError("the picture cannot be encoded as PNG", where=printable(path.name))
    with atomic_write(path, private=True) as stream:
        stream.write(encoded.tobytes())


def _localised(explanation: Explanation, masks: LesionMasks, name: str) -> tuple[Localisation, ...]:
    """Of the map and of the centre prior; none where there is no mask."""
    photograph = explanation.photograph
    lesions = masks.read(name, photograph.height, photograph.width) if photograph else None
    if photograph is None or lesions is None:
        return ()
    disc = photograph.disc
    prior = centre_prior(photograph.height, photograph.width, x=disc.x, y=disc.y, radius_px=disc.radius)
    maps = (explanation.original_map(), prior)
    return tuple(localise(found, lesions, radius_px=disc.radius) for found in maps)


def _figures(localised: dict[str, list[Localisation]]) -> dict[str, Any]:
    numbers = {len(results) for results in localised.values()}
    if numbers == {0}:
        raise DataError(
            "no graded photograph has a mask of lesions", where="--masks", todo="see --help for their names"
        )
    (graded,) = numbers
    groups = [str(number) for number in range(graded)]
    return {
        "tolerance": f"{TOLERANCE:g} of the disc's radius; pointing_game_exact has none",
        "intervals": "each photograph counts as a patient of its own: too narrow where a patient has several",
        **{name: localisation_figures(results, groups, **_INTERVALS) for name, results in localised.items()},
    }


class _PictureNames:
    """File names of pictures, each once: the photograph's, with unusual characters replaced."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, relative: str, endings: Mapping[str, str]) -> dict[str, str]:
        """The names of a photograph's pictures, alike but for what each has at its end."""
        plain = _UNSAFE.sub("_", _ENDING.sub("", Path(relative).name))[:_NAME_LENGTH].lstrip(".") or "photograph"
        for stem in self._numbered(plain):
            names = {picture: f"{stem}{ending}.png" for picture, ending in endings.items()}
            if self._given.isdisjoint(map(str.casefold, names.values())):
                break
        self._given.update(map(str.casefold, names.values()))
        return names

    @staticmethod
    def _numbered(plain: str) -> Iterator[str]:
        yield plain
        yield from (f"{plain}-{number}" for number in count(2))
