"""Messidor-2 with the reference standard of the University of Iowa (Abràmoff); not tried on the real download.

`abramoff-messidor-2-refstandard-jul16.csv` (examid, rDR) says of each of 874 examinations, not of an eye, whether it is
referable: more than mild retinopathy, or macular oedema, by the consensus of retina specialists. It has no grades
0–4: this adapter serves external validation of referable disease only, and no recipe trains on it. It fits the
download of the University of Iowa, two photographs per examination, whose names begin with its id
(`Messidor-2/IM0001…`); the photographs that ADCIS sends have other names, and which is which is not published.

The layout is documented in the repository mikevoets/jama16-retina-replication at commit ecde152: messidor2.sh,
preprocess_messidor2.py and vendor/messidor/abramoff-messidor-2-refstandard-jul16.csv.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_csv
from dr_pipeline.intake.layout import listing_warnings, stems_as_ids
from dr_pipeline.intake.listing import list_photographs
from dr_pipeline.intake.records import Intake, Provenance, Record, listed
from dr_pipeline.params.data_source import Dataset

PROVENANCE = Provenance(
    name="Messidor-2, reference standard of the University of Iowa (2016)",
    licence="as given with the download, https://medicine.uiowa.edu/eye/abramoff",
    citation=(
        "Abràmoff M.D. et al.: Automated analysis of retinal images for detection of referable diabetic retinopathy. "
        "JAMA Ophthalmol 2013;131:351. Decencière E. et al.: Feedback on a publicly distributed image database: the "
        "Messidor database. Image Anal Stereol 2014;33:231."
    ),
)
TABLE = "abramoff-messidor-2-refstandard-jul16.csv"
# An examination's id and whatever tells its two photographs apart; IM0001 is not the beginning of IM00012.
_NAME = re.compile(r"(?P<examination>IM\d{4})(?!\d)", re.IGNORECASE)
_USE = (
    "referable or not is said of examinations, the worse of two eyes, and no grade 0–4 is given: fit for external "
    "validation of referable disease, not for training"
)


def read(root: Path, dataset: Dataset) -> Intake:  # noqa: ARG001 - every adapter has this signature
    """Reads photographs at any depth below the root, and their examinations.

    Raises:
        DataError: The table is missing or wrong, or no photograph's name begins with an examination's id.
    """
    table = root / TABLE
    referable = _examinations(table)
    listing = list_photographs(root, root)
    examined = {path: _examination(path) for path in listing.photographs}
    with_row = [path for path in listing.photographs if examined[path] in referable]
    if not with_row:
        raise DataError(
            f"no photograph's name begins with an examination's id; the folder holds {listed(listing.photographs)}",
            where=str(table),
            todo="this reference standard fits the download of the University of Iowa (IM0001…); for that of ADCIS "
            "take the adapter messidor2_google",
        )
    found = {examined[path] for path in with_row}
    ids = stems_as_ids(with_row)
    return Intake(
        records=tuple(
            Record(ids[path], path, None, patient_id=examined[path], grader="Iowa", referable=referable[examined[path]])
            for path in with_row
        ),
        provenance=PROVENANCE,
        orphan_rows=tuple(name for name in referable if name not in found),
        orphan_files=(*(path for path in listing.photographs if examined[path] not in referable), *listing.unnameable),
        warnings=(_USE, *listing_warnings(listing)),
        hidden_files=listing.hidden_files,
        other_files=listing.other_files,
    )


def _examinations(table: Path) -> Mapping[str, int]:
    rows = read_csv(table, ("examid", "rDR"))
    wrong = [f"{row['examid']}: {row['rDR']!r}" for row in rows if row["rDR"].strip() not in {"0", "1"}]
    if wrong:
        raise DataError(f"an rDR other than 0 and 1: {listed(wrong)}", where=str(table), todo="fetch the table anew")
    referable = {row["examid"].strip().upper(): int(row["rDR"]) for row in rows}
    if len(referable) < len(rows):
        raise DataError("an examination comes twice", where=str(table), todo="fetch the table anew")
    return referable


def _examination(path: str) -> str:
    match = _NAME.match(PurePosixPath(path).stem)
    return match["examination"].upper() if match else ""
