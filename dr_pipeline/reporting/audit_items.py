"""The sections of the audit's page: each kind of finding with text and thumbnails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr_pipeline.audit.findings import (
    ASPECT,
    COLOURS,
    CONTRADICTIONS,
    CROSS_PATIENT,
    GRADES_MISSING,
    IDENTICAL,
    IDENTITY,
    KINDS,
    NEAR_DUPLICATES,
    NOT_FUNDUS,
    ORPHANS,
    PATIENT_IDS,
    PATIENT_SPELLING,
    SAME_EYE,
    SEVERAL,
    SHORTCUTS,
    UNREADABLE,
    Finding,
)
from dr_pipeline.audit.inputs import AuditInputs

MAX_FINDINGS = 60
_MAX_TILES = 8

# Heading and meaning of each kind.
_TITLES = {
    IDENTICAL: ("Identical photographs", "Equal decoded pixels under several names, whatever the files' bytes."),
    NEAR_DUPLICATES: (
        "Near duplicates",
        "Similar by perceptual hash, verified on the canvases: recompressed, resized, cropped or brightened copies.",
    ),
    SAME_EYE: (
        "One eye photographed twice",
        "Vessels that coincide, in another light, field or year; kept in one part of the split. Searched where a "
        "patient is unknown.",
    ),
    CONTRADICTIONS: ("Contradicting labels", "One picture, several labels: at most one of them is right."),
    CROSS_PATIENT: (
        "One picture under several patients",
        "A photograph filed under another patient, or a copy.",
    ),
    ORPHANS: ("Orphans", "Rows of the label table without a photograph, and photographs without a row."),
    UNREADABLE: ("Files that cannot be read", "No image could be decoded from these."),
    NOT_FUNDUS: ("Not a fundus", "Images of something else, or blank."),
    SEVERAL: (
        "Several fields of view in one picture",
        "Two eyes, or two views of one: such a picture is never graded as one eye.",
    ),
    ASPECT: (
        "Squashed or stretched pictures",
        "The field is an ellipse: the picture was resized without its aspect. `preprocess.aspect` restores the circle.",
    ),
    COLOURS: ("Colour order", "Red and blue seem to be exchanged: a retina is red before green before blue."),
    IDENTITY: (
        "May identify the person",
        "Header fields that hold an identity (their names only), or burned-in text beside the disc.",
    ),
    PATIENT_IDS: (
        "Patient ids that name no person",
        "Placeholders, ids that lost digits, and one id with too many photographs: several persons may count as one.",
    ),
    PATIENT_SPELLING: ("One patient, several spellings", "Ids that differ only in how they are written."),
    GRADES_MISSING: ("Grades with too few photographs", "Too few photographs to train on or to measure."),
    SHORTCUTS: (
        "Shortcuts",
        "Site, camera or geometry alone predict referable disease; a network may learn them instead of the retina.",
    ),
}


@dataclass(frozen=True)
class Tile:
    """One photograph: its thumbnail as JPEG (empty without a canvas) and its labels."""

    image_id: str
    path: str
    label: str
    patient: str
    site: str
    jpeg: bytes


@dataclass(frozen=True)
class Item:
    """One finding: its text, the photographs shown, and how many more it has."""

    text: str
    tiles: tuple[Tile, ...]
    more: int


@dataclass(frozen=True)
class Section:
    """One kind of finding.

    Attributes:
        kind: Its name in params.yaml.
        title: Heading.
        meaning: One sentence.
        count: Number of findings.
        items: Those shown.
    """

    kind: str
    title: str
    meaning: str
    count: int
    items: tuple[Item, ...]


def sections(findings: Sequence[Finding], inputs: AuditInputs, jpeg: Callable[[str], bytes]) -> list[Section]:
    """Every kind, also those without a finding; at most 60 findings of each are shown."""
    by_kind = {kind: [finding for finding in findings if finding.kind == kind] for kind in KINDS}
    return [
        Section(
            kind,
            *_TITLES[kind],
            len(of_kind),
            tuple(_item(finding, inputs, jpeg) for finding in of_kind[:MAX_FINDINGS]),
        )
        for kind, of_kind in by_kind.items()
    ]


def _item(finding: Finding, inputs: AuditInputs, jpeg: Callable[[str], bytes]) -> Item:
    drawn = finding.image_ids[:_MAX_TILES]
    tiles = tuple(_tile(image_id, inputs, jpeg) for image_id in drawn)
    return Item(sentence(finding), tiles, len(finding.image_ids) - len(drawn))


def _tile(image_id: str, inputs: AuditInputs, jpeg: Callable[[str], bytes]) -> Tile:
    row = inputs.rows[image_id]
    label = "no grade" if row.grade is None else f"grade {row.grade}"
    if row.referable is not None:
        label += ", referable" if row.referable else ", not referable"
    return Tile(image_id, row.path, label, row.patient_id, row.site, jpeg(image_id))


def sentence(finding: Finding) -> str:
    """A finding's text; empty where its photographs say all."""
    if finding.kind == IDENTICAL:
        return f"{len(finding.image_ids)} photographs with equal pixels"
    return _SENTENCES[finding.kind](finding.detail) if finding.kind in _SENTENCES else ""


def _near(detail: Mapping[str, Any]) -> str:
    turn = f"; turned or mirrored (turn {detail['turn']})" if detail["turn"] else ""
    return f"{detail['distance']} of 256 bits differ, correlation {detail['correlation']:.3f}{turn}"


def _identity(detail: Mapping[str, Any]) -> str:
    text = ["text beside the disc"] if detail["text_beside_the_disc"] else []
    return "; ".join([*([f"header: {', '.join(detail['fields'])}"] if detail["fields"] else []), *text])


def _aspect(detail: Mapping[str, Any]) -> str:
    low, high = detail["range"]
    return (
        f"{detail['photographs']} of {detail['of']} photographs; width over height {detail['median']:.3f} in the "
        f"median, {low:.3f} to {high:.3f}; {detail['restored']} restored"
    )


def _same_eye(detail: Mapping[str, Any]) -> str:
    least = min(detail["pairs"], key=lambda pair: pair["correlation"])
    patients = detail["patients"]
    known = f"; under {patients} patients" if patients > 1 else ""
    return (
        f"{least['points']} places of the retina coincide, correlation {least['correlation']:.2f}, "
        f"shifted by {100 * least['shift']:.0f} % of the field{known}"
    )


def _contradiction(detail: Mapping[str, Any]) -> str:
    grades = sorted(set(detail["grades"].values()))
    parts = [f"grade {' and '.join(map(str, grades))}"] if grades else []
    verdicts = sorted(set(detail.get("referable", {}).values()))
    return "; ".join([*parts, *("referable" if verdict else "not referable" for verdict in verdicts)])


def _shortcut(detail: Mapping[str, Any]) -> str:
    if "value" in detail:
        return f"{detail['predictor']} {detail['value']!r} has grade {detail['grade']} only, {detail['n']} photographs"
    auc = detail["auc"]
    return (
        f"{detail['predictor'].replace('_', ' ')} ({detail['values']} values): area under the ROC curve "
        f"{auc['value']:.3f} out of fold, by chance at most {detail['null_99th']:.3f} in 99 of 100"
    )


def _orphan(detail: Mapping[str, Any]) -> str:
    return f"row without a photograph: {detail['row']}" if "row" in detail else f"no row: {detail['file']}"


def _patient_ids(detail: Mapping[str, Any]) -> str:
    return f"{detail['why'].replace('_', ' ')}: {detail['photographs']} photographs, ids: {detail['ids']}"


def _grade(detail: Mapping[str, Any]) -> str:
    used = f"{detail['used']} used of {detail['photographs']}"
    return f"grade {detail['grade']} ({detail['name']}): {used} photographs"


def _reason(detail: Mapping[str, Any]) -> str:
    return str(detail["reason"])


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    NEAR_DUPLICATES: _near,
    SAME_EYE: _same_eye,
    CONTRADICTIONS: _contradiction,
    CROSS_PATIENT: lambda detail: f"{detail['patients']} patients",
    ORPHANS: _orphan,
    UNREADABLE: _reason,
    NOT_FUNDUS: _reason,
    ASPECT: _aspect,
    IDENTITY: _identity,
    PATIENT_IDS: _patient_ids,
    PATIENT_SPELLING: _patient_ids,
    GRADES_MISSING: _grade,
    SHORTCUTS: _shortcut,
}
