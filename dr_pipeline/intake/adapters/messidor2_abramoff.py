"""Messidor-2, Iowa's referable or not: external validation only (not tried on the real download).

The reference standard of the University of Iowa (Abràmoff), `abramoff-messidor-2-refstandard-jul16.csv` (examid, rDR),
states for each of 874 examinations, not for an eye, whether it is referable: more than mild retinopathy, or macular
oedema, by the consensus of retina specialists. It has no grades 0–4: this adapter is for external validation of
referable disease, and no recipe trains on it. It matches the download of the University of Iowa, two photographs per
examination, whose names begin with its id (`Messidor-2/IM0001…`); the photographs that ADCIS distributes have other
names, and the correspondence is not published.

The layout is documented in the repository mikevoets/jama16-retina-replication at commit ecde152: messidor2.sh,
preprocess_messidor2.py and vendor/messidor/abramoff-messidor-2-refstandard-jul16.csv.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.intake.label_table import read_cells
from dr_pipeline.intake.photographs import list_photographs, rules_of, stems_as_ids
from dr_pipeline.intake.records import Intake, Provenance, Record, shortlist
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
# An examination's id and whatever distinguishes its two photographs; IM0001 does not match IM00012.
_NAME = re.compile(r"(?P<examination>IM\d{4})(?!\d)", re.IGNORECASE)
_USE = (
    "referable or not is given per examination, for the worse of two eyes, and there is no grade 0–4: suitable for "
    "external validation of referable disease, not for training"
)


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads photographs at any depth below the root, and their examinations.

    Raises:
        DataError: The table is missing or wrong, or no photograph's name begins with an examination's id.
    """
    table = root / TABLE
    referable = _examinations(table)
    listing = list_photographs(root, root, rules=rules_of(dataset))
    examined = {path: _examination(path) for path in listing.photographs}
    with_row = [path for path in listing.photographs if examined[path] in referable]
    if not with_row:
        raise DataError(
            "no photograph's name begins with an examination's id; the folder contains "
            f"{shortlist(listing.photographs)}",
            where=str(table),
            todo="this reference standard matches the download of the University of Iowa (IM0001…); for that of ADCIS "
            "use the adapter messidor2_google",
        )
    with_photograph = {examined[path] for path in with_row}
    ids = stems_as_ids(with_row)
    return Intake(
        records=tuple(
            Record(ids[path], path, None, patient_id=examined[path], grader="Iowa", referable=referable[examined[path]])
            for path in with_row
        ),
        provenance=PROVENANCE,
        orphan_rows=tuple(name for name in referable if name not in with_photograph),
        orphan_files=(*(path for path in listing.photographs if examined[path] not in referable), *listing.unnameable),
        warnings=(_USE, *listing.warnings()),
        left_aside=listing.left_aside,
    )


def _examinations(table: Path) -> Mapping[str, bool]:
    rows = read_cells(table, ("examid", "rDR"))
    wrong = [f"{examination}: {referable!r}" for examination, referable in rows if referable not in {"0", "1"}]
    if wrong:
        raise DataError(
            f"an rDR other than 0 and 1: {shortlist(wrong)}", where=str(table), todo="download the table again"
        )
    by_examination = {examination.upper(): referable == "1" for examination, referable in rows}
    if len(by_examination) < len(rows):
        raise DataError("an examination occurs twice", where=str(table), todo="download the table again")
    return by_examination


def _examination(path: str) -> str:
    match = _NAME.match(PurePosixPath(path).stem)
    return match["examination"].upper() if match else ""
