"""A bundle's optional network that finds lesions and landmarks; needs no torch. Scoring loads it when it is asked to.

`lesions.onnx` takes `image`, uint8 RGB (N, tile, tile, 3), and gives `probabilities`, float32 (N, K, tile, tile). Its
own metadata has one entry, `lesions`: JSON that states the kinds, the canvas, the tiles, and the thresholds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.bundle_files import LESIONS
from dr_pipeline.bundle.onnx_content import require_self_contained
from dr_pipeline.bundle.session import INPUT_NAME, PROBABILITIES_NAME, open_session
from dr_pipeline.bundle.verify import verified_content
from dr_pipeline.bundle_storage import COPY_AGAIN
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.fundus.canvas import disc_mask
from dr_pipeline.lesions.count import Counting
from dr_pipeline.lesions.kinds import kinds_named
from dr_pipeline.lesions.retina import retina_mask

ENTRY = "lesions"
VERSION = 2
_WITHOUT_PEAKS = 1  # a version in which every component counted that was large enough
_MAX_OVERLAP = 0.9
_MAX_CANVAS_PX = 8192
_SIGMA_FRACTION = 0.125  # of a tile: the weight of a pixel falls with its distance from the tile's middle, as in MONAI


@dataclass(frozen=True)
class LesionDescription:
    """What lesions.onnx states about itself.

    Attributes:
        counting: Kinds, thresholds and sizes.
        canvas_px: Side of the canvas that it was trained on.
        tile_px: Side of a tile.
        overlap: Of neighbouring tiles, as a fraction of a tile.
        aupr: Area under precision and recall by the kind's name, with value, low, high and n, by cross-validation with
            networks of the same training; empty where it is not stated.
        false_alarms: Likewise, the fraction of photographs without lesions in which one or more was counted.
    """

    counting: Counting
    canvas_px: int
    tile_px: int
    overlap: float
    aupr: Mapping[str, Any]
    false_alarms: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> "LesionDescription":
        """Reads the entry of the ONNX file's metadata.

        Raises:
            BundleError: It is missing, of another version, or malformed.
        """
        try:
            described = cls._parsed(json.loads(text))
            described._check()
        except DataError as error:
            raise BundleError(error.what, where=LESIONS, todo=COPY_AGAIN) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"its entry {ENTRY!r} is missing or malformed: {error}", where=LESIONS, todo=COPY_AGAIN
            ) from None
        return described

    @classmethod
    def _parsed(cls, value: Mapping[str, Any]) -> "LesionDescription":
        if value["version"] not in (_WITHOUT_PEAKS, VERSION):
            raise ValueError(f"version {value['version']!r}, this program reads {_WITHOUT_PEAKS} and {VERSION}")
        min_peaks = value["thresholds"] if value["version"] == _WITHOUT_PEAKS else value["min_peaks"]
        kinds = kinds_named(value["kinds"], where=f"{LESIONS}, kinds")
        counting = Counting(
            kinds,
            {kind.name: float(value["thresholds"][kind.name]) for kind in kinds},
            {kind.name: int(value["min_pixels"][kind.name]) for kind in kinds},
            {kind.name: float(min_peaks[kind.name]) for kind in kinds},
            float(value["um_per_px"]),
        )
        return cls(
            counting,
            int(value["canvas_px"]),
            int(value["tile_px"]),
            float(value["overlap"]),
            dict(value.get("aupr", {})),
            dict(value.get("lesions_found_without_lesions", {})),
        )

    def _check(self) -> None:
        counting = self.counting
        if not counting.kinds:
            raise ValueError("it names no kind")
        if not 0 < self.tile_px <= self.canvas_px <= _MAX_CANVAS_PX or not 0 <= self.overlap <= _MAX_OVERLAP:
            raise ValueError(f"tiles of {self.tile_px} px, overlap {self.overlap}, on a canvas of {self.canvas_px} px")
        if not 0 < counting.um_per_px < float("inf"):
            raise ValueError(f"um_per_px {counting.um_per_px}")
        if not all(0 < threshold <= 1 for threshold in counting.thresholds.values()):
            raise ValueError("a threshold is not in (0, 1]")
        if not all(pixels >= 1 for pixels in counting.min_pixels.values()):
            raise ValueError("min_pixels below 1")
        if not all(0 < peak <= 1 for peak in counting.min_peaks.values()):
            raise ValueError("a value of min_peaks is not in (0, 1]")

    def tiles(self) -> list[tuple[int, int]]:
        """Top and left of each tile that shows a part of the field; the last ones end with the canvas."""
        step = max(1, round(self.tile_px * (1 - self.overlap)))
        last = self.canvas_px - self.tile_px
        starts = [*range(0, last, step), last]
        field = disc_mask(self.canvas_px)
        tile = self.tile_px
        return [(top, left) for top in starts for left in starts if field[top : top + tile, left : left + tile].any()]


class LesionModel:
    """lesions.onnx, loaded from its bytes.

    Args:
        model: Its bytes.
        threads: Threads inside one operator.

    Attributes:
        description: What it states about itself.

    Raises:
        BundleError: It would read other files, or its inputs, outputs or description break the contract.
    """

    def __init__(self, model: bytes, *, threads: int) -> None:
        require_self_contained(model, where=LESIONS)
        self._session = open_session(model, where=LESIONS, threads=threads)
        self.description = LesionDescription.from_json(self._session.get_modelmeta().custom_metadata_map.get(ENTRY, ""))
        self._check_contract()
        self._tiles = self.description.tiles()
        self._weight = _tile_weight(self.description.tile_px)

    def probabilities(self, canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, float32 (K, S, S), of a canvas, uint8 RGB (S, S, 3).

        Overlapping tiles are blended, each pixel of a tile with the more weight the nearer it is to the tile's middle;
        tiles without tissue, and pixels without retina, are 0.

        Raises:
            BundleError: The canvas has another side, or the network gives numbers that are no probabilities.
        """
        side, tile = self.description.canvas_px, self.description.tile_px
        if canvas.shape != (side, side, 3) or canvas.dtype != np.uint8:
            raise BundleError(f"takes a canvas of {side} px, given {canvas.dtype} {canvas.shape}", where=LESIONS)
        total = np.zeros((len(self.description.counting.kinds), side, side), np.float32)
        weight = np.full((side, side), np.finfo(np.float32).tiny)
        for top, left in self._tiles:
            box = np.s_[top : top + tile, left : left + tile]
            if not canvas[box].any():
                continue
            (outputs,) = self._session.run([PROBABILITIES_NAME], {INPUT_NAME: canvas[box][np.newaxis]})
            if not (outputs.min() >= 0 and outputs.max() <= 1):  # written so that NaN does not pass
                raise BundleError("its outputs are no probabilities", where=LESIONS, todo=COPY_AGAIN)
            total[:, *box] += outputs[0] * self._weight
            weight[box] += self._weight
        total /= weight
        total *= retina_mask(canvas)
        return total

    def _check_contract(self) -> None:
        tile, number = self.description.tile_px, len(self.description.counting.kinds)
        inputs = {node.name: (node.type, node.shape[1:]) for node in self._session.get_inputs()}
        outputs = {node.name: (node.type, node.shape[1:]) for node in self._session.get_outputs()}
        wanted_in = {INPUT_NAME: ("tensor(uint8)", [tile, tile, 3])}
        wanted_out: tuple[str, list[Any]] = ("tensor(float)", [number, tile, tile])
        if inputs != wanted_in or outputs.get(PROBABILITIES_NAME) != wanted_out:
            raise BundleError(
                f"must take {wanted_in} and give {PROBABILITIES_NAME} {wanted_out}; it has {inputs} and {outputs}",
                where=LESIONS,
                todo=COPY_AGAIN,
            )


def read_lesions(root: Path, *, threads: int) -> LesionModel | None:
    """Loads a bundle's network for lesions; None where the bundle has none.

    Raises:
        BundleError: A file is missing, unknown or altered, or lesions.onnx breaks its contract.
    """
    content = verified_content(root)
    return LesionModel(content[LESIONS], threads=threads) if LESIONS in content else None


def _tile_weight(tile_px: int) -> NDArray[np.float32]:
    """(tile_px, tile_px): Gaussian about the middle, no less than a thousandth."""
    offset = (np.arange(tile_px) + 0.5 - tile_px / 2) / (_SIGMA_FRACTION * tile_px)
    bell = np.exp(-(offset**2) / 2)
    return np.asarray(np.maximum(np.outer(bell, bell), 1e-3), np.float32)
