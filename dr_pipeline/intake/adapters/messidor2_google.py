"""Messidor-2, Google's adjudicated grades: messidor_data.csv (not tried on the real download).

The grades are those of Krause et al. 2018. The root contains the photographs (`IMAGES/`) and the list of examinations
`messidor-2.csv` (left;right) as ADCIS distributes them, and Google's `messidor_data.csv` (image_id,
adjudicated_dr_grade, adjudicated_dme, adjudicated_gradable). Its 4 photographs that are not gradable have no grade. An
examination counts as a patient; without the list, patients are unknown. In a copy on Kaggle the first two columns are
id_code and diagnosis; it is read as well.

The layout is documented at https://www.adcis.net/en/third-party/messidor2/,
https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades and in the repository rajpurkarlab/BenchMD,
src/datasets/fundus/messidor2.py.
"""

import csv
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.join import join_labels
from dr_pipeline.intake.label_table import LabelTable, read_labels
from dr_pipeline.intake.photographs import list_photographs, rules_of
from dr_pipeline.intake.records import Intake, Provenance, shortlist
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import Eye
from dr_pipeline.tables.foreign_csv import foreign_header

PROVENANCE = Provenance(
    name="Messidor-2, adjudicated grades (Google, 2018)",
    licence="photographs: research and education only, https://www.adcis.net/en/third-party/messidor2/; grades: Kaggle",
    citation=(
        "Decencière E. et al.: Feedback on a publicly distributed image database: the Messidor database. "
        "Image Anal Stereol 2014;33:231. Krause J. et al.: Grader variability and the importance of reference "
        "standards for evaluating machine learning models for diabetic retinopathy. Ophthalmology 2018;125:1264."
    ),
)
COLUMNS = {"key": "image_id", "grade": "adjudicated_dr_grade"}
# In the copy of Kaggle's `messidor2preprocess`.
_KAGGLE_COLUMNS = {"key": "id_code", "grade": "diagnosis"}
_GRADER = "Google, adjudicated"
_EXAMINATIONS_HEADER = ["left", "right"]


def read(root: Path, dataset: Dataset) -> Intake:
    """Reads grades, photographs at any depth below the root, and the examinations.

    Raises:
        DataError: The table or a column is missing or wrong, there is no photograph, or a photograph that is not
            gradable has a grade.
    """
    table = root / "messidor_data.csv"
    listing = list_photographs(root, root, rules=rules_of(dataset))
    labels = _labels(table)
    intake = join_labels(listing, labels, where=str(table), provenance=PROVENANCE)
    return _with_examinations(intake, root / "messidor-2.csv")


def _labels(table: Path) -> LabelTable:
    columns = _KAGGLE_COLUMNS if table.is_file() and "id_code" in foreign_header(table) else COLUMNS
    labels = read_labels(table, columns)
    ungraded = sum(label.grade is None for label in labels.labels)
    graded = tuple(replace(label, grader=_GRADER) for label in labels.labels)
    warning = f"{ungraded} photographs are not gradable by {table.name}; they have no grade"
    return LabelTable(graded, (*labels.warnings, warning) if ungraded else labels.warnings)


def _with_examinations(intake: Intake, table: Path) -> Intake:
    """Fills patients and eyes from the list `left;right`, one examination per row.

    The patient's id is the name of the examination's first photograph: it does not depend on the order of rows.

    Args:
        intake: Records without patients.
        table: messidor-2.csv; where it is missing, a warning reports it.

    Raises:
        DataError: The list has another header, or names a photograph twice.
    """
    if not table.exists():
        return replace(
            intake,
            warnings=(*intake.warnings, f"{table.name}, the list of examinations, is not there: patients are unknown"),
        )
    examinations = _read_examinations(table)
    records = []
    for record in intake.records:
        patient_id, eye = examinations.get(_stem(record.path), (record.patient_id, record.eye))
        records.append(replace(record, patient_id=patient_id, eye=eye))
    alone = [record.image_id for record in records if not record.patient_id]
    warning = f"photographs in no examination of {table.name}: {shortlist(alone)}"
    warnings = (*intake.warnings, warning) if alone else intake.warnings
    return replace(intake, records=tuple(records), warnings=warnings)


def _read_examinations(table: Path) -> dict[str, tuple[str, Eye]]:
    """Patient and eye by the photograph's stem in lower case."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of examinations cannot be read: {error}", where=printable(table)) from None
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    header = rows[0] if rows else []
    if [cell.casefold() for cell in header[:2]] != _EXAMINATIONS_HEADER:
        raise DataError(
            f"the header of the list of examinations is {header or 'missing'}, expected left;right",
            where=str(table),
            todo="use messidor-2.csv as ADCIS distributes it",
        )
    examinations: dict[str, tuple[str, Eye]] = {}
    repeated: list[str] = []
    for row in rows[1:]:
        eyes = [(name, eye) for name, eye in zip(row, (Eye.LEFT, Eye.RIGHT), strict=False) if name]
        for name, eye in eyes:
            repeated += [name] if _stem(name) in examinations else []
            examinations[_stem(name)] = (PurePosixPath(eyes[0][0]).stem, eye)
    if repeated:
        raise DataError(
            f"photographs in two examinations: {shortlist(repeated)}", where=str(table), todo="correct the list"
        )
    return examinations


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.casefold()
