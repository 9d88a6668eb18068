"""Grades photographs as they are and through other cameras: from the bytes of shifted files, by the whole path.

Each photograph is decoded once at full size, sent through a camera model and encoded again, so that the checks of the
format, the search for the disc and the quality gate see the shift as they would see it in a clinic. Photographs that
the bundle was developed on, by their pixels, are not graded: on them its figures are too good.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dr_pipeline.bundle.bundle_files import METADATA
from dr_pipeline.bundle_storage import read_stored
from dr_pipeline.deployment.known_photographs import first_of_equal_pixels, seen_by
from dr_pipeline.deployment.score_answers import answers_of
from dr_pipeline.engines.engine import Engine
from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.evaluation.shift_figures import LEVELS, shift_report
from dr_pipeline.fundus.camera_models import CAMERA_MODELS, FLIP, Camera, draw_camera
from dr_pipeline.fundus.decode import decode, read_image_file
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.intake.graded_files import GradedFile
from dr_pipeline.logs import progress
from dr_pipeline.schema import RESEARCH_USE, Status
from dr_pipeline.scoring.score import Score, failed
from dr_pipeline.scoring.scorer import Scorer

if TYPE_CHECKING:
    from dr_pipeline.evaluation.image_metrics import Resampling

MIXED = "mixed"  # three models at once, drawn for each photograph
FAMILIES = (*CAMERA_MODELS, MIXED)
_LEVELS_OF = {FLIP: ("severe",)}
# A canvas as large as this keeps the decoder from reducing a JPEG.
_FULL_SIZE_PX = 1 << 20


@dataclass(frozen=True)
class ShiftTask:
    """Grades photographs with a bundle that each worker loads and verifies itself.

    Attributes:
        bundle: The bundle's folder.
        families: Some of `FAMILIES`; each at all levels.
        site: Whose quality threshold is used; empty: that of all.
        seed: Of the mixed cameras.
    """

    bundle: Path
    families: tuple[str, ...] = FAMILIES
    site: str = ""
    seed: int = 0
    modules: ClassVar[tuple[str, ...]] = ("dr_pipeline.engines.local", "dr_pipeline.scoring.scorer", "onnxruntime")

    @property
    def places(self) -> tuple[Path, ...]:
        """What every machine must have."""
        return (self.bundle,)

    def setup(self) -> Callable[[Path], list[Score] | None]:
        """Loads the bundle.

        Returns:
            A photograph → its scores, as it is and under each of `shifts`; None: the bundle was developed on it.

        Raises:
            BundleError: It fails its checks.
            DataError: No threshold was fitted for `site`.
        """
        scorer = Scorer.from_bundle(self.bundle, threads=1, site=self.site)
        metadata = json.loads(read_stored(self.bundle, METADATA))

        def scores(path: Path) -> list[Score] | None:
            try:
                data = read_image_file(path)
                if seen_by(metadata, [scorer.prepare(data).score.pixel_hash]):
                    return None
                return score_shifted(scorer, data, self.shifts(), seed=self.seed)
            except ImageError as error:
                return self.failed(path, error.what)

        return scores

    def failed(self, _path: Path, reason: str) -> list[Score] | None:
        """The scores of a photograph that cannot be decoded, or whose worker hung or died."""
        return [failed(reason)] * (1 + len(self.shifts()))

    def shifts(self) -> list[tuple[str, str]]:
        """Each family with each level; a mirrored picture has no degrees."""
        return [(family, level) for family in self.families for level in _LEVELS_OF.get(family, tuple(LEVELS))]


def evaluate_shifts(
    files: Sequence[GradedFile], task: ShiftTask, engine: Engine[Path, list[Score] | None], drawn: "Resampling"
) -> dict[str, Any]:
    """Grades photographs under every shift, and reports.

    Args:
        files: The photographs.
        task: The suite.
        engine: Entered, and made for `task`.
        drawn: Replicates, seed and confidence of the bootstrap.

    Returns:
        The report of `shift_report`, with `failed`: how many photographs could not be decoded, by reason; they count as
        rejected and are in no other figure. `left_out`: how many are in no figure at all, since the bundle was
        developed on them (`seen`) or on others of their patients (`related`), or they are copies (`copies`).

    Raises:
        DataError: There are no referable photographs, or only such; copies have different grades; or the bundle was
            developed on all of them or on all of their patients.
    """
    results = progress(engine.results([file.path for file in files]), label="grading", total=len(files))
    graded = [scores for _path, scores in results]
    used, left_out = _independent(files, graded)
    if not used:
        raise DataError(
            f"none of {len(files)} photographs is new to the bundle: it was developed on {left_out['seen']} of them"
            + (f" and on others of the patients of {left_out['related']}" if left_out["related"] else ""),
            where=str(task.bundle),
            todo="give photographs of other patients, such as those of the test part (--splits, --part test)",
        )
    by_photograph = [scores for index in used if (scores := graded[index])]
    clean, *shifted = (answers_of(scores) for scores in zip(*by_photograph, strict=True))
    grades = np.array([files[index].grade for index in used], dtype=np.int64)
    cameras = [(*shift, answers) for shift, answers in zip(task.shifts(), shifted, strict=True)]
    reasons = Counter(scores[0].reason for scores in by_photograph if scores[0].status is Status.FAILED)
    report = shift_report(clean, cameras, grades, [files[index].group for index in used], drawn)
    return report | {"failed": dict(sorted(reasons.items())), "left_out": left_out, "research_use": RESEARCH_USE}


def _independent(files: Sequence[GradedFile], graded: Sequence[list[Score] | None]) -> tuple[list[int], dict[str, int]]:
    """Positions of the photographs that figures may count, and how many are left out for which reason."""
    seen = [scores is None for scores in graded]
    seen_groups = {file.group for file, known in zip(files, seen, strict=True) if known}
    first = first_of_equal_pixels(
        [scores[0].pixel_hash if scores else "" for scores in graded],
        [file.path.name for file in files],
        [file.grade for file in files],
        where="--labels",
    )
    unrelated = [index for index, file in enumerate(files) if file.group not in seen_groups]
    used = [index for index in unrelated if first[index] == index]
    left_out = {
        "seen": sum(seen),
        "related": len(files) - len(unrelated) - sum(seen),
        "copies": len(unrelated) - len(used),
    }
    return used, left_out


def score_shifted(scorer: Scorer, data: bytes, shifts: Sequence[tuple[str, str]], *, seed: int) -> list[Score]:
    """The score of one photograph as it is, then under each shift.

    Args:
        scorer: The bundle or candidate.
        data: The file's bytes.
        shifts: Family, of `FAMILIES`, and level, of `LEVELS`.
        seed: Of the mixed cameras, which depend on the photograph and on nothing else.

    Raises:
        ImageError: The photograph cannot be decoded.
    """
    pixels = decode(data, _FULL_SIZE_PX).pixels
    disc = find_disc(pixels)
    cameras = _cameras(shifts, data, seed)
    return [scorer.score(data), *(scorer.score(camera.encode(camera.photograph(pixels, disc))) for camera in cameras)]


def _cameras(shifts: Sequence[tuple[str, str]], data: bytes, seed: int) -> Iterator[Camera]:
    for family, level in shifts:
        if family == MIXED:  # the same models at each level
            digest = hashlib.sha256(f"{seed}\0".encode() + data).digest()
            yield draw_camera(np.random.default_rng(list(digest)), LEVELS[level])
        else:
            yield Camera(frozenset({family}), LEVELS[level])
