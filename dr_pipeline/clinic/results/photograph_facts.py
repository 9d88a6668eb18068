"""What a clinic knows of a photograph beyond the predictions: its patient's birth date and its DICOM study."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable, spreadsheet_plain
from dr_pipeline.tables.foreign_csv import foreign_header, iterate_foreign
from dr_pipeline.tables.predictions import PredictionRow

_KEYS = ("path", "file", "filename", "image")
_FACTS = ("birth_date", "study_uid")


@dataclass(frozen=True)
class PhotographFacts:
    """Facts by image id.

    Attributes:
        birth_dates: Compared with each other and written nowhere.
        study_uids: DICOM Study Instance UIDs.
        num_unmatched: Rows of the table that fit no photograph.
    """

    birth_dates: dict[str, str]
    study_uids: dict[str, str]
    num_unmatched: int = 0


NOTHING_KNOWN = PhotographFacts({}, {})


def read_photograph_facts(path: Path, rows: Sequence[PredictionRow]) -> PhotographFacts:
    """Reads the table that `score --people` takes too, of which this uses two more columns.

    Args:
        path: A CSV, see `iterate_foreign`, with a column path, file, filename or image, whose cells are paths or file
            names of the predictions, and any of birth_date (a date, or any text that is equal for equal dates) and
            study_uid.
        rows: The predictions.

    Raises:
        DataError: The table or a column is missing; a name fits two photographs, or two rows of different facts fit
            one. The message names rows, never patients.
    """
    columns = {name.casefold(): name for name in (foreign_header(path) if path.is_file() else [])}
    key = next((columns[name] for name in _KEYS if name in columns), None)
    if key is None or not any(name in columns for name in _FACTS):
        raise DataError(
            "the table needs a column path, file, filename or image, and one of birth_date and study_uid",
            where=printable(path),
            todo="name its columns so, in the first row",
        )
    paths = {_plain(row.path): row.image_id for row in rows}
    names = Counter(plain.rpartition("/")[2] for plain in paths)
    by_name = {plain.rpartition("/")[2]: image_id for plain, image_id in paths.items()}
    facts = {name: dict[str, str]() for name in _FACTS}
    num_unmatched = 0
    for number, cells in iterate_foreign(path):
        if not any(cells.values()):  # what a spreadsheet leaves below its last row
            continue
        wanted = _plain(cells[key])
        if wanted not in paths and names[wanted] > 1:
            raise DataError(
                f"the file name fits {names[wanted]} photographs",
                where=f"{printable(path)}, row {number}",
                todo="write paths, with their folders, into the table",
            )
        image_id = paths.get(wanted) or by_name.get(wanted)
        num_unmatched += image_id is None
        for name, known in facts.items():
            value = _normal(cells[columns[name]]) if name in columns else ""
            if image_id and value and known.setdefault(image_id, value) != value:
                raise DataError(
                    f"an earlier row has another {name} for the same photograph",
                    where=f"{printable(path)}, row {number}",
                    todo="correct the table",
                )
    return PhotographFacts(facts["birth_date"], facts["study_uid"], num_unmatched)


def _plain(path: str) -> str:
    """One spelling of a path: `é` is two characters in macOS's file names."""
    return unicodedata.normalize("NFC", spreadsheet_plain(printable(path))).replace("\\", "/").removeprefix("./")


def _normal(text: str) -> str:
    """1950-02-01 and 19500201 are one date; a study UID keeps its dots."""
    return text.strip().casefold().replace("-", "")
