"""What the audit looks at: the manifest, the canvases' index, and what the intake could not place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.schema import REFERABLE_FROM, Status

Row = Mapping[str, str]

_MAX_NAMED = 10


@dataclass(frozen=True)
class Evidence:
    """The tables as their stages wrote them, by image id.

    Attributes:
        rows: Rows of data/manifest.csv, in the order of the ids.
        index: Rows of data/canvases/index.csv, the same ids.
        orphan_rows: Names in the label table without a photograph.
        orphan_files: Photographs without a row in the label table.
        identity: Names of the header fields that hold a person's identity; never their values.
        unreadable: Why the intake could not read a file.
    """

    rows: Mapping[str, Row]
    index: Mapping[str, Row]
    orphan_rows: tuple[str, ...]
    orphan_files: tuple[str, ...]
    identity: Mapping[str, tuple[str, ...]]
    unreadable: Mapping[str, str]

    def status(self, image_id: str) -> str:
        """What became of a photograph in the pixel path, or failed where the intake could not read its file."""
        return str(Status.FAILED) if image_id in self.unreadable else self.index[image_id]["status"]

    def shows_fundus(self, image_id: str) -> bool:
        """Whether it was decoded and is no other kind of picture."""
        return self.status(image_id) not in (Status.FAILED, Status.NOT_FUNDUS)


def gather(manifest: Sequence[Row], index: Mapping[str, Row], intake: Mapping[str, Any]) -> Evidence:
    """Puts the tables together.

    Args:
        manifest: Rows of data/manifest.csv, in any order.
        index: Rows of data/canvases/index.csv by image id.
        intake: reports/intake.json.

    Raises:
        DataError: The two tables are not about the same photographs, or the report lacks an entry.
    """
    rows = {row["image_id"]: row for row in sorted(manifest, key=lambda row: row["image_id"])}
    apart = sorted(rows.keys() ^ index.keys())
    if apart:
        raise DataError(
            "the manifest and the canvases' index are not about the same photographs: "
            f"{', '.join(apart[:_MAX_NAMED])} ({len(apart)} in all)",
            todo="run `dvc repro`, which remakes the canvases",
        )
    missing = [key for key in ("orphans", "identity", "unreadable", "warnings", "patient_ids") if key not in intake]
    if missing:
        raise DataError(
            f"the intake's report has no entry {missing[0]!r}", todo="run `dvc repro intake`, which writes it anew"
        )
    return Evidence(
        rows=rows,
        index=index,
        orphan_rows=tuple(intake["orphans"]["rows"]),
        orphan_files=tuple(intake["orphans"]["files"]),
        identity={entry["image_id"]: tuple(entry["fields"]) for entry in intake["identity"]},
        unreadable={entry["image_id"]: entry["reason"] for entry in intake["unreadable"]},
    )


def referable_of(row: Row) -> bool | None:
    """Whether the labels say referable disease: by the grade, else by the column of that name; None where neither."""
    if row["grade"]:
        return int(row["grade"]) >= REFERABLE_FROM
    return row["referable"] == "1" if row["referable"] else None
