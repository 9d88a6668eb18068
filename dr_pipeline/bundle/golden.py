"""Golden inputs and outputs: a bundle replays them at load and scores only if the outputs are those of packaging.

The inputs are synthetic drawings: no patient's photograph leaves with a bundle.
"""

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decision, distance_to_cut
from dr_pipeline.bundle.session import FLOAT16, FLOAT32, INT8, OnnxModel
from dr_pipeline.errors import BundleError

NUM_INPUTS = 4
# Of a probability. ONNX Runtime's kernels differ between processors by about 1e-6, a wrong network by far more. In
# 8 bits such a difference moves activations to the next step: other kernels differed by 0.004 on one machine. In 16
# bits a processor may round after each operation or, where it converts to 32 bits, seldom.
MAX_PROBABILITY_DIFFERENCE = {FLOAT32: 1e-4, FLOAT16: 0.01, INT8: 0.02}
# Closer to a cut point, rounding on another processor may change a grade: only the probabilities are compared there.
_CLEAR_OF_CUT_POINTS = 1e-2
# Of a cascade: closer to its margin, another processor may ask other networks; 8 bits move an expected grade by 0.02.
_CLEAR_OF_MARGIN = 0.05
_MAX_SEEDS = 64
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold: equal arrays give equal bytes


@dataclass(frozen=True)
class Golden:
    """Attributes:
    inputs: uint8 RGB, shape (N, s, s, 3).
    logits: float32, shape (N, 5), as the packaged network gave them.
    grades: int64, shape (N,), as the packaged decision gave them.
    """

    inputs: NDArray[np.uint8]
    logits: NDArray[np.float32]
    grades: NDArray[np.int64]

    def to_bytes(self) -> bytes:
        """An .npz whose bytes depend on the arrays alone (`numpy.savez` writes the time of day)."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name in ("inputs", "logits", "grades"):
                member = io.BytesIO()
                np.lib.format.write_array(member, getattr(self, name), version=(1, 0), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", _DATE), member.getvalue())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> "Golden":
        """Raises BundleError where `data` is no such .npz; pickled objects are refused."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                golden = cls(arrays["inputs"], arrays["logits"], arrays["grades"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"the golden inputs cannot be read: {error}", where=where) from None
        counts = {len(golden.inputs), len(golden.logits), len(golden.grades)}
        if len(counts) != 1 or counts == {0}:
            raise BundleError("the golden inputs and outputs differ in number", where=where)
        return golden

    def replay(self, model: OnnxModel, decision: Decision, *, where: str) -> float:
        """Runs the inputs through `model` and `decision`.

        Returns:
            The largest difference of a probability.

        Raises:
            BundleError: The precision is unknown, a probability differs by more than its precision allows, or a grade
                that is clear of the cut points differs.
        """
        if model.precision not in MAX_PROBABILITY_DIFFERENCE:
            raise BundleError(f"the network states an unknown precision: {model.precision!r}", where=where)
        allowed = MAX_PROBABILITY_DIFFERENCE[model.precision]
        now, then = decision.apply(model.logits(self.inputs)), decision.apply(self.logits)
        difference = float(np.abs(now.probabilities - then.probabilities).max())
        clear = _clearance(decision, self.logits) >= _CLEAR_OF_CUT_POINTS
        if difference > allowed or not np.array_equal(now.grade[clear], self.grades[clear]):
            raise BundleError(
                f"self-test failed: probabilities differ by up to {difference:.2g} (allowed "
                f"{allowed:g}); grades {now.grade.tolist()}, expected {self.grades.tolist()}",
                where=where,
                todo="use the ONNX Runtime version that metadata.json names, or remake the bundle",
            )
        return difference


def make_golden(model: OnnxModel, decision: Decision) -> Golden:
    """Draws inputs and keeps the first whose grades lie clear of the cut points; where too few do, the clearest.

    An untrained network gives every drawing the same grade, possibly at a cut point. Its bundle must still be packed,
    so that a first trial run ends with figures.
    """
    drawn: list[tuple[float, int, NDArray[np.uint8]]] = []  # clearance, rank among those of its route, drawing
    ranks = [0, 0]
    for seed in range(_MAX_SEEDS):
        drawing = draw_disc(seed, model.input_px)
        clearance = float(_clearance(decision, model.logits(drawing[np.newaxis]))[0])
        route = 0
        if model.is_cascade:  # drawings of both routes, clear of the border between them
            to_margin = float(model.routing(drawing[np.newaxis])[0])
            route = int(to_margin < 0)
            clearance = min(clearance, abs(to_margin) * _CLEAR_OF_CUT_POINTS / _CLEAR_OF_MARGIN)
        drawn.append((clearance, ranks[route], drawing))
        ranks[route] += 1
        is_enough = sum(clearance >= _CLEAR_OF_CUT_POINTS for clearance, _, _ in drawn) == NUM_INPUTS
        if is_enough and not model.is_cascade:
            break
    clearest = sorted(drawn, key=lambda item: (-min(item[0], _CLEAR_OF_CUT_POINTS), item[1]))[:NUM_INPUTS]
    inputs = np.stack([drawing for _, _, drawing in clearest])
    logits = model.logits(inputs)
    return Golden(inputs, logits, decision.apply(logits).grade.astype(np.int64))


def _clearance(decision: Decision, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distance of each expected grade from its nearest cut point, shape (N,)."""
    return distance_to_cut(decision.apply(logits).expected_grade, np.asarray(decision.cut_points))


def draw_disc(seed: int, side_px: int) -> NDArray[np.uint8]:
    """Draws an orange disc with a bright spot, dark spots and noise: the range of values of a fundus photograph.

    Args:
        seed: Of numpy's PCG64, whose stream does not change between versions.
        side_px: Side of the square.

    Returns:
        uint8 RGB, shape (side_px, side_px, 3).
    """
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:side_px, 0:side_px] / (side_px - 1) * 2 - 1
    radius = np.hypot(xs, ys)
    colour = np.array([190.0, 95.0, 40.0]) * rng.uniform(0.6, 1.2)
    picture = colour * (1 - 0.4 * radius[..., np.newaxis] ** 2)
    for index in range(1 + int(rng.integers(0, 40))):
        x, y = rng.uniform(-0.7, 0.7, 2)
        width, strength = (0.12, 110.0) if index == 0 else (rng.uniform(0.01, 0.05), rng.choice([-70.0, 90.0]))
        picture += (strength * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * width**2)))[..., np.newaxis]
    picture += rng.normal(0, 4, picture.shape)
    picture[radius > 1] = 0
    drawn: NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
    return drawn
