"""The examinations of Messidor-2: which photographs are the two eyes of one person."""

import csv
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.records import Intake, listed
from dr_pipeline.schema import Eye

_HEADER = ["left", "right"]


def with_examinations(intake: Intake, table: Path) -> Intake:
    """Fills patients and eyes from the list `left;right`, one examination per row.

    The patient's id is the name of the examination's first photograph: it depends on no order of rows.

    Args:
        intake: Records without patients.
        table: messidor-2.csv; where it is missing, a warning says so.

    Raises:
        DataError: The list has another header, or names a photograph twice.
    """
    if not table.exists():
        return replace(
            intake,
            warnings=(*intake.warnings, f"{table.name}, the list of examinations, is not there: patients are unknown"),
        )
    examined = _read(table)
    records = tuple(
        replace(record, patient_id=found[0], eye=found[1]) if (found := examined.get(_plain(record.path))) else record
        for record in intake.records
    )
    alone = [record.image_id for record in records if not record.patient_id]
    told = (f"photographs in no examination of {table.name}: {listed(alone)}",) if alone else ()
    return replace(intake, records=records, warnings=(*intake.warnings, *told))


def _read(table: Path) -> dict[str, tuple[str, Eye]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of examinations cannot be read: {error}", where=printable(table)) from None
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    if not rows or [cell.casefold() for cell in rows[0][:2]] != _HEADER:
        raise DataError(
            f"the header of the list of examinations is {rows[0] if rows else 'missing'}, expected left;right",
            where=str(table),
            todo="take messidor-2.csv as ADCIS sends it",
        )
    examined: dict[str, tuple[str, Eye]] = {}
    twice: list[str] = []
    for row in rows[1:]:
        eyes = [(name, eye) for name, eye in zip(row, (Eye.LEFT, Eye.RIGHT), strict=False) if name]
        for name, eye in eyes:
            twice += [name] if _plain(name) in examined else []
            examined[_plain(name)] = (PurePosixPath(eyes[0][0]).stem, eye)
    if twice:
        raise DataError(f"photographs in two examinations: {listed(twice)}", where=str(table), todo="correct the list")
    return examined


def _plain(name: str) -> str:
    return PurePosixPath(name).stem.casefold()
