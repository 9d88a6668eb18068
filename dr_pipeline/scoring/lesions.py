"""Finds lesions in a photograph: from its bytes to counts and places in its own pixels."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dr_pipeline.bundle.bundle_files import no_lesions
from dr_pipeline.bundle.lesions import LesionModel, read_lesions
from dr_pipeline.fundus.canvas import canvas_window, to_canvas
from dr_pipeline.fundus.decode import decode, read_image_file
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.lesions.count import count_lesions
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Agreement, Counts, agreement, second_opinion
from dr_pipeline.machine import usable_threads
from dr_pipeline.scoring.score import Grading, LesionScore
from dr_pipeline.tables.manifest import ManifestRow


class LesionFinder:
    """Finds lesions with a bundle's lesions.onnx; loaded once, then used by any number of threads."""

    def __init__(self, model: LesionModel) -> None:
        self._model = model

    @classmethod
    def from_bundle(cls, root: Path, *, threads: int) -> "LesionFinder":
        """Loads the network of a bundle that passes its checks.

        Raises:
            BundleError: The bundle has no lesions.onnx, a file is altered, or the network breaks its contract.
        """
        model = read_lesions(root, threads=threads)
        if model is None:
            raise no_lesions(root)
        return cls(model)

    def find(self, data: bytes) -> LesionScore:
        """Finds the lesions in the bytes of one file.

        Lesions of a few pixels need a larger canvas than grading does: the file is decoded once more, at the scale of
        that canvas, as it was for the training of the lesion network.

        Raises:
            ImageError: The file yields no picture.
        """
        start_s = time.perf_counter()
        description = self._model.description
        decoded = decode(data, description.canvas_px)
        disc = find_disc(decoded.pixels)
        canvas = to_canvas(decoded.pixels, disc, description.canvas_px)
        window = canvas_window(disc, description.canvas_px).scaled(decoded.scale)
        findings = count_lesions(self._model.probabilities(canvas), canvas, window, description.counting)
        return LesionScore(findings, time.perf_counter() - start_s)

    @staticmethod
    def disagrees(findings: Findings, grading: Grading) -> bool:
        """Whether the second opinion on what was found lies otherwise than the network's grade."""
        opinion = second_opinion(Counts.of(findings))
        return agreement(opinion, grade=grading.grade, referable=grading.referable) is not Agreement.AGREES


def find_by_id(bundle: Path, root: Path, manifest: Iterable[ManifestRow]) -> Callable[[str], Findings] | None:
    """What is found in the photograph of an id; None where the bundle has no lesions.onnx.

    Args:
        bundle: The bundle.
        root: The folder that the manifest's paths are relative to.
        manifest: Where each photograph is.
    """
    model = read_lesions(bundle, threads=usable_threads())
    if model is None:
        return None
    finder, paths = LesionFinder(model), {row.image_id: row.path for row in manifest}
    return lambda image_id: finder.find(read_image_file(root / paths[image_id])).findings
