"""From probability maps to lesions, on drawn maps: places and sizes, and discs that the network is unsure of."""

import numpy as np
import pytest

from dr_pipeline.fundus.canvas import Window
from dr_pipeline.lesions.count import Counting, count_lesions
from dr_pipeline.lesions.findings import Findings, Yardstick
from dr_pipeline.lesions.kinds import HEMORRHAGES, OPTIC_DISC

SIDE = 400
UM_PER_PX = 45 * 288 / (SIDE - 2)  # a disc of 1,500 µm has 46 px
COUNTING = Counting(
    (HEMORRHAGES, OPTIC_DISC),
    {"hemorrhages": 0.5, "optic_disc": 0.6},
    {"hemorrhages": 4, "optic_disc": 50},
    {"hemorrhages": 0.7, "optic_disc": 0.6},
    UM_PER_PX,
)
# The canvas shows a square of 1,000 px of the original, from (100, 50) on.
WINDOW = Window(100, 50, 1000, 1000)


def blob(x: float, y: float, radius: float, probability: float) -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    return (probability * (np.hypot(columns - x, rows - y) <= radius)).astype(np.float32)


def found(hemorrhages: np.ndarray, disc: np.ndarray) -> Findings:
    return count_lesions(np.stack([hemorrhages, disc]), np.full((SIDE, SIDE, 3), 90, np.uint8), WINDOW, COUNTING)


def test_a_place_counts_whose_surest_pixel_is_sure_enough() -> None:
    unsure = blob(200, 100, 10, 0.6)
    assert found(unsure, blob(310, 200, 23, 0.9)).lesions == ()
    (lesion,) = found(np.maximum(unsure, blob(200, 100, 2, 0.8)), blob(310, 200, 23, 0.9)).lesions
    assert lesion.probability == pytest.approx(0.8)
    assert lesion.diameter_um == pytest.approx(20 * 1500 / 46, rel=0.05)  # of all its pixels


def test_a_lesion_has_its_place_in_the_original_and_its_size_by_the_disc() -> None:
    findings = found(blob(200, 100, 10, 0.9), blob(310, 200, 23, 0.9))
    (lesion,) = findings.lesions
    assert (lesion.x, lesion.y) == (pytest.approx(600, abs=0.1), pytest.approx(300, abs=0.1))
    assert lesion.diameter_um == pytest.approx(20 * 1500 / 46, rel=0.05)
    assert findings.disc == (pytest.approx(875, abs=1), pytest.approx(550, abs=1), pytest.approx(115, rel=0.05))
    assert findings.yardstick is Yardstick.OPTIC_DISC


def test_a_faint_disc_is_outlined_at_half_of_its_highest_probability() -> None:
    faint = np.maximum(blob(310, 200, 23, 0.3), blob(305, 195, 6, 0.5))
    findings = found(blob(200, 100, 10, 0.0), faint)
    assert findings.disc == (pytest.approx(875, abs=1), pytest.approx(550, abs=1), pytest.approx(115, rel=0.05))


def test_a_speck_above_the_threshold_does_not_hide_the_faint_disc_around_it() -> None:
    findings = found(blob(200, 100, 10, 0.0), np.maximum(blob(310, 200, 23, 0.4), blob(305, 195, 6, 0.65)))
    assert findings.disc is not None
    assert findings.disc[2] == pytest.approx(115, rel=0.05)


@pytest.mark.parametrize("highest", [0.0, 0.05, 0.19])
def test_no_disc_is_made_of_noise(highest: float) -> None:
    findings = found(blob(200, 100, 10, 0.9), blob(310, 200, 23, highest))
    assert findings.disc is None
    assert findings.yardstick is Yardstick.FIELD
    assert findings.count("hemorrhages") == 1
