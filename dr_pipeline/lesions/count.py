"""From the probabilities of a lesion network over a canvas to what was found in the photograph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import Window
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.registration import points_in_original
from dr_pipeline.lesions.components import Component, find_components
from dr_pipeline.lesions.findings import Findings, Lesion
from dr_pipeline.lesions.kinds import FOVEA, HEMORRHAGES, MICROANEURYSMS, OPTIC_DISC, PRERETINAL_HEMORRHAGES, Kind
from dr_pipeline.lesions.landmarks import Landmarks, find_landmarks, find_optic_disc
from dr_pipeline.lesions.quadrants import quadrants_of

_DARK = (MICROANEURYSMS, HEMORRHAGES, PRERETINAL_HEMORRHAGES)
_UM2_PER_MM2 = 1e6
_FAINTEST_DISC = 0.2  # the highest probability of a map that may show a disc


@dataclass(frozen=True)
class Counting:
    """How probabilities become lesions.

    Attributes:
        kinds: Of the planes, in order.
        thresholds: By a kind's name, the probability from which a pixel shows it.
        min_pixels: By a kind's name, the smallest component that counts.
        min_peaks: By a kind's name, the probability that the surest pixel of a component must have for it to count.
        um_per_px: Of the canvas, as declared.
    """

    kinds: tuple[Kind, ...]
    thresholds: Mapping[str, float]
    min_pixels: Mapping[str, int]
    min_peaks: Mapping[str, float]
    um_per_px: float


def count_lesions(
    probabilities: NDArray[np.float32], canvas: NDArray[np.uint8], window: Window, counting: Counting
) -> Findings:
    """Components, landmarks and measures of one photograph.

    Args:
        probabilities: (K, S, S), a plane per kind of `counting`.
        canvas: (S, S, 3) RGB.
        window: What the canvas shows of the upright original.
        counting: How probabilities become lesions.
    """
    found = {
        kind: find_components(
            plane,
            threshold=counting.thresholds[kind.name],
            min_pixels=counting.min_pixels[kind.name],
            min_peak=counting.min_peaks[kind.name],
        )
        for kind, plane in zip(counting.kinds, probabilities, strict=True)
    }
    dark = np.zeros(canvas.shape[:2], np.bool_)
    for kind, plane in zip(counting.kinds, probabilities, strict=True):
        if kind in _DARK:
            dark |= plane >= counting.thresholds[kind.name]
    faint = OPTIC_DISC in found and find_optic_disc(found[OPTIC_DISC], um_per_px=counting.um_per_px) is None
    if faint:
        found[OPTIC_DISC] = _faint_discs(probabilities[counting.kinds.index(OPTIC_DISC)], counting)
    landmarks = find_landmarks(
        canvas,
        found.get(OPTIC_DISC, []),
        found.get(FOVEA, []),
        um_per_px=counting.um_per_px,
        lesions=dark,
        faint_disc=faint,
    )
    place = _Place(landmarks, window, len(canvas))
    lesions = [
        lesion
        for kind, components in found.items()
        if kind.is_lesion
        for lesion in place.lesions(kind.name, components)
    ]
    disc, fovea = landmarks.disc, landmarks.fovea
    return Findings(
        kinds=tuple(kind.name for kind in counting.kinds),
        lesions=tuple(lesions),
        disc=None if disc is None else (*place.in_original(disc.x, disc.y), round(disc.diameter * place.scale, 1)),
        fovea=None if fovea is None else place.in_original(*fovea),
        fovea_method=landmarks.fovea_method,
        yardstick=landmarks.yardstick,
        um_per_px=landmarks.um_per_px / place.scale,
        window=(window.left, window.top, window.width, window.height),
    )


def _faint_discs(probability: NDArray[np.float32], counting: Counting) -> list[Component]:
    """Where the threshold shows no plausible disc: what reaches half of the photograph's highest probability.

    A network may be unsure of every pixel of a pale or orange disc and outline it nevertheless; there is one at most.
    """
    highest = float(probability.max())
    if highest < _FAINTEST_DISC:
        return []
    smallest = counting.min_pixels[OPTIC_DISC.name]
    return find_components(probability, threshold=highest / 2, min_pixels=smallest)


@dataclass(frozen=True)
class _Place:
    """Measures components of a canvas, where circles are circles, and states where they are in the original."""

    landmarks: Landmarks
    window: Window
    canvas_px: int

    @property
    def scale(self) -> float:
        """Px of the original per px of the canvas, mean of both directions."""
        return float(np.sqrt(self.window.width * self.window.height)) / self.canvas_px

    def in_original(self, x: float, y: float) -> tuple[float, float]:
        """A point of the canvas in the original, to a tenth of a pixel: finer than the canvas, and short to store."""
        x, y = points_in_original(np.array([x, y]), self.window, self.canvas_px).tolist()
        return round(x, 1), round(y, 1)

    def lesions(self, kind: str, components: Sequence[Component]) -> list[Lesion]:
        """The components of one kind, measured."""
        quadrants = [""] * len(components)
        disc, fovea, um_per_px = self.landmarks.disc, self.landmarks.fovea, self.landmarks.um_per_px
        if disc is not None and fovea is not None and components:
            centres = np.array([(component.x, component.y) for component in components])
            quadrants = [str(quadrant) for quadrant in quadrants_of(centres, (disc.x, disc.y), fovea)]
        return [
            Lesion(
                kind,
                *self.in_original(component.x, component.y),
                area_mm2=round(component.area * um_per_px**2 / _UM2_PER_MM2, 6),
                diameter_um=round(component.diameter * um_per_px, 1),
                longest_um=round(component.longest * um_per_px, 1),
                probability=round(component.probability, 4),
                quadrant=quadrant,
                fovea_um=None if fovea is None else round(_distance(component.outline, fovea) * um_per_px, 1),
                outline=self._outline(component),
            )
            for component, quadrant in zip(components, quadrants, strict=True)
        ]

    def _outline(self, component: Component) -> tuple[tuple[float, float], ...]:
        """Its corners in the original, likewise."""
        corners = points_in_original(component.outline, self.window, self.canvas_px)
        return tuple((round(x, 1), round(y, 1)) for x, y in corners.tolist())


def _distance(outline: NDArray[np.float64], point: tuple[float, float]) -> float:
    """From a point to the nearest edge of an outline; 0 inside it."""
    inside = cv2.pointPolygonTest(outline.astype(np.float32), point, measureDist=True)
    return max(0.0, -float(inside))
