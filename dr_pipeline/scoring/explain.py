"""What raised a photograph's grade: a map over the canvas and over the photograph itself; needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.attribution import ATTRIBUTION_NAME, AttributionModel, read_attribution
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.errors import BundleError
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import Photograph, model_input
from dr_pipeline.fundus.registration import map_in_original, points_in_original
from dr_pipeline.schema import GRADES, Status
from dr_pipeline.scoring.score import Score
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.scoring.task import score_bytes

OCCLUSION_NAME = "occlusion"
METHODS = (ATTRIBUTION_NAME, OCCLUSION_NAME)
_BATCH = 16
# A window of a tenth of the input, moved by half of itself, is replaced by the medians around its pixels: tissue, no
# lesion. On the phantom that points at a lesion in 0.57 of 21 photographs, the window's mean colour in 0.43.
_WINDOW_FRACTION = 0.1
_MAX_MEDIAN_PX = 255
_SEVERITY = np.array(GRADES, np.float64) - np.mean(GRADES)


@dataclass(frozen=True, eq=False)
class Explanation:
    """A photograph's score, and what raised it.

    Attributes:
        score: As `score` gives it.
        photograph: Its canvas and geometry; None where it is not graded.
        canvas_map: float32 (canvas_px, canvas_px): above 0 what raised the severity, below 0 what lowered it, 0 outside
            the disc; None where it is not graded.
    """

    score: Score
    photograph: Photograph | None = None
    canvas_map: NDArray[np.float32] | None = None

    def original_map(self) -> NDArray[np.float32]:
        """The map in pixels of the upright photograph, (height, width)."""
        photograph, canvas_map = self._graded()
        return map_in_original(canvas_map, photograph.window, photograph.width, photograph.height)

    def peak(self) -> tuple[float, float]:
        """X and y of what raised the severity most, in px of the upright photograph."""
        photograph, canvas_map = self._graded()
        inside = np.where(disc_mask(len(canvas_map)) > 0, canvas_map, -np.inf)
        row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
        point = np.array([column + 0.5, row + 0.5])
        x, y = points_in_original(point, photograph.window, len(canvas_map)).tolist()
        return x, y

    def _graded(self) -> tuple[Photograph, NDArray[np.float32]]:
        if self.photograph is None or self.canvas_map is None:
            raise ValueError("the photograph is not graded")
        return self.photograph, self.canvas_map


class Explainer:
    """Explains the grades of one bundle.

    Args:
        scorer: The loaded bundle.
        attribution: Its network with the second output; None: by occlusion, which any network allows, in some hundred
            times the time.
        lesions_id: Of the network for lesions; empty where none are looked for.

    Attributes:
        bundle_id: The bundle's.
        lesions_id: As given.
        method: One of METHODS.
    """

    def __init__(self, scorer: Scorer, attribution: AttributionModel | None, *, lesions_id: str = "") -> None:
        self._scorer, self._attribution = scorer, attribution
        self.bundle_id, self.lesions_id = scorer.bundle_id, lesions_id
        self.method = ATTRIBUTION_NAME if attribution else OCCLUSION_NAME

    @classmethod
    def from_bundle(
        cls, root: Path, *, threads: int, site: str = "", method: str = "", lesions: bool = False
    ) -> "Explainer":
        """Loads a bundle that passes its checks.

        Args:
            root: The bundle.
            threads: Threads inside one operator.
            site: As in `Scorer`.
            method: One of METHODS; empty: the second output where the bundle has one, else occlusion.
            lesions: Whether lesions are looked for too, where the bundle has a network for them.

        Raises:
            BundleError: A file is missing, unknown or altered, or the bundle lacks the second output asked for.
            DataError: No threshold was fitted for `site`.
        """
        lesions_id = identify_bundle(root).lesions_id if lesions else ""
        scorer = Scorer.from_bundle(root, threads=threads, site=site, lesions=bool(lesions_id))
        attribution = None if method == OCCLUSION_NAME else read_attribution(root, threads=threads)
        if method == ATTRIBUTION_NAME and attribution is None:
            raise BundleError(
                "has no explain.onnx: it is older, or its network is an ensemble, a cascade or of a kind without one",
                where=str(root),
                todo=f"take --method {OCCLUSION_NAME}",
            )
        return cls(scorer, attribution, lesions_id=lesions_id)

    def explain(self, data: bytes) -> Explanation:
        """Scores the bytes of one file and, where it is graded, explains the grade."""
        score = score_bytes(lambda: data, self._scorer.score)
        if score.status is not Status.SCORED:
            return Explanation(score)
        photograph = self._scorer.pixel_path.process(data, find_text=False)
        return Explanation(score, photograph, self.canvas_map(photograph.canvas))

    def canvas_map(self, canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What raised the severity, float32 (s, s), of a canvas (s, s, 3); 0 outside the disc."""
        inputs, side = model_input(canvas, self._scorer.input_px), len(canvas)
        if self._attribution:
            cells = self._attribution.attribution(inputs[np.newaxis])[0]
            found = self._attribution.grid.on_canvas(cells, self._scorer.input_px, side)
        else:
            found = cv2.resize(occlusion(self._scorer.logits, inputs), (side, side), interpolation=cv2.INTER_LINEAR)
        return np.where(disc_mask(side) > 0, found, np.float32(0))


def attribution_map(root: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None:
    """`Explainer.canvas_map` of a bundle; None where it has no second output, and occlusion would take seconds each."""
    explainer = Explainer.from_bundle(root, threads=1)
    return explainer.canvas_map if explainer.method == ATTRIBUTION_NAME else None


def occlusion(
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]], inputs: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """How much the severity falls where a window is replaced by the medians around its pixels, float32 (s, s).

    The severity is the sum of the logits, each times its distance from grade 2. A pixel has the mean of the windows
    that cover it (after Zeiler & Fergus, ECCV 2014).

    Args:
        logits: The network: uint8 (N, s, s, 3) → (N, 5).
        inputs: One input, uint8 RGB (s, s, 3).
    """
    side = len(inputs)
    window = max(2, round(_WINDOW_FRACTION * side))
    starts = np.unique([*range(0, side - window, window // 2), side - window])
    places = [(y, x) for y in starts for x in starts if inputs[y : y + window, x : x + window].any()]
    smooth = cv2.medianBlur(inputs, min(2 * window + 1, _MAX_MEDIAN_PX))
    before = float(logits(inputs[np.newaxis])[0] @ _SEVERITY)
    falls, times = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for start in range(0, len(places), _BATCH):
        batch = places[start : start + _BATCH]
        occluded = np.stack([inputs] * len(batch))
        for picture, (y, x) in zip(occluded, batch, strict=True):
            picture[y : y + window, x : x + window] = smooth[y : y + window, x : x + window]
        for after, (y, x) in zip(logits(occluded) @ _SEVERITY, batch, strict=True):
            falls[y : y + window, x : x + window] += np.float32(before - after)
            times[y : y + window, x : x + window] += 1
    return np.asarray(falls / np.maximum(times, 1), np.float32)
