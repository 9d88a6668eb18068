"""What became of each photograph once the site's quality threshold was applied: data/gradability.csv."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.schema import GRADABILITY_COLUMNS, GRADABILITY_VERSION, Status


@dataclass(frozen=True)
class Judged:
    """A photograph's status, and why it is not `scored`."""

    status: Status
    reason: str


def apply_gradability(
    gradability: Gradability, index: Mapping[str, Mapping[str, str]], site_of: Mapping[str, str]
) -> dict[str, Judged]:
    """Applies the thresholds to every photograph.

    Args:
        gradability: The thresholds.
        index: Rows of data/canvases/index.csv by image id.
        site_of: The site of each image id; empty: unknown.

    Raises:
        DataError: A photograph is in one of the two only.
    """
    if apart := sorted(index.keys() ^ site_of.keys()):
        raise DataError(
            f"the audited table and the canvases' index differ in {len(apart)} photographs, such as {apart[0]!r}",
            todo="run `dvc repro`",
        )
    judged = {}
    for name in sorted(index):
        row = index[name]
        status, added = gradability.apply(Status(row["status"]), float(row["quality"] or 0), site=site_of[name])
        judged[name] = Judged(status, added or row["reason"])
    return judged


def gradability_rows(judged: Mapping[str, Judged]) -> Iterator[dict[str, str]]:
    """The rows of data/gradability.csv, by image id."""
    for name, one in judged.items():
        yield {
            "schema_version": str(GRADABILITY_VERSION),
            "image_id": name,
            "status": str(one.status),
            "reason": one.reason,
        }


def read_statuses(path: Path, image_ids: Sequence[str]) -> list[str]:
    """The status of each photograph, in the order of `image_ids`.

    Raises:
        DataError: The table is missing, of another version, or lacks a photograph.
    """
    known = {row["image_id"]: row["status"] for row in read_csv(path, GRADABILITY_COLUMNS, version=GRADABILITY_VERSION)}
    if missing := [name for name in image_ids if name not in known]:
        raise DataError(f"no status of {missing[0]!r}", where=str(path), todo="run `dvc repro`")
    return [known[name] for name in image_ids]
