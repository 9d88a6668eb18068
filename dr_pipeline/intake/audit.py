"""The audit of what came in: findings by kind, what to leave out, and whether to stop.

Photographs count as identical by the hash of their decoded, upright pixels: the same picture saved under another name,
format or EXIF turn is found, whatever its bytes.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.intake.records import listed
from dr_pipeline.params.audit import Audit
from dr_pipeline.schema import Status

Row = Mapping[str, str]


@dataclass(frozen=True)
class Findings:
    """What the audit found; each group is sorted, and so are the groups.

    Attributes:
        identical: Groups of image ids with equal pixels.
        contradictions: Those of them whose members carry different grades.
        cross_patient: Those of them whose members belong to different known patients.
        unreadable: Image ids of files that could not be decoded, or that show no fundus.
        orphan_rows: Names in the label table without a photograph.
        orphan_files: Photographs without a row in the label table.
    """

    identical: tuple[tuple[str, ...], ...]
    contradictions: tuple[tuple[str, ...], ...]
    cross_patient: tuple[tuple[str, ...], ...]
    unreadable: tuple[str, ...]
    orphan_rows: tuple[str, ...]
    orphan_files: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Number of findings by kind, under the names that `audit` in params.yaml has."""
        return {
            "identical": len(self.identical),
            "contradictions": len(self.contradictions),
            "cross_patient": len(self.cross_patient),
            "orphans": len(self.orphan_rows) + len(self.orphan_files),
            "unreadable": len(self.unreadable),
        }

    def stopping(self, actions: Audit) -> dict[str, int]:
        """The kinds that were found and that `actions` says to stop at, with their numbers."""
        chosen = actions.model_dump()
        return {kind: count for kind, count in self.counts().items() if count and chosen[kind] == "stop"}


def find(manifest: Sequence[Row], index: Mapping[str, Row], orphans: Mapping[str, Sequence[str]]) -> Findings:
    """Looks for every kind of fault.

    A blank frame under two patients is no finding about patients: contradictions and cross-patient pictures are looked
    for among photographs that show a fundus. Rows without a grade contradict nobody.

    Args:
        manifest: Rows of data/manifest.csv.
        index: Rows of data/canvases/index.csv by image id.
        orphans: `rows` and `files` as reports/intake.json lists them.

    Raises:
        DataError: The two tables are not about the same photographs.
    """
    _check_same_photographs(manifest, index)
    rows = {row["image_id"]: row for row in manifest}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image_id in sorted(rows):
        if index[image_id]["pixel_sha256"]:
            groups[index[image_id]["pixel_sha256"]].append(image_id)
    identical = tuple(sorted(tuple(group) for group in groups.values() if len(group) > 1))
    unreadable = tuple(name for name in sorted(rows) if index[name]["status"] in (Status.FAILED, Status.NOT_FUNDUS))
    readable = tuple(group for group in identical if index[group[0]]["status"] != Status.NOT_FUNDUS)

    def with_different(column: str) -> tuple[tuple[str, ...], ...]:
        return tuple(group for group in readable if len({rows[name][column] for name in group} - {""}) > 1)

    return Findings(
        identical=identical,
        contradictions=with_different("grade"),
        cross_patient=with_different("patient_id"),
        unreadable=unreadable,
        orphan_rows=tuple(orphans["rows"]),
        orphan_files=tuple(orphans["files"]),
    )


def exclusions(findings: Findings, manifest: Sequence[Row], index: Mapping[str, Row], actions: Audit) -> dict[str, str]:
    """Which photographs take no part in training and figures, and why.

    Of identical photographs the first that has a grade stays (the first, if none has). Of contradicting ones and of
    those under several patients none stays: nobody knows which label is right.

    Returns:
        Reasons by image id, in the order of the ids.
    """
    graded = {row["image_id"] for row in manifest if row["grade"]}
    kinds = {
        "unreadable": ((name, f"{index[name]['status']}: {index[name]['reason']}") for name in findings.unreadable),
        "contradictions": _whole_groups(findings.contradictions, "with another grade"),
        "cross_patient": _whole_groups(findings.cross_patient, "of another patient"),
        "identical": _all_but_one(findings.identical, graded),
    }
    chosen = actions.model_dump()
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for kind, pairs in kinds.items():
        if chosen[kind] == "exclude":
            for name, reason in pairs:
                reasons[name].append(reason)
    return {name: "; ".join(reasons[name]) for name in sorted(reasons)}


def audited_rows(
    manifest: Sequence[Row], index: Mapping[str, Row], findings: Findings, excluded: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The manifest again, with what the pixels told: hash, width, height, duplicate cluster, exclusion."""
    cluster = {name: group[0] for group in findings.identical for name in group}
    return [
        {
            **row,
            "pixel_sha256": index[row["image_id"]]["pixel_sha256"],
            "width": index[row["image_id"]]["width"],
            "height": index[row["image_id"]]["height"],
            "duplicate_cluster": cluster.get(row["image_id"], ""),
            "excluded": int(row["image_id"] in excluded),
            "exclusion_reason": excluded.get(row["image_id"], ""),
        }
        for row in manifest
    ]


def _check_same_photographs(manifest: Sequence[Row], index: Mapping[str, Row]) -> None:
    ids = {row["image_id"] for row in manifest}
    apart = sorted(ids ^ index.keys())
    if apart:
        raise DataError(
            f"the manifest and the canvases' index are not about the same photographs: {listed(apart)}",
            todo="run `dvc repro`, which remakes the canvases",
        )


def _whole_groups(groups: Iterable[Sequence[str]], fault: str) -> Iterator[tuple[str, str]]:
    for group in groups:
        for name in group:
            yield name, f"identical to {', '.join(other for other in group if other != name)} {fault}"


def _all_but_one(groups: Iterable[Sequence[str]], graded: Container[str]) -> Iterator[tuple[str, str]]:
    for group in groups:
        kept = next((name for name in group if name in graded), group[0])
        yield from ((name, f"identical to {kept}") for name in group if name != kept)
