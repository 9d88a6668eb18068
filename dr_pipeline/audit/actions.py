"""The actions that params.yaml sets for findings: which photographs are excluded and why, and what stops the build."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dr_pipeline.audit.duplicates import Duplicates
from dr_pipeline.audit.findings import (
    ASPECT,
    COLOURS,
    CONTRADICTIONS,
    CROSS_PATIENT,
    IDENTICAL,
    IDENTITY,
    KINDS,
    NEAR_DUPLICATES,
    NOT_FUNDUS,
    SAME_EYE,
    SEVERAL,
    UNREADABLE,
    Finding,
)
from dr_pipeline.audit.inputs import AuditInputs
from dr_pipeline.components import components
from dr_pipeline.errors import GateError
from dr_pipeline.params.curation import Audit
from dr_pipeline.tables.manifest import ManifestRow

_MAX_NAMED = 3


def action_of(kind: str, params: Audit) -> str:
    """The action for a kind of finding: report, exclude or stop."""
    return str(getattr(params, kind))


def counts_of(findings: Iterable[Finding]) -> dict[str, int]:
    """Number of findings of every kind, in the order of `KINDS`."""
    counts = Counter(finding.kind for finding in findings)
    return {kind: counts[kind] for kind in KINDS}


def require_no_stop(counts: Mapping[str, int], params: Audit, *, where: str) -> None:
    """Stops the build where a kind was found whose action is `stop`.

    Raises:
        GateError: Such a kind was found.
    """
    stops = {kind: count for kind, count in counts.items() if count and action_of(kind, params) == "stop"}
    if stops:
        raise GateError(
            f"the audit stops the build: {summary(stops)}",
            where=where,
            todo="correct the data set, or set " + ", ".join(f"audit.{kind}" for kind in stops) + " in params.yaml",
        )


def require_labels(rows: Sequence[ManifestRow], *, where: str) -> None:
    """Refuses an audited manifest without a labelled photograph to train on.

    Raises:
        GateError: There is none.
    """
    if not any(row.is_referable is not None and not row.excluded for row in rows):
        raise GateError(
            f"no photograph with a label is left of {len(rows)}",
            where=where,
            todo="see the report for why each was excluded",
        )


def summary(counts: Mapping[str, int]) -> str:
    """The kinds found with their counts, such as `2 near-duplicates, 1 orphans`; empty where there is none."""
    return ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in counts.items() if count)


def exclusions(
    findings: Sequence[Finding], duplicates: Duplicates, inputs: AuditInputs, params: Audit
) -> dict[str, str]:
    """Which photographs are excluded from training and figures, and why.

    Of duplicates, and of the photographs of one eye, one is kept: the first that has a grade and is not excluded for
    another reason. Of contradicting labels and of photographs under several patients none is kept, since it is unknown
    which label is right.

    Returns:
        Reasons by image id, in the order of the ids.
    """
    excluding = [finding for finding in findings if action_of(finding.kind, params) == "exclude"]
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for finding in excluding:
        for image_id, reason in _single(finding):
            reasons[image_id].append(reason)
    # Before the duplicates: the one that is kept must not be excluded for another reason.
    order = sorted(inputs.rows, key=lambda image_id: (image_id in reasons, inputs.rows[image_id].grade is None))
    rank = {image_id: place for place, image_id in enumerate(order)}
    for finding in excluding:
        if finding.kind in (CONTRADICTIONS, CROSS_PATIENT):
            for image_id, reason in _together(finding):
                reasons[image_id].append(reason)
    for image_id, reason in _all_but_one(excluding, duplicates, params, rank):
        reasons[image_id].append(reason)
    return {image_id: "; ".join(reasons[image_id]) for image_id in sorted(reasons)}


def _single(finding: Finding) -> Iterator[tuple[str, str]]:
    """Image id and reason of each photograph of a finding that concerns photographs one by one."""
    detail = finding.detail
    if finding.kind in (UNREADABLE, NOT_FUNDUS):
        yield finding.image_ids[0], f"{detail['status']}: {detail['reason']}"
    elif finding.kind == SEVERAL:
        yield finding.image_ids[0], "several fields of view in one picture"
    elif finding.kind == ASPECT:
        yield from ((image_id, "squashed or stretched") for image_id in finding.image_ids)
    elif finding.kind == COLOURS:
        yield finding.image_ids[0], "red and blue are exchanged"
    elif finding.kind == IDENTITY:
        where = [*detail["fields"], *(["text beside the disc"] * detail["text_beside_the_disc"])]
        yield finding.image_ids[0], f"may tell who the person is: {', '.join(where)}"


def _together(finding: Finding) -> Iterator[tuple[str, str]]:
    """Image id and reason of every photograph of a contradiction or of duplicates under several patients."""
    fault = "with another grade" if finding.kind == CONTRADICTIONS else "of another patient"
    if len(finding.image_ids) == 1:
        yield finding.image_ids[0], "its grade contradicts its column `referable`"
        return
    for image_id in finding.image_ids:
        others = [other for other in finding.image_ids[: _MAX_NAMED + 1] if other != image_id][:_MAX_NAMED]
        more = len(finding.image_ids) - 1 - len(others)
        yield image_id, f"one picture with {', '.join(others)}{f' and {more} more' if more else ''} {fault}"


def _all_but_one(
    excluding: Sequence[Finding], duplicates: Duplicates, params: Audit, rank: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """Image id and reason of every photograph of duplicates, and of each eye, but the one that is kept."""
    if action_of(IDENTICAL, params) == "exclude":
        for image_id, kept in _of_identical(duplicates, rank):
            yield image_id, f"identical to {kept}"
    if action_of(NEAR_DUPLICATES, params) == "exclude":
        chains = components((pair.first, pair.second) for pair in duplicates.near)
        for image_id, kept in _of_chains(chains, duplicates, rank):
            yield image_id, f"near duplicate of {kept}"
    eyes = (finding.image_ids for finding in excluding if finding.kind == SAME_EYE)
    for image_id, kept in _of_chains(eyes, duplicates, rank):
        yield image_id, f"the same eye as {kept}"


def _of_identical(duplicates: Duplicates, rank: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Every excluded photograph of a group of identical ones, with the one that is kept."""
    for group in duplicates.identical:
        kept = min(group, key=lambda image_id: rank[image_id])
        yield from ((image_id, kept) for image_id in group if image_id != kept)


def _of_chains(
    chains: Iterable[tuple[str, ...]], duplicates: Duplicates, rank: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """Every excluded photograph of a chain of near duplicates or of an eye, with the one that is kept.

    Photographs identical to the kept one belong to the kind `identical` and are kept here.
    """
    group_of = {image_id: group for group in duplicates.identical for image_id in group}
    for chain in chains:
        members = sorted({member for image_id in chain for member in group_of.get(image_id, (image_id,))})
        kept = min(members, key=lambda image_id: rank[image_id])
        same = group_of.get(kept, (kept,))
        yield from ((image_id, kept) for image_id in members if image_id not in same)
