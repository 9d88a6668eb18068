"""Runs the intake of one data set, or of several sources: adapter, DICOM headers, manifest, readings and report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.adapter_registry import Registration, find
from dr_pipeline.errors import DataError
from dr_pipeline.folder_rules import describe_counts
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.build_manifest import Unreadable, manifest_rows, reading_rows
from dr_pipeline.intake.dicom_headers import fill_from_headers
from dr_pipeline.intake.records import Intake, shortlist
from dr_pipeline.intake.sources import read_sources
from dr_pipeline.params.data_source import Dataset
from dr_pipeline.schema import GRADE_NAMES, GRADES, REFERABLE_FROM, RESEARCH_USE, Role, Split
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.readings import ReadingRow

INTAKE_REPORT_VERSION = 2  # 2: left_aside by kind in place of hidden_files and other_files


@dataclass(frozen=True)
class IntakeResult:
    """What the stage `intake` writes: rows of manifest.csv and readings.csv, and intake.json."""

    manifest: list[ManifestRow]
    readings: list[ReadingRow]
    report: dict[str, Any]

    @property
    def headline(self) -> str:
        """The counts in one line, and a line per warning."""
        grades = _by_grade(self.report["grades"])
        orphans = sum(map(len, self.report["orphans"].values()))
        counts = self.report["readings"]
        readings = f"; {counts['photographs']} read by several graders, {counts['unanimous']} of them unanimously"
        left_aside = self.report["left_aside"]
        left_aside = f"; left aside: {describe_counts(left_aside)}" if left_aside else ""
        warnings = "".join(f"\n  warning: {sentence}" for sentence in self.report["warnings"])
        sources = "".join(
            f"\n  {source['source']}: {source['photographs']} photographs, "
            + (
                source["role"]
                if source["role"] == Role.UNLABELLED
                else f"{_by_grade(source['grades'])} ({source['role']})"
            )
            for source in self.report.get("sources", ())
        )
        return (
            f"{len(self.manifest)} photographs, grades 0–4: {grades}; {orphans} orphans"
            f"{readings if counts['photographs'] else ''}{left_aside}{sources}{warnings}"
        )


def _by_grade(grades: Mapping[str, int]) -> str:
    return " / ".join(map(str, grades.values()))


def run_intake(root: Path, dataset: Dataset) -> IntakeResult:
    """Reads a data set, or several, and builds their tables.

    A photograph that cannot be read has its row, without a sha256; the audit decides what becomes of it.

    Args:
        root: The data set's folder; with several sources, the folder that the manifest's paths start at.
        dataset: The section `dataset` of params.yaml.

    Raises:
        DataError: The data set differs from its layout, or has no grade.
        ParamsError: The adapter's parameters are wrong.
        EnvironmentProblem: The adapter of another distribution cannot be used.
    """
    if not root.is_dir():
        raise DataError(
            "the data set's folder is missing" + (" (its link has no target)" if root.is_symlink() else ""),
            where=str(root),
            todo="`dr-pipeline recipe NAME --root PATH` links it; the default data set is drawn by `dvc repro`",
        )
    if dataset.sources:
        pooled = read_sources(root, dataset)
        adapters = ", ".join(dict.fromkeys(source.adapter for source in dataset.sources if source.adapter))
        report = intake_report(pooled.intake, Registration(adapters, ""), unreadable=pooled.unreadable)
        return IntakeResult(pooled.rows, reading_rows(pooled.intake), report | {"sources": pooled.sources})
    adapter = find(dataset.adapter)
    intake = fill_from_headers(
        read_dataset(root, dataset),
        root,
        salt=dataset.pseudonym_salt,
        unknown_patient_ids=dataset.unknown_patient_ids,
    )
    rows, unreadable = manifest_rows(intake, root, source=adapter.name)
    return IntakeResult(rows, reading_rows(intake), intake_report(intake, adapter, unreadable=unreadable))


def intake_report(intake: Intake, adapter: Registration, *, unreadable: Sequence[Unreadable] = ()) -> dict[str, Any]:
    """The content of reports/intake.json: counts, orphans, warnings, whether patients are known, provenance.

    Where the adapter is another distribution's, its name and version are part of it.

    Raises:
        DataError: No photograph has a grade or is known to be referable or not.
    """
    grades = Counter(record.grade for record in intake.records)
    ungraded = grades.pop(None, 0)
    referable = Counter(record.referable for record in intake.records if record.referable is not None)
    if not grades and not referable:
        raise DataError("no photograph has a grade", where=adapter.name, todo="check the label table's grade column")
    official = Counter(record.official_split for record in intake.records if record.official_split)
    without_patient = sum(not record.patient_id for record in intake.records)
    report: dict[str, Any] = {
        "schema_version": INTAKE_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "adapter": adapter.name,
        "provenance": asdict(intake.provenance),
        "photographs": len(intake.records),
        "grades": {str(grade): grades[grade] for grade in GRADES},
        "ungraded": ungraded,
        "referable": {"0": referable[False], "1": referable[True]},
        "readings": _readings(intake),
        "official_split": {part.value: official[part] for part in Split},
        "patient_ids": {"known": without_patient == 0, "photographs_without": without_patient},
        "patient_id_findings": [finding.to_dict() for finding in intake.patient_ids],
        "orphans": {"rows": list(intake.orphan_rows), "files": list(intake.orphan_files)},
        "unreadable": [asdict(photograph) for photograph in unreadable],
        "unparsed": list(intake.unparsed),
        "identity": [{"image_id": image_id, "fields": list(fields)} for image_id, fields in intake.identity],
        "left_aside": dict(intake.left_aside),
        "warnings": [
            *intake.warnings,
            *_file_warnings(intake, unreadable),
            *_grade_warnings(grades, ungraded),
            *_patient_warnings(without_patient, len(intake.records)),
        ],
    }
    if adapter.distribution:
        report["adapter_distribution"] = {"name": adapter.distribution, "version": adapter.version}
    return report


def _readings(intake: Intake) -> dict[str, int]:
    """Photographs read by several graders, their readings, and the photographs with unanimous grades."""
    graded = [{reading.grade for reading in record.readings} for record in intake.records if record.readings]
    return {
        "photographs": len(graded),
        "readings": sum(len(record.readings) for record in intake.records),
        "unanimous": sum(len(grades) == 1 for grades in graded),
    }


def _file_warnings(intake: Intake, unreadable: Sequence[Unreadable]) -> list[str]:
    warnings = []
    if unreadable:
        names = shortlist(f"{photograph.path}: {photograph.reason}" for photograph in unreadable)
        warnings.append(f"photographs that cannot be read: {names}; make them readable, or repair broken links")
    if intake.unparsed:
        warnings.append(f"file names that do not contain a patient or an eye as declared: {shortlist(intake.unparsed)}")
    return warnings


def _grade_warnings(grades: Counter[int | None], ungraded: int) -> list[str]:
    absent = [
        f"grade {grade} ({GRADE_NAMES[grade]}) is absent from the whole data set: no metric can be computed for it"
        for grade in GRADES
        if grades and not grades[grade]
    ]
    classes = {grade >= REFERABLE_FROM for grade in grades if grade is not None}
    if len(classes) == 1:
        which = "every photograph is" if True in classes else "no photograph is"
        absent.append(
            f"{which} referable (grade {REFERABLE_FROM:d} or above): `split` refuses such labels. Where they mean not "
            "referable and referable, write 0 and 2"
        )
    return absent + ([f"{ungraded} photographs have no grade and take no part in training or figures"] * bool(ungraded))


def _patient_warnings(without: int, total: int) -> list[str]:
    if not without:
        return []
    who = "patient ids are unknown" if without == total else f"{without} of {total} photographs have no patient id"
    return [f"{who}: two eyes of one person may stand on both sides of a split"]
