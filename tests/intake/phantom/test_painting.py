"""The phantom's masks show what can be seen, and nothing that a later lesion hides."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dr_pipeline.intake.phantom.anatomy import draw_anatomy
from dr_pipeline.intake.phantom.cameras import CAMERAS, frame_eye
from dr_pipeline.intake.phantom.lesions import Lesions
from dr_pipeline.intake.phantom.painting import kind_masks, lesion_density
from dr_pipeline.lesions.kinds import (
    COTTON_WOOL_SPOTS,
    HARD_EXUDATES,
    HEMORRHAGES,
    IRMA,
    MICROANEURYSMS,
    Kind,
    plane,
)
from dr_pipeline.schema import Eye

ANATOMY = draw_anatomy(np.random.default_rng(0), np.random.default_rng(1))
FRAME = frame_eye(np.random.default_rng(2), CAMERAS["cedar"], 1.0, Eye.LEFT, ANATOMY.fovea_dd)
PLACE = (1.3, -1.0)  # on the retina, away from disc and fovea


def circle(radius_dd: float, centre: tuple[float, float] = PLACE) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.array(centre) + radius_dd * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


HEMORRHAGE = (circle(0.2), 1.2)
LINE = np.array([[PLACE[0] - 0.5, PLACE[1]], [PLACE[0] + 0.5, PLACE[1]]])
IRMA_LINE = (LINE, 0.02, 0.75)


def shown(lesions: Lesions, kind: Kind) -> np.ndarray:
    return plane(kind_masks(lesions, ANATOMY, FRAME), kind)


@pytest.mark.parametrize(
    ("kind", "alone"),
    [(IRMA, Lesions(irma=[IRMA_LINE])), (MICROANEURYSMS, Lesions(microaneurysms=[(circle(0.04), 1.7)]))],
)
def test_what_a_hemorrhage_hides_is_not_marked(kind: Kind, alone: Lesions) -> None:
    both = replace(alone, hemorrhages=[HEMORRHAGE])
    before, after, hemorrhage = shown(alone, kind), shown(both, kind), shown(both, HEMORRHAGES)
    assert (before & hemorrhage).any()
    assert np.array_equal(after, before & ~hemorrhage)
    unseen = cv2.erode(hemorrhage.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0  # within its soft edge
    density, without = lesion_density(both, FRAME), lesion_density(Lesions(hemorrhages=[HEMORRHAGE]), FRAME)
    assert np.array_equal(density[unseen], without[unseen])
    assert np.count_nonzero(density[after] != without[after]) >= 0.9 * after.sum()


def test_exudates_hide_cotton_wool_and_show_through_blood() -> None:
    lesions = Lesions(exudates=[circle(0.1)], cotton_wool=[circle(0.2)], hemorrhages=[HEMORRHAGE])
    exudate, cotton_wool = shown(lesions, HARD_EXUDATES), shown(lesions, COTTON_WOOL_SPOTS)
    assert np.array_equal(exudate, shown(Lesions(exudates=[circle(0.1)]), HARD_EXUDATES))
    assert np.array_equal(cotton_wool, shown(Lesions(cotton_wool=[circle(0.2)]), COTTON_WOOL_SPOTS) & ~exudate)
    assert (exudate & shown(lesions, HEMORRHAGES)).sum() == exudate.sum() > 0
