"""Messidor-2 with the adjudicated grades of Krause et al. 2018 (Google); not tried on the real download.

The root holds the photographs (`IMAGES/`), the list of examinations `messidor-2.csv` (left;right) as ADCIS sends
them, and Google's `messidor_data.csv` (image_id, adjudicated_dr_grade, adjudicated_dme, adjudicated_gradable). Its 4
photographs that are not gradable have no grade. An examination is taken as a patient; without the list, patients
are unknown. A copy on Kaggle calls the first two columns id_code and diagnosis; it is read as well.

The layout is documented at https://www.adcis.net/en/third-party/messidor2/,
https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades and in the repository rajpurkarlab/BenchMD,
src/datasets/fundus/messidor2.py.
"""

from dataclasses import replace
from pathlib import Path

from dr_pipeline.files import read_csv
from dr_pipeline.intake.adapters.messidor2_pairs import with_examinations
from dr_pipeline.intake.labels import LabelTable, read_labels
from dr_pipeline.intake.layout import labelled
from dr_pipeline.intake.listing import list_photographs
from dr_pipeline.intake.records import Intake, Provenance
from dr_pipeline.params.data_source import Dataset

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
# As the copy in Kaggle's `messidor2preprocess` has them.
_COPY = {"key": "id_code", "grade": "diagnosis"}
_GRADER = "Google, adjudicated"


def read(root: Path, dataset: Dataset) -> Intake:  # noqa: ARG001 - every adapter has this signature
    """Reads grades, photographs at any depth below the root, and the examinations.

    Raises:
        DataError: The table or a column is missing or wrong, there is no photograph, or a photograph that is not
            gradable has a grade.
    """
    table = root / "messidor_data.csv"
    listing = list_photographs(root, root)
    labels = _labels(table)
    intake = labelled(listing, labels, where=str(table), provenance=PROVENANCE)
    return with_examinations(intake, root / "messidor-2.csv")


def _labels(table: Path) -> LabelTable:
    columns = _COPY if table.is_file() and "id_code" in next(iter(read_csv(table)), {}) else COLUMNS
    labels = read_labels(table, columns)
    ungraded = sum(label.grade is None for label in labels.labels)
    graded = tuple(replace(label, others=(*label.others, ("grader", _GRADER))) for label in labels.labels)
    told = (f"{ungraded} photographs are not gradable by {table.name}; they have no grade",) if ungraded else ()
    return LabelTable(graded, (*labels.warnings, *told))
