"""Two bundles on the same photographs, each from the bytes of the files by its whole path."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dr_pipeline.bundle.read import Bundle
from dr_pipeline.deployment.class_shares import score_photographs
from dr_pipeline.deployment.known_photographs import first_of_equal_pixels, seen_by
from dr_pipeline.deployment.score_answers import answers_of
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.paired_answers import PairedAnswers
from dr_pipeline.intake.graded_files import GradedFile

SEEN, COPIES = "one of the bundles was trained or fitted on them", "the same pixels as another one"


def score_pair(
    old: Bundle, new: Bundle, folder: Path, files: Sequence[GradedFile], *, site: str, engine: EngineChoice
) -> PairedAnswers:
    """Scores photographs with both bundles; what either was trained or fitted on, and copies, are left out and counted.

    Args:
        old: The bundle in use.
        new: The bundle that may replace it.
        folder: Where the photographs are.
        files: The photographs, with their grades.
        site: Whose quality threshold is used where a bundle has one; empty: that of all.
        engine: Which processes score.

    Raises:
        DataError: The same photograph has different grades, or none is left.
    """
    names = [file.path.relative_to(folder).as_posix() for file in files]
    olds, news = (score_photographs(bundle, folder, names, site, engine) for bundle in (old, new))
    hashes = [score.pixel_hash for score in olds]
    first = first_of_equal_pixels(hashes, names, [file.grade for file in files], where="--labels")
    # Of each bundle with the hashes by its own pixel path: a JPEG may be decoded at another scale.
    seen = {*seen_by(old.metadata, hashes), *seen_by(new.metadata, [score.pixel_hash for score in news])}
    used = [index for index in range(len(files)) if index not in seen and first[index] == index]
    if not used:
        raise DataError(
            f"none of {len(files)} photographs is left: {SEEN}, or {COPIES}",
            where=str(folder),
            todo="give photographs that neither bundle was trained, validated or recalibrated on",
        )
    return PairedAnswers(
        image_ids=tuple(names[index] for index in used),
        grades=np.array([files[index].grade for index in used], dtype=np.int64),
        groups=tuple(files[index].group for index in used),
        old=answers_of([olds[index] for index in used]),
        new=answers_of([news[index] for index in used]),
        left_out={SEEN: len(seen), COPIES: len(files) - len(seen) - len(used)},
    )
