"""Estimates the grades' shares among a site's photographs without labels; scores a site's photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.bundle.read import Bundle, read_bundle
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import printable
from dr_pipeline.intake.photographs import list_photographs
from dr_pipeline.logs import progress
from dr_pipeline.metrics.prior_shift import class_shares, corrected
from dr_pipeline.schema import GRADES, RESEARCH_USE, Status
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.task import ScoringTask

TIME_LIMIT_S = 60.0
MIN_PHOTOGRAPHS = 50  # the likeliest shares of one photograph are those of its own grade alone
MAX_CONTRADICTION = 0.1  # of class shares: two samples of 100 photographs differ by about as much


def class_share_report(root: Path, photographs: Path, *, site: str, engine: EngineChoice) -> dict[str, Any]:
    """The grades' shares among photographs without labels, and how many grades they would change.

    It is right only where the grades look as they did and are graded as they were. One consequence of that is checked:
    with these shares, and the errors of validation, the bundle would give the grades that it gives here. It changes no
    bundle.

    Raises:
        BundleError: The bundle is damaged, or does not state the grades of its validation photographs.
        DataError: Fewer than 50 photographs are gradable.
    """
    bundle = read_bundle(root, threads=1)
    require_no_child(bundle)
    validation = bundle.metadata["validation"]
    confusion = validation.get("gradable", validation).get("confusion")
    if confusion is None:
        raise BundleError("does not state the grades of its validation photographs", where=str(root))
    counts = np.asarray(confusion, dtype=np.float64)
    source = counts.sum(axis=1) / counts.sum()
    listing = list_photographs(photographs, photographs)
    paths, num_files = listing.photographs, len(listing.photographs) + len(listing.unnameable)
    scores = score_photographs(bundle, photographs, paths, site, engine)
    probabilities = np.array([s.grading.probabilities for s in scores if s.grading and s.status is Status.SCORED])
    if len(probabilities) < MIN_PHOTOGRAPHS:
        raise DataError(
            f"{len(probabilities)} of {num_files} photographs are gradable; at least {MIN_PHOTOGRAPHS} are needed",
            where=printable(photographs),
            todo="add photographs of the site",
        )
    shares = class_shares(probabilities, source)
    cuts = np.asarray(bundle.decision.cut_points)
    before, after = (
        np.searchsorted(cuts, p @ np.arange(len(GRADES)), side="right")
        for p in (probabilities, corrected(probabilities, source, shares))
    )
    expected = shares @ (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    given = np.bincount(before, minlength=len(GRADES)) / len(before)
    contradiction = float(np.abs(expected - given).sum() / 2)
    return {
        "bundle_id": bundle.bundle_id,
        "method": "EM on the class shares (Saerens, Latinne and Decaestecker 2002)",
        "assumes": "grades look and are graded here as where the bundle was validated",
        # Total variation between the grades that the bundle gives here and those that it would with these shares.
        "contradiction": contradiction,
        "plausible": contradiction <= MAX_CONTRADICTION,
        "photographs": len(probabilities),
        "not_graded": num_files - len(probabilities),
        "shares_at_validation": dict(zip(map(str, GRADES), source.tolist(), strict=True)),
        "shares_here": dict(zip(map(str, GRADES), shares.tolist(), strict=True)),
        "grades_that_would_change": int((before != after).sum()),
        "research_use": RESEARCH_USE,
    }


def score_photographs(
    bundle: Bundle, folder: Path, paths: Sequence[str], site: str, engine: EngineChoice
) -> list[Score]:
    """The scores of photographs, in the order of `paths`, which are relative to `folder`."""
    known_site = site if site in bundle.gradability.sites else ""
    root = folder.absolute()
    task = ScoringTask(bundle.root.absolute(), bundle.bundle_id, known_site, places=(bundle.root.absolute(), root))
    entries = [Entry(path, str(root / path)) for path in paths]
    with engine.engine(task, time_limit_s=TIME_LIMIT_S) as entered:
        results = progress(entered.results(entries), label="score", total=len(entries))
        return [score for _, score in results]


def require_no_child(parent: Bundle) -> None:
    """Raises BundleError where a bundle is itself recalibrated: its figures are of another site."""
    if earlier := parent.metadata.get("recalibration"):
        raise BundleError(
            f"this bundle is itself recalibrated, from bundle {earlier['parent']}",
            where=str(parent.root),
            todo="recalibrate that bundle, with all labelled photographs of the site",
        )
