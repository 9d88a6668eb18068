"""Recalibrates a bundle on labelled photographs of another site, and writes the result as a child bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.bundle_files import LESIONS, MODEL, WEIGHTS
from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.read import Bundle, read_bundle
from dr_pipeline.bundle.recalibrated import recalibrated_metadata
from dr_pipeline.bundle.reference import read_reference
from dr_pipeline.bundle.verify import verified_content, verify_weights
from dr_pipeline.bundle.write import require_new_folder, write_bundle
from dr_pipeline.bundle_storage import read_stored
from dr_pipeline.deployment.class_shares import require_no_child, score_photographs
from dr_pipeline.deployment.formats.attribution_part import attribution_part
from dr_pipeline.deployment.known_photographs import first_of_equal_pixels, seen_by
from dr_pipeline.deployment.sbom import runtime_sbom
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.recalibration import Recalibration, few_of_a_grade, recalibrate, require_width
from dr_pipeline.files import printable, sha256_file, spreadsheet_safe
from dr_pipeline.intake.graded_files import read_graded_records
from dr_pipeline.intake.records import Record, shortlist
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.schema import GRADES, Status
from dr_pipeline.scoring.score import Score
from dr_pipeline.tables.recalibrated import RecalibratedRow


@dataclass(frozen=True)
class Site:
    """Where the photographs come from.

    Attributes:
        photographs: Their folder.
        labels: The label table.
        columns: Its columns by the fields of `LabelText`: key, grade and perhaps patient_id.
        name: Of the site; empty: unknown. Where the bundle has a quality threshold for this site, it applies.
    """

    photographs: Path
    labels: Path
    columns: Mapping[str, str]
    name: str = ""


@dataclass(frozen=True)
class Options:
    """What the fit aims at, and how its figures are made.

    Attributes:
        targets: Target sensitivity, and fraction for human review.
        params: Confidence, bootstrap replicates and their seed.
        max_width: The widest interval of the held-out kappa that is accepted; None: any.
        engine: Which processes score.
    """

    targets: OperatingPoint
    params: Evaluation
    max_width: float | None = None
    engine: EngineChoice = field(default_factory=EngineChoice)


@dataclass(frozen=True)
class Outcome:
    """What was done.

    Attributes:
        child: The bundle that was written, as it was read back.
        report: Figures before and after, with their difference, and the numbers of photographs.
        rows: Every labelled photograph.
        warnings: Sentences for the user.
    """

    child: Bundle
    report: dict[str, Any]
    rows: list[RecalibratedRow]
    warnings: tuple[str, ...]


def recalibrate_bundle(root: Path, site: Site, out: Path, options: Options) -> Outcome:
    """Fits the decision on the site's labelled photographs and writes the child bundle to `out`.

    The photographs are scored as `score` does it. Only gradable ones are fitted on: no other gets a grade.

    Args:
        root: The parent bundle.
        site: The labelled photographs.
        out: The folder of the child, which is new or empty.
        options: Targets, intervals, engine.

    Raises:
        BundleError: The parent is damaged or itself recalibrated.
        DataError: The labels do not fit the photographs, contradict each other, or are too few; the parent was
            developed on a photograph; there is something at `out`.
        GateError: The interval is wider than was asked for.
    """
    require_new_folder(out, parent=root)
    parent = read_bundle(root, threads=1)
    verify_weights(root)
    require_no_child(parent)
    records, warnings = read_graded_records(site.photographs, site.labels, site.columns)
    scores = score_photographs(parent, site.photographs, [record.path for record in records], site.name, options.engine)
    _require_unseen(parent, records, scores)
    first = first_of_equal_pixels(
        [score.pixel_hash for score in scores],
        [record.path for record in records],
        [record.grade for record in records],
        where=str(site.labels),
    )
    used = [index for index, score in enumerate(scores) if score.status is Status.SCORED and first[index] == index]
    grades = np.array([records[index].grade for index in used], dtype=np.int64)
    groups = [_group(records[index]) for index in used]
    provenance = {
        "split": "recalibration",
        "site": site.name,
        "photographs": str(len(used)),
        "labels_sha256": sha256_file(site.labels),
        "parent": parent.bundle_id,
    }
    fit = recalibrate(
        parent.decision,
        logits_of([scores[index] for index in used], parent.decision),
        grades,
        groups,
        targets=options.targets,
        params=options.params,
        provenance=provenance,
    )
    if options.max_width is not None:
        require_width(fit.report, options.max_width)
    report = _report(fit, site, options, scores, used=used, groups=groups)
    _write_child(parent, fit.decision, report, [scores[index].pixel_hash for index in used], out)
    warnings += _warnings(parent, records, grades, used, report)
    return Outcome(read_bundle(out, threads=1), report, _rows(records, scores, first, used, fit), warnings)


def logits_of(scores: Sequence[Score], decision: Decision) -> NDArray[np.float64]:
    """The network's logits up to a constant per photograph, shape (N, 5), from the probabilities of `decision`."""
    probabilities = np.array([score.grading.probabilities for score in scores if score.grading], dtype=np.float64)
    smallest = np.finfo(np.float64).tiny
    return np.asarray(np.log(np.maximum(probabilities.reshape(-1, len(GRADES)), smallest)) * decision.temperature)


def _require_unseen(parent: Bundle, records: Sequence[Record], scores: Sequence[Score]) -> None:
    """Raises DataError where the parent was trained or fitted on a photograph, by its pixels."""
    seen = [records[index].path for index in seen_by(parent.metadata, [score.pixel_hash for score in scores])]
    if seen:
        raise DataError(
            f"the bundle was trained or fitted on these photographs: {shortlist(map(printable, seen))}",
            where=str(parent.root),
            todo="label photographs that it has not seen: on these its grades are too good",
        )


def _group(record: Record) -> str:
    """The patient, or the photograph alone where the patient is unknown."""
    return f"patient:{record.patient_id}" if record.patient_id else f"photograph:{record.path}"


def _report(
    fit: Recalibration,
    site: Site,
    options: Options,
    scores: Sequence[Score],
    *,
    used: Sequence[int],
    groups: Sequence[str],
) -> dict[str, Any]:
    statuses = [score.status for score in scores]
    return {
        "site": site.name,
        "photographs": len(used),
        "patients": len(set(groups)),
        "labelled": len(scores),
        "by_status": {str(status): statuses.count(status) for status in Status if status in statuses},
        "labels_sha256": fit.decision.fitted_on["labels_sha256"],
        "targets": options.targets.model_dump(),
        "confidence": options.params.confidence,
        "fitted": "after: each photograph is graded by a decision fitted on the other four fifths of the patients; "
        "the bundle's own decision is fitted on all of them",
        **fit.report,
    }


def _write_child(
    parent: Bundle, decision: Decision, report: Mapping[str, Any], pixel_hashes: Sequence[str], out: Path
) -> None:
    reference, model = read_reference(parent.root), read_stored(parent.root, MODEL)
    write_bundle(
        out,
        model=model,
        weights=read_stored(parent.root, WEIGHTS),
        metadata=recalibrated_metadata(parent.metadata, decision, report, pixel_hashes),
        golden=make_golden(parent.model, decision),
        reference=reference.without_scores() if reference else None,
        sbom=runtime_sbom(),
        explain=attribution_part(model),
        lesions=verified_content(parent.root).get(LESIONS, b""),
    )
    verify_weights(out)


def _warnings(
    parent: Bundle, records: Sequence[Record], grades: NDArray[np.int64], used: Sequence[int], report: Mapping[str, Any]
) -> tuple[str, ...]:
    warnings = [few_of_a_grade(grades)]
    if not parent.metadata.get("development_pixels"):
        warnings.append(
            "the bundle does not state which photographs it was trained on, so that it was not checked that these are "
            "others; bundles that `dvc repro package` writes now do"
        )
    unknown = sum(not records[index].patient_id for index in used)
    if unknown:
        warnings.append(
            f"{unknown} of {len(used)} photographs are of unknown patients: each counts as a patient of its own, so "
            "that the intervals are too narrow where a patient has several"
        )
    difference = report["difference"]["qwk"]
    if difference["value"] is None or difference["value"] <= 0:
        warnings.append("the held-out kappa did not rise: go on with the parent bundle")
    elif difference["low"] is None or difference["low"] <= 0:
        warnings.append("the gain in kappa may be chance: its interval includes 0")
    return tuple(filter(None, warnings))


def _rows(
    records: Sequence[Record],
    scores: Sequence[Score],
    first: Sequence[int],
    used: Sequence[int],
    fit: Recalibration,
) -> list[RecalibratedRow]:
    place = {index: position for position, index in enumerate(used)}
    rows = []
    for index, (record, score) in enumerate(zip(records, scores, strict=True)):
        at = place.get(index)
        duplicate = f"the same pixels as {records[first[index]].path}" if first[index] != index else ""
        rows.append(
            RecalibratedRow(
                path=spreadsheet_safe(printable(record.path)),
                status=score.status,
                reason=spreadsheet_safe(printable(score.reason or duplicate)),
                grade=record.grade or 0,
                before=None if at is None else int(fit.before.grade[at]),
                after=None if at is None else int(fit.after.grade[at]),
            )
        )
    return rows
