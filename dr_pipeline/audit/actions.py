"""What params.yaml says to do with the findings: which photographs are left out and why, and what stops the build."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dr_pipeline.audit.findings import (
    COLOURS,
    CONTRADICTIONS,
    CROSS_PATIENT,
    IDENTICAL,
    IDENTITY,
    KINDS,
    NEAR_DUPLICATES,
    NOT_FUNDUS,
    UNREADABLE,
    Finding,
)
from dr_pipeline.audit.identical import SamePictures
from dr_pipeline.audit.inputs import Evidence
from dr_pipeline.components import components
from dr_pipeline.params.curation import Audit

_MAX_NAMED = 3


def action_of(kind: str, params: Audit) -> str:
    """What is done with a kind of finding: report, exclude or stop."""
    return str(getattr(params, kind))


def counts_of(findings: Iterable[Finding]) -> dict[str, int]:
    """Number of findings of every kind, in the order of `KINDS`."""
    counts = Counter(finding.kind for finding in findings)
    return {kind: counts[kind] for kind in KINDS}


def stopping(counts: Mapping[str, int], params: Audit) -> dict[str, int]:
    """The kinds that were found and that params says to stop at, with their numbers."""
    return {kind: count for kind, count in counts.items() if count and action_of(kind, params) == "stop"}


def exclusions(
    findings: Sequence[Finding], pictures: SamePictures, evidence: Evidence, params: Audit
) -> dict[str, str]:
    """Which photographs take no part in training and figures, and why.

    Of duplicates one stays: the first that nothing else leaves out and that has a grade. Of contradicting ones and of
    those under several patients none stays: nobody knows which label is right.

    Returns:
        Reasons by image id, in the order of the ids.
    """
    chosen = [finding for finding in findings if action_of(finding.kind, params) == "exclude"]
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for finding in chosen:
        for image_id, reason in _single(finding):
            reasons[image_id].append(reason)
    # Before the duplicates: the one that stays must not be left out for another reason.
    order = sorted(evidence.rows, key=lambda image_id: (image_id in reasons, not evidence.rows[image_id]["grade"]))
    rank = {image_id: place for place, image_id in enumerate(order)}
    for finding in chosen:
        if finding.kind in (CONTRADICTIONS, CROSS_PATIENT):
            for image_id, reason in _together(finding):
                reasons[image_id].append(reason)
    if action_of(IDENTICAL, params) == "exclude":
        for image_id, kept in _of_identical(pictures, rank):
            reasons[image_id].append(f"identical to {kept}")
    if action_of(NEAR_DUPLICATES, params) == "exclude":
        for image_id, kept in _of_near(pictures, rank):
            reasons[image_id].append(f"near duplicate of {kept}")
    return {image_id: "; ".join(reasons[image_id]) for image_id in sorted(reasons)}


def _single(finding: Finding) -> Iterator[tuple[str, str]]:
    """Image id and reason of a finding about one photograph."""
    detail = finding.detail
    if finding.kind in (UNREADABLE, NOT_FUNDUS):
        yield finding.image_ids[0], f"{detail['status']}: {detail['reason']}"
    elif finding.kind == COLOURS:
        yield finding.image_ids[0], "red and blue are exchanged"
    elif finding.kind == IDENTITY:
        where = [*detail["fields"], *(["text beside the disc"] * detail["text_beside_the_disc"])]
        yield finding.image_ids[0], f"may tell who the person is: {', '.join(where)}"


def _together(finding: Finding) -> Iterator[tuple[str, str]]:
    """Image id and reason of every photograph of a contradiction or of a picture under several patients."""
    fault = "with another grade" if finding.kind == CONTRADICTIONS else "of another patient"
    if len(finding.image_ids) == 1:
        yield finding.image_ids[0], "its grade contradicts its column `referable`"
        return
    for image_id in finding.image_ids:
        others = [other for other in finding.image_ids[: _MAX_NAMED + 1] if other != image_id][:_MAX_NAMED]
        more = len(finding.image_ids) - 1 - len(others)
        yield image_id, f"one picture with {', '.join(others)}{f' and {more} more' if more else ''} {fault}"


def _of_identical(pictures: SamePictures, rank: Mapping[str, int]) -> list[tuple[str, str]]:
    """Every photograph of a group of identical ones that goes, with the one that stays."""
    found = []
    for group in pictures.identical:
        kept = min(group, key=lambda image_id: rank[image_id])
        found += [(image_id, kept) for image_id in group if image_id != kept]
    return found


def _of_near(pictures: SamePictures, rank: Mapping[str, int]) -> list[tuple[str, str]]:
    """Every photograph of a chain of near duplicates that goes, with the one that stays.

    Photographs identical to the one that stays are another kind's business, and stay.
    """
    group_of = {image_id: group for group in pictures.identical for image_id in group}
    found = []
    for chain in components((pair.first, pair.second) for pair in pictures.near):
        members = sorted({member for image_id in chain for member in group_of.get(image_id, (image_id,))})
        kept = min(members, key=lambda image_id: rank[image_id])
        stay = group_of.get(kept, (kept,))
        found += [(image_id, kept) for image_id in members if image_id not in stay]
    return found
