"""Reads several data sets as one: ids, patients and sites that cannot collide, each photograph with its source's role.

An image id is `<source>__<id>` and a patient `<source>__<patient>`: two public sets that both have a patient 1 do not
share a person. Whether they share photographs is for the audit to find.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dr_pipeline.adapter_registry import find
from dr_pipeline.errors import DataError, DrPipelineError, ParamsError
from dr_pipeline.files import printable
from dr_pipeline.intake.adapters import read_dataset
from dr_pipeline.intake.build_manifest import Unreadable, manifest_rows
from dr_pipeline.intake.dicom_headers import fill_from_headers
from dr_pipeline.intake.join import concatenate
from dr_pipeline.intake.photographs import ids_from_paths, list_photographs, prefixed_id, rules_of
from dr_pipeline.intake.records import Intake, Provenance, Record, shortlist
from dr_pipeline.logs import logger
from dr_pipeline.params.data_source import Dataset, Source
from dr_pipeline.schema import GRADES, Role
from dr_pipeline.tables.manifest import ManifestRow

_ELSEWHERE = (
    "lies outside dataset.root: manifest and reports have absolute paths of this machine; link the folder there "
    "(`dr-pipeline recipe sources` does) to keep them out"
)
_UNLABELLED = Provenance(name="unlabelled photographs", licence="the owner's", citation="")


@dataclass(frozen=True)
class PooledIntake:
    """Several data sets as one.

    Attributes:
        intake: All records; ids, patients, sites and names of what did not fit have their source's prefix.
        rows: The manifest, sorted by image id.
        unreadable: The photographs that cannot be read.
        sources: For the report: what each source is and gave.
    """

    intake: Intake
    rows: list[ManifestRow]
    unreadable: tuple[Unreadable, ...]
    sources: list[dict[str, Any]]


def read_sources(root: Path, dataset: Dataset) -> PooledIntake:
    """Reads each source with its adapter.

    Args:
        root: The folder that the manifest's paths start at, where a source lies below it; other paths are absolute.
        dataset: The section `dataset`, with sources.

    Raises:
        DataError: A source differs from its layout, has no grade, or two have a photograph in common.
        ParamsError: A source's parameters are wrong, or two sources have one root.
        EnvironmentProblem: The adapter of another distribution cannot be used.
    """
    _require_different_roots(dataset.sources)
    intakes: list[Intake] = []
    rows: list[ManifestRow] = []
    unreadable: list[Unreadable] = []
    for source in dataset.sources:
        with _errors_of(source):
            intake = _rebased(_read(dataset.of_source(source), source), source, root)
            found, failed = manifest_rows(intake, root, source=source.prefix, role=Role(source.role))
        logger.info("source %s: %d photographs", source.prefix, len(found))
        intakes.append(intake)
        rows += found
        unreadable += failed
    _require_different_files(rows, root)
    return PooledIntake(
        intake=_pooled(intakes),
        rows=sorted(rows, key=lambda row: row.image_id),
        unreadable=tuple(unreadable),
        sources=[_summary(source, intake) for source, intake in zip(dataset.sources, intakes, strict=True)],
    )


def _require_different_roots(sources: Sequence[Source]) -> None:
    """By the folder itself, so that links and spellings do not hide it."""
    seen: dict[tuple[int, int], str] = {}
    for source in sources:
        folder = Path(source.root)
        if not folder.is_dir():
            raise DataError(
                f"the folder of the source {source.prefix!r} is missing"
                + (" (its link has no target)" if folder.is_symlink() else ""),
                where=printable(folder),
                todo="correct its root in params.yaml under dataset.sources, or link the folder there",
            )
        status = folder.stat()
        other = seen.setdefault((status.st_dev, status.st_ino), source.prefix)
        if other != source.prefix:
            raise ParamsError(
                f"the sources {other!r} and {source.prefix!r} have the same root: {source.root}",
                where="params.yaml, dataset.sources",
                todo="keep one of them, or correct a root; parts of one set are divided by its own table or folders",
            )


def _require_different_files(rows: Sequence[ManifestRow], root: Path) -> None:
    """One root may lie within another; a photograph that both list would be two photographs of two people."""
    owner: dict[str, ManifestRow] = {}
    shared = []
    for row in rows:
        other = owner.setdefault(os.path.realpath(root / row.path), row)
        if other.source != row.source:
            shared.append(f"{other.image_id} = {row.image_id}")
    if shared:
        raise DataError(
            f"files that two sources list, as photographs of their own: {shortlist(shared)}",
            where="params.yaml, dataset.sources",
            todo="one root lies within the other, or is linked there: leave it out with `ignore`, or name a narrower "
            "root",
        )


@contextmanager
def _errors_of(source: Source) -> Iterator[None]:
    """Errors of an adapter, with the source's name and its own keys of params.yaml."""
    try:
        yield
    except DrPipelineError as error:
        own = f"dataset.sources, {source.prefix}: "
        raise type(error)(
            f"source {source.prefix!r}: {error.what}",
            where=error.where.replace("dataset.", own),
            todo=error.todo.replace("dataset.", own),
        ) from error


def _read(dataset: Dataset, source: Source) -> Intake:
    root = Path(source.root)
    intake = fill_from_headers(
        read_dataset(root, dataset) if dataset.adapter else _listed(root, dataset),
        root,
        salt=dataset.pseudonym_salt,
        unknown_patient_ids=dataset.unknown_patient_ids,
    )
    if source.is_unlabelled:
        records = (replace(record, grade=None, referable=None, readings=()) for record in intake.records)
        return replace(intake, records=tuple(records))
    if all(record.grade is None and record.referable is None for record in intake.records):
        raise DataError(
            "no photograph has a grade",
            where=source.adapter,
            todo="check the label table's grade column, or give the source `role: unlabelled`",
        )
    return intake


def _listed(root: Path, dataset: Dataset) -> Intake:
    """All photographs below a folder, without any label."""
    listing = list_photographs(root, root, rules=rules_of(dataset))
    ids = ids_from_paths(listing.photographs)
    return Intake(
        records=tuple(Record(ids[path], path, None) for path in listing.photographs),
        provenance=_UNLABELLED,
        orphan_files=listing.unnameable,
        warnings=listing.warnings(),
        left_aside=listing.left_aside,
    )


def _rebased(intake: Intake, source: Source, root: Path) -> Intake:
    """The intake with ids, patients, sites and paths that are unique among all sources."""
    folder, prefix = _below(root, Path(source.root)), source.prefix

    def rebased(record: Record) -> Record:
        own_site = record.site if record.site != source.site else ""
        return replace(
            record,
            image_id=prefixed_id(prefix, record.image_id),
            path=(folder / record.path).as_posix(),
            patient_id=f"{prefix}__{record.patient_id}" if record.patient_id else "",
            site=f"{source.site}/{own_site}" if own_site else source.site,
        )

    return replace(
        intake,
        records=tuple(map(rebased, intake.records)),
        orphan_rows=tuple(f"{prefix}: {name}" for name in intake.orphan_rows),
        orphan_files=tuple(f"{prefix}: {name}" for name in intake.orphan_files),
        unparsed=tuple(f"{prefix}: {name}" for name in intake.unparsed),
        warnings=tuple(
            f"{prefix}: {sentence}"
            for sentence in (
                *intake.warnings,
                *_scale_warning(intake),
                *((_ELSEWHERE,) if folder.is_absolute() else ()),
            )
        ),
        identity=tuple((prefixed_id(prefix, image_id), fields) for image_id, fields in intake.identity),
        patient_ids=tuple(
            replace(finding, image_ids=tuple(prefixed_id(prefix, image_id) for image_id in finding.image_ids))
            for finding in intake.patient_ids
        ),
    )


def _below(root: Path, folder: Path) -> Path:
    """A source's folder relative to the root, or absolute where it lies elsewhere; links are not resolved."""
    root, folder = (Path(os.path.normpath(path.absolute())) for path in (root, folder))
    return folder.relative_to(root) if folder.is_relative_to(root) else folder


def _scale_warning(intake: Intake) -> tuple[str, ...]:
    """A sentence where grades are absent: rare ones, or those of a scale within 0–4, such as 0 no and 1 referable."""
    present = {record.grade for record in intake.records if record.grade is not None}
    if not present or present == set(GRADES):
        return ()
    grades = ", ".join(map(str, sorted(present)))
    return (
        f"has the grades {grades} only; if they are of another scale than the International Clinical DR scale, map its "
        "words with `folder.values.grade` of the source (adapter folder)",
    )


def _pooled(parts: Sequence[Intake]) -> Intake:
    names, licences, citations = (
        "; ".join(dict.fromkeys(filter(None, (getattr(part.provenance, field) for part in parts))))
        for field in ("name", "licence", "citation")
    )
    return replace(
        concatenate(parts),
        provenance=Provenance(names, licences, citations),
        identity=tuple(entry for part in parts for entry in part.identity),
        patient_ids=tuple(finding for part in parts for finding in part.patient_ids),
    )


def _summary(source: Source, intake: Intake) -> dict[str, Any]:
    grades = Counter(record.grade for record in intake.records)
    summary: dict[str, Any] = {
        "source": source.prefix,
        "site": source.site,
        "sites": sorted({record.site for record in intake.records}),
        "role": source.role,
        "adapter": source.adapter,
        "provenance": asdict(intake.provenance),
        "photographs": len(intake.records),
        "grades": {str(grade): grades[grade] for grade in GRADES},
        "ungraded": grades[None],
        "without_patient": sum(not record.patient_id for record in intake.records),
    }
    if source.adapter and (adapter := find(source.adapter)).distribution:
        summary["adapter_distribution"] = {"name": adapter.distribution, "version": adapter.version}
    return summary
