"""From the bytes of one file to its score: for a clinic's folder, the test split and the latency alike."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import Device, OnnxModel
from dr_pipeline.errors import BundleError, ImageError
from dr_pipeline.files import read_json, sha256_bytes
from dr_pipeline.fundus.pixel_path import Photograph, PixelPath, model_input
from dr_pipeline.fundus.quality.thresholds import Gradability
from dr_pipeline.schema import Status
from dr_pipeline.scoring.score import Acquisition, Grading, Score, failed

if TYPE_CHECKING:
    from dr_pipeline.scoring.lesions import LesionFinder


def _no_lap(_step: str) -> None:
    """Ignores the end of a step."""


@dataclass(frozen=True)
class Prepared:
    """What the network is still to be asked about one file.

    Attributes:
        score: The file's score but for its grading.
        inputs: uint8 RGB, shape (input_px, input_px, 3); None where there is nothing to grade.
    """

    score: Score
    inputs: NDArray[np.uint8] | None


class Scorer:
    """Scores files; loaded once, then used by any number of threads.

    Args:
        model: The ONNX file.
        input_px: Side of the network's input.
        pixel_path: From the bytes of a file to a canvas.
        decision: From logits to a grade.
        gradability: From a quality score to whether a grade is given.
        site: The site of the photographs; empty where unknown: the threshold over all sites is used.
        threads: Threads inside one operator of the network.
        lesions: Finds lesions in what gets a grade; None: they are not asked for.

    Raises:
        BundleError: The model breaks the contract, or takes another input than `input_px`.
        DataError: No threshold was fitted for `site`.
    """

    def __init__(
        self,
        model: Path | OnnxModel,
        *,
        input_px: int,
        pixel_path: PixelPath,
        decision: Decision,
        gradability: Gradability,
        site: str = "",
        threads: int,
        lesions: "LesionFinder | None" = None,
    ) -> None:
        gradability.require_site(site)
        self._model = model if isinstance(model, OnnxModel) else OnnxModel(model, threads=threads)
        if self._model.input_px != input_px:
            raise BundleError(f"the model takes {self._model.input_px} px, its description states {input_px} px")
        self.input_px, self.pixel_path, self.decision, self.bundle_id = input_px, pixel_path, decision, ""
        self.gradability, self._site, self._lesions = gradability, site, lesions

    @classmethod
    def from_export(cls, export: Path, validation: Path, gradability: Path, *, threads: int) -> "Scorer":
        """Loads a candidate that is not packed yet.

        Args:
            export: Folder that `export` wrote.
            validation: Folder that `validate` wrote.
            gradability: Quality thresholds (JSON).
            threads: Threads inside one operator of the network.

        Raises:
            DataError: A file is missing.
        """
        described = read_json(export / "export.json")
        return cls(
            export / "model.onnx",
            input_px=described["input_px"],
            pixel_path=PixelPath.from_dict(described["pixel_path"]),
            decision=Decision.from_dict(read_json(validation / "decision.json")),
            gradability=Gradability.from_dict(read_json(gradability)),
            threads=threads,
        )

    @classmethod
    def from_bundle(
        cls, bundle: Path, *, threads: int, site: str = "", device: Device = Device.CPU, lesions: bool = False
    ) -> "Scorer":
        """Loads a bundle that passes its checks, with its network for lesions where `lesions`.

        Raises:
            EnvironmentProblem: There is no such device.
            BundleError: A file is missing, unknown or altered, or the self-test fails; there is no lesions.onnx.
            DataError: No threshold was fitted for `site`.
        """
        read = read_bundle(bundle, threads=threads, device=device)
        scorer = cls(
            read.model,
            input_px=read.model.input_px,
            pixel_path=read.pixel_path,
            decision=read.decision,
            gradability=read.gradability,
            site=site,
            threads=threads,
            lesions=_finder(bundle, threads=threads) if lesions else None,
        )
        scorer.bundle_id = read.bundle_id
        return scorer

    def score(self, data: bytes, *, lap: Callable[[str], None] = _no_lap) -> Score:
        """Scores the bytes of one file; a bad image gives a status and a reason, not an exception.

        Args:
            data: The file's bytes.
            lap: Called with a step's name when the step has ended: `hash`, those of `PixelPath.process`, `input`,
                `network`, `decision`.
        """
        prepared = self.prepare(data, lap=lap)
        if prepared.inputs is None:
            return prepared.score
        logits = self.logits(prepared.inputs[np.newaxis])
        lap("network")
        score = self.graded(prepared.score, logits)
        lap("decision")
        return score

    def prepare(self, data: bytes, *, lap: Callable[[str], None] = _no_lap) -> Prepared:
        """All of `score` before the network, whose inputs can then be batched."""
        sha256 = sha256_bytes(data)
        lap("hash")
        try:
            photograph = self.pixel_path.process(data, find_text=False, lap=lap)
            inputs = model_input(photograph.canvas, self.input_px)
        except ImageError as error:
            return Prepared(failed(error.what, sha256), None)
        lap("input")
        quality = photograph.quality
        status, added = self.gradability.apply(quality.status, quality.score, site=self._site)
        score = Score(
            status=status,
            reason="" if status is Status.SCORED else added or "; ".join(quality.reasons),
            sha256=sha256,
            pixel_hash=photograph.pixel_hash,
            quality=quality.score,
            grading=None,
            acquisition=_acquisition(photograph),
            lesions=self._lesions.find(data) if self._lesions and status is Status.SCORED else None,
        )
        return Prepared(score, None if quality.status is Status.NOT_FUNDUS else inputs)

    def graded(self, score: Score, logits: NDArray[np.float32]) -> Score:
        """A prepared score with the grading of its logits, shape (1, 5).

        Where the lesions give another grade, a person is asked; the grade stays the network's.
        """
        grading = self._grading(logits)
        if self._lesions and score.lesions and self._lesions.disagrees(score.lesions.findings, grading):
            grading = replace(grading, needs_human=True)
        return replace(score, grading=grading)

    def logits(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits, float32 (N, 5), of inputs, uint8 RGB (N, input_px, input_px, 3)."""
        return self._model.logits(inputs)

    def _grading(self, logits: NDArray[np.float32]) -> Grading:
        decided = self.decision.apply(logits)
        return Grading(
            grade=int(decided.grade[0]),
            probabilities=tuple(float(p) for p in decided.probabilities[0]),
            expected_grade=float(decided.expected_grade[0]),
            referable=bool(decided.referable[0]),
            referable_probability=float(decided.referable_probability[0]),
            vision_threatening=bool(decided.vision_threatening[0]),
            needs_human=bool(decided.needs_human[0]),
        )


def _finder(bundle: Path, *, threads: int) -> "LesionFinder":
    """Imported here: a worker that looks for no lesions starts sooner without it."""
    from dr_pipeline.scoring.lesions import LesionFinder

    return LesionFinder.from_bundle(bundle, threads=threads)


def _acquisition(photograph: Photograph) -> Acquisition:
    appearance = photograph.quality.appearance
    return Acquisition(
        width=photograph.width,
        height=photograph.height,
        disc_radius=photograph.disc.radius,
        camera=photograph.camera,
        **(asdict(appearance) if appearance else {}),
    )
