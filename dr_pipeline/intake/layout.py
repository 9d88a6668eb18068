"""The commonest layout: a folder of photographs and a table that names them. Adapters say which and how."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.intake.image_ids import check_ids
from dr_pipeline.intake.join import join, records
from dr_pipeline.intake.labels import LabelTable, read_labels
from dr_pipeline.intake.listing import Listing, list_photographs
from dr_pipeline.intake.records import Intake, Provenance, listed

# To whoever has fetched some of a set's official parts only; the split refuses an official part that is empty.
WITHOUT_PARTS = "set split.test: share and split.validation: folds in params.yaml"
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
    official_split: str = "",
) -> Intake:
    """Reads photographs and their table.

    Args:
        root: The data set's root.
        photographs: Folder of the photographs, `root` or in it.
        table: The CSV file.
        columns: As in `read_labels`.
        provenance: Of the data set.
        name_ids: From relative paths to image ids.
        official_split: The part of the data set that all of them are; empty where it is not divided.

    Raises:
        DataError: The table, a column or the folder is missing or wrong, see `read_labels`, `list_photographs`, `join`.
    """
    listing = list_photographs(root, photographs)
    intake = labelled(listing, read_labels(table, columns), where=str(table), provenance=provenance, name_ids=name_ids)
    if not official_split:
        return intake
    return replace(intake, records=tuple(replace(record, official_split=official_split) for record in intake.records))


def labelled(
    listing: Listing,
    table: LabelTable,
    *,
    where: str,
    provenance: Provenance,
    name_ids: NameIds = stems_as_ids,
) -> Intake:
    """Joins photographs and labels that were read already.

    Raises:
        DataError: See `join` and the function `name_ids`.
    """
    joined = join(table.labels, listing.photographs, where=where)
    return Intake(
        records=records(joined, name_ids(list(joined.labels))),
        provenance=provenance,
        orphan_rows=joined.orphan_rows,
        orphan_files=joined.orphan_files + listing.unnameable,
        warnings=(*table.warnings, *joined.warnings, *listing_warnings(listing)),
        hidden_files=listing.hidden_files,
        other_files=listing.other_files,
    )


def merged(parts: Iterable[Intake]) -> Intake:
    """Several parts of one data set as one; the provenance is the first one's."""
    every = list(parts)
    return Intake(
        records=tuple(record for part in every for record in part.records),
        provenance=every[0].provenance,
        orphan_rows=tuple(row for part in every for row in part.orphan_rows),
        orphan_files=tuple(path for part in every for path in part.orphan_files),
        warnings=tuple(warning for part in every for warning in part.warnings),
        hidden_files=sum(part.hidden_files for part in every),
        other_files=sum(part.other_files for part in every),
        unparsed=tuple(path for part in every for path in part.unparsed),
    )


def listing_warnings(listing: Listing) -> tuple[str, ...]:
    """What the walk over the folders left aside, as sentences."""
    linked = tuple(f"{folder} is a link to a folder read already; left aside" for folder in listing.repeated_folders)
    if not listing.unnameable:
        return linked
    return (
        *linked,
        f"photographs whose file names are not UTF-8 cannot be in a table; rename them: {listed(listing.unnameable)}",
    )
