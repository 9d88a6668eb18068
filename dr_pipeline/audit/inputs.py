"""The audit's inputs: the manifest, the canvases' index, and what the intake could not match."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.schema import IdDoubt, Status
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.manifest import ManifestRow

_MAX_NAMED = 10
_INTAKE_ENTRIES = ("orphans", "identity", "unreadable", "warnings", "patient_id_findings", "left_aside")


@dataclass(frozen=True)
class DoubtedIds:
    """Photographs whose patient ids the intake doubts, and how many different ids they have."""

    why: IdDoubt
    ids: int
    image_ids: tuple[str, ...]


@dataclass(frozen=True)
class AuditInputs:
    """The tables as their stages wrote them, by image id.

    Attributes:
        rows: Rows of data/manifest.csv, in the order of the ids.
        index: Rows of data/canvases/index.csv, the same ids.
        orphan_rows: Names in the label table without a photograph.
        orphan_files: Photographs without a row in the label table.
        identity: Names of the header fields that hold a person's identity; never their values.
        unreadable: Why the intake could not read a file.
        doubted_ids: Patient ids that name no person, and persons with several spellings.
    """

    rows: Mapping[str, ManifestRow]
    index: Mapping[str, CanvasRow]
    orphan_rows: tuple[str, ...]
    orphan_files: tuple[str, ...]
    identity: Mapping[str, tuple[str, ...]]
    unreadable: Mapping[str, str]
    doubted_ids: tuple[DoubtedIds, ...]

    def status(self, image_id: str) -> Status:
        """The status by the pixel path, or failed where the intake could not read the file."""
        return Status.FAILED if image_id in self.unreadable else self.index[image_id].status

    def shows_fundus(self, image_id: str) -> bool:
        """Whether it was decoded and shows a fundus."""
        return self.status(image_id) not in (Status.FAILED, Status.NOT_FUNDUS)


def join_inputs(
    manifest: Iterable[ManifestRow], index: Mapping[str, CanvasRow], intake: Mapping[str, Any]
) -> AuditInputs:
    """Joins the tables by image id.

    Args:
        manifest: Rows of data/manifest.csv, in any order.
        index: Rows of data/canvases/index.csv by image id.
        intake: reports/intake.json.

    Raises:
        DataError: The two tables are not about the same photographs, or the report lacks an entry.
    """
    rows = {row.image_id: row for row in sorted(manifest, key=lambda row: row.image_id)}
    unmatched = sorted(rows.keys() ^ index.keys())
    if unmatched:
        raise DataError(
            "the manifest and the canvases' index are not about the same photographs: "
            f"{', '.join(unmatched[:_MAX_NAMED])} ({len(unmatched)} in all)",
            todo="run `dvc repro`, which writes the canvases again",
        )
    missing = [key for key in _INTAKE_ENTRIES if key not in intake]
    if missing:
        raise DataError(f"the intake's report has no entry {missing[0]!r}", todo="run `dvc repro intake`")
    return AuditInputs(
        rows=rows,
        index=index,
        orphan_rows=tuple(intake["orphans"]["rows"]),
        orphan_files=tuple(intake["orphans"]["files"]),
        identity={entry["image_id"]: tuple(entry["fields"]) for entry in intake["identity"]},
        unreadable={entry["image_id"]: entry["reason"] for entry in intake["unreadable"]},
        doubted_ids=tuple(
            DoubtedIds(IdDoubt(entry["why"]), entry["ids"], tuple(entry["image_ids"]))
            for entry in intake["patient_id_findings"]
        ),
    )
