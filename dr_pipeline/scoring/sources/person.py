"""Whose photograph an input is."""

from dataclasses import dataclass

from dr_pipeline.schema import Eye


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of a photograph beside its pixels; empty where it is not.

    Attributes:
        patient_id: As the clinic's table or names have it; a pseudonym where it comes from a DICOM header.
        eye: Left or right.
        visit: As the table or the name has it; from a DICOM header the date of the study, YYYYMMDD.
        site: As the table or the name has it; never from a DICOM header, whose institution identifies people.
        birth_date_hash: Of a DICOM header: equal for photographs of one patient id with one birth date, and as hard to
            reverse as the pseudonym.
    """

    patient_id: str = ""
    eye: Eye = Eye.UNKNOWN
    visit: str = ""
    site: str = ""
    birth_date_hash: str = ""


UNKNOWN = Person()
