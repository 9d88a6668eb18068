"""The commonest layout: a folder of photographs and a table that names them. Adapters say which and how."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from dr_pipeline.intake.image_ids import check_ids
from dr_pipeline.intake.join import join, records
from dr_pipeline.intake.labels import read_labels
from dr_pipeline.intake.listing import Listing, list_photographs
from dr_pipeline.intake.records import Intake, Provenance

NameIds = Callable[[Sequence[str]], Mapping[str, str]]


def stems_as_ids(paths: Sequence[str]) -> dict[str, str]:
    """A public data set's own names, without folder and suffix.

    Raises:
        DataError: A name is unsafe as an id, or two are equal but for case.
    """
    ids = {path: PurePosixPath(path).stem for path in paths}
    check_ids(ids.values(), where=str(PurePosixPath(paths[0]).parent) if paths else "")
    return ids


def read_table_layout(
    root: Path,
    *,
    photographs: Path,
    table: Path,
    columns: Mapping[str, str],
    provenance: Provenance,
    name_ids: NameIds = stems_as_ids,
) -> Intake:
    """Reads photographs and their table.

    Args:
        root: The data set's root.
        photographs: Folder of the photographs, `root` or in it.
        table: The CSV file.
        columns: As in `read_labels`.
        provenance: Of the data set.
        name_ids: From relative paths to image ids.

    Raises:
        DataError: The table, a column or the folder is missing or wrong, see `read_labels`, `list_photographs`, `join`.
    """
    listing = list_photographs(root, photographs)
    labels = read_labels(table, columns)
    joined = join(labels.labels, listing.photographs, where=str(table))
    return Intake(
        records=records(joined, name_ids(list(joined.labels))),
        provenance=provenance,
        orphan_rows=joined.orphan_rows,
        orphan_files=joined.orphan_files,
        warnings=(*labels.warnings, *joined.warnings, *listing_warnings(listing)),
        hidden_files=listing.hidden_files,
        other_files=listing.other_files,
    )


def listing_warnings(listing: Listing) -> tuple[str, ...]:
    """What the walk over the folders left aside, as sentences."""
    return tuple(f"{folder} is a link to a folder read already; left aside" for folder in listing.repeated_folders)
