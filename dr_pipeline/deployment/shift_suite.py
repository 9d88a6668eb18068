"""Grades photographs as they are and through other cameras: from the bytes of shifted files, by the whole path.

Each photograph is decoded once at full size, sent through a camera model and encoded again, so that the checks of the
format, the search for the disc and the quality gate see the shift as they would see it in a clinic.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dr_pipeline.deployment.score_answers import answers_of
from dr_pipeline.engines.engine import Engine
from dr_pipeline.errors import ImageError
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

    def setup(self) -> Callable[[Path], list[Score]]:
        """Loads the bundle.

        Raises:
            BundleError: It fails its checks.
            DataError: No threshold was fitted for `site`.
        """
        scorer = Scorer.from_bundle(self.bundle, threads=1, site=self.site)

        def scores(path: Path) -> list[Score]:
            try:
                return score_shifted(scorer, read_image_file(path), self.shifts(), seed=self.seed)
            except ImageError as error:
                return self.failed(path, error.what)

        return scores

    def failed(self, _path: Path, reason: str) -> list[Score]:
        """The scores of a photograph that cannot be decoded, or whose worker hung or died."""
        return [failed(reason)] * (1 + len(self.shifts()))

    def shifts(self) -> list[tuple[str, str]]:
        """Each family with each level; a mirrored picture has no degrees."""
        return [(family, level) for family in self.families for level in _LEVELS_OF.get(family, tuple(LEVELS))]


def evaluate_shifts(
    files: Sequence[GradedFile], task: ShiftTask, engine: Engine[Path, list[Score]], drawn: "Resampling"
) -> dict[str, Any]:
    """Grades photographs under every shift, and reports.

    Args:
        files: The photographs; the network must not have been trained on them.
        task: The suite.
        engine: Entered, and made for `task`.
        drawn: Replicates, seed and confidence of the bootstrap.

    Returns:
        The report of `shift_report`, with `failed`: how many photographs could not be decoded, by reason; they count as
        rejected and are in no other figure.

    Raises:
        DataError: There are no referable photographs, or only such.
    """
    results = progress(engine.results([file.path for file in files]), label="grading", total=len(files))
    by_photograph = [scores for _path, scores in results]
    clean, *shifted = (answers_of(scores) for scores in zip(*by_photograph, strict=True))
    grades = np.array([file.grade for file in files], dtype=np.int64)
    cameras = [(*shift, answers) for shift, answers in zip(task.shifts(), shifted, strict=True)]
    reasons = Counter(scores[0].reason for scores in by_photograph if scores[0].status is Status.FAILED)
    report = shift_report(clean, cameras, grades, [file.group for file in files], drawn)
    return report | {"failed": dict(sorted(reasons.items())), "research_use": RESEARCH_USE}


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
