"""Tiles of canvases with their masks, drawn around lesions and anywhere, augmented; determined by the seed alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import Kind, Masks, plane
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.sampler import derived_seed

Pixels = NDArray[np.uint8]

# Canvases are kept in memory up to this many bytes; those beyond are decoded when they are drawn.
MEMORY_BYTES = 4 << 30
# Of each kind and photograph, for drawing tiles; more would only take memory.
_MAX_POINTS = 4096
_COUNTED_BATCHES = 64  # for the mean number of pixels of a kind: known to a tenth or so
_BORDER = cv2.BORDER_CONSTANT  # black beside the canvas


class AnnotatedCanvas(Protocol):
    """One canvas with its masks, as a lesion store reads it."""

    @property
    def pixels(self) -> Pixels:
        """(S, S, 3) RGB."""
        ...

    @property
    def masks(self) -> Masks:
        """(S, S): bit k shows kind k."""
        ...

    @property
    def labelled(self) -> frozenset[str]:
        """The kinds that were annotated in this photograph."""
        ...


class AnnotatedCanvases(Protocol):
    """A source of canvases, such as a LesionStore."""

    def read(self, image_id: str) -> AnnotatedCanvas:
        """One canvas."""
        ...


class TileBatch(NamedTuple):
    """N tiles.

    Attributes:
        images: uint8 (N, tile, tile, 3) RGB.
        shown: uint8 (N, kinds, tile, tile): 1 where a pixel shows the kind.
        labelled: bool (N, kinds): whether the kind was annotated in the tile's photograph.
    """

    images: Pixels
    shown: NDArray[np.uint8]
    labelled: NDArray[np.bool_]


@dataclass(frozen=True)
class _Place:
    """A tile: the photograph, and the point of its canvas at the tile's centre."""

    image_id: str
    row: float
    column: float


class TileSampler:
    """Draws tiles.

    A tile is drawn around a lesion, or anywhere on the retinal disc. For the former first a kind is drawn, each equally
    often, then one of the photographs that show it, then one of its pixels, which comes to lie anywhere in the inner
    two thirds of the tile; so a rare kind, and a photograph with few lesions, are seen as often as others. Rotation,
    mirroring and scale are one resampling of the canvas, so that a tile has no black corners; the other augmentations
    are those of grading.

    Args:
        store: The canvases.
        image_ids: Of the training photographs.
        kinds: Outputs of the network, in order.
        params: Tile, batch, fraction of lesions, augmentation, and the seed of the draws.
    """

    def __init__(
        self,
        store: AnnotatedCanvases,
        image_ids: Sequence[str],
        kinds: Sequence[Kind],
        params: LesionTraining,
    ) -> None:
        self._store, self._image_ids, self._kinds = store, tuple(image_ids), tuple(kinds)
        self._params, self._seed = params, params.seed
        self._side = (params.tile_px, params.tile_px)
        strength = params.augmentation
        geometric = {"rotation_deg": 0.0, "scale": 0.0, "translation": 0.0, "flip": False}
        self._photometric = augmenter(strength.model_copy(update=geometric))
        self._cache: dict[str, AnnotatedCanvas] = {}
        self._points = self._find_points()
        self._shown = [kind.name for kind in kinds if self._points[kind.name]]

    def batch(self, epoch: int, number: int) -> TileBatch:
        """The tiles of one step: the same for the same seed, epoch and number, whatever was drawn before."""
        tiles = [self._tile(derived_seed(self._seed, epoch, number, tile)) for tile in range(self._params.batch_tiles)]
        images, masks, labelled = zip(*tiles, strict=True)
        shown = np.stack([np.stack([plane(mask, kind) for kind in self._kinds]) for mask in masks]).view(np.uint8)
        return TileBatch(np.stack(images), shown, np.array(labelled))

    def mean_pixels(self) -> list[float]:
        """By kind, how many pixels of a batch show it: the mean over the first batches, always the same."""
        shown = np.zeros(len(self._kinds))
        for number in range(_COUNTED_BATCHES):
            for tile in range(self._params.batch_tiles):
                masks = self._masks(*self._draw(derived_seed(self._seed, 0, number, tile)))
                shown += [np.count_nonzero(plane(masks, kind)) for kind in self._kinds]
        return [float(pixels) for pixels in shown / _COUNTED_BATCHES]

    def _tile(self, seed: int) -> tuple[Pixels, Masks, list[bool]]:
        canvas, matrix = self._draw(seed)
        pixels = cv2.warpAffine(canvas.pixels, matrix, self._side, flags=cv2.INTER_LINEAR, borderMode=_BORDER)
        pixels = self._photometric(pixels, derived_seed(seed, 1))
        return pixels, self._masks(canvas, matrix), [kind.name in canvas.labelled for kind in self._kinds]

    def _draw(self, seed: int) -> tuple[AnnotatedCanvas, NDArray[np.float64]]:
        """A canvas, and its transformation to a tile."""
        rng = np.random.default_rng(seed)
        around_a_lesion = self._shown and rng.random() < self._params.lesion_tiles
        place = self._around_a_lesion(rng) if around_a_lesion else self._anywhere(rng)
        return self._read(place.image_id), self._transform(rng, place)

    def _masks(self, canvas: AnnotatedCanvas, matrix: NDArray[np.float64]) -> Masks:
        masks = cv2.warpAffine(canvas.masks, matrix, self._side, flags=cv2.INTER_NEAREST, borderMode=_BORDER)
        return np.asarray(masks, np.uint16)

    def _around_a_lesion(self, rng: np.random.Generator) -> _Place:
        by_photograph = self._points[self._shown[rng.integers(len(self._shown))]]
        image_id = list(by_photograph)[rng.integers(len(by_photograph))]
        points = by_photograph[image_id]
        row, column = points[rng.integers(len(points))]
        shift = rng.uniform(-self._params.tile_px / 3, self._params.tile_px / 3, 2)
        return _Place(image_id, row + shift[0], column + shift[1])

    def _anywhere(self, rng: np.random.Generator) -> _Place:
        image_id = self._image_ids[rng.integers(len(self._image_ids))]
        side = len(self._read(image_id).masks)
        radius, angle = disc_radius_px(side) * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        return _Place(image_id, side / 2 + radius * math.sin(angle), side / 2 + radius * math.cos(angle))

    def _transform(self, rng: np.random.Generator, place: _Place) -> NDArray[np.float64]:
        """Canvas → tile: rotation, scale and mirroring about the place, which comes to the tile's centre."""
        strength, middle = self._params.augmentation, self._params.tile_px / 2
        angle = rng.uniform(-strength.rotation_deg, strength.rotation_deg)
        scale = rng.uniform(1 - strength.scale, 1 + strength.scale)
        matrix = cv2.getRotationMatrix2D((place.column, place.row), angle, scale)
        if strength.flip and rng.random() < 0.5:
            matrix[0] = [-matrix[0, 0], -matrix[0, 1], 2 * place.column - matrix[0, 2]]
        matrix[:, 2] += middle - place.column, middle - place.row
        return np.asarray(matrix, np.float64)

    def _find_points(self) -> Mapping[str, Mapping[str, NDArray[np.int32]]]:
        """Kind → photograph → up to `_MAX_POINTS` (row, column) of its pixels; photographs without it are left out."""
        found: dict[str, dict[str, NDArray[np.int32]]] = {kind.name: {} for kind in self._kinds}
        for number, image_id in enumerate(self._image_ids):
            canvas = self._read(image_id)
            rng = np.random.default_rng(derived_seed(self._seed, number))
            for kind in self._kinds:
                points = np.argwhere(plane(canvas.masks, kind)).astype(np.int32)
                if len(points) and kind.name in canvas.labelled:
                    found[kind.name][image_id] = rng.permutation(points)[:_MAX_POINTS]
        return found

    def _read(self, image_id: str) -> AnnotatedCanvas:
        if image_id in self._cache:
            return self._cache[image_id]
        canvas = self._store.read(image_id)
        if (len(self._cache) + 1) * (canvas.pixels.nbytes + canvas.masks.nbytes) <= MEMORY_BYTES:
            self._cache[image_id] = canvas
        return canvas
