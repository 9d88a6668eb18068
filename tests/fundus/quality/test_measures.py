"""The measures: exudates are no artefact, and only a disc cut off on one side is off centre."""

import numpy as np

from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.field import CIRCLE, Disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.fundus.quality.assess import BLURRED, LIMITS
from dr_pipeline.fundus.quality.measures import measure_cells
from tests.factories.drawings import draw_fundus, encode

FUNDUS = draw_fundus(1000, 800, 500, 400, 380)
PATH = PixelPath(256)


def test_exudates_are_not_an_artefact():
    picture = FUNDUS.copy()
    random = np.random.default_rng(5)
    for _ in range(40):  # a tenth of the disc, in the yellow of hard exudates
        u, v = random.normal(0, 0.3, 2)
        cv2.circle(
            picture, (round(500 + 300 * u), round(400 + 300 * v)), int(random.integers(6, 32)), (235, 205, 95), -1
        )
    plain, sick = (measure_cells(PATH.process(encode(p, ".png")).canvas).measures() for p in (FUNDUS, picture))
    assert plain
    assert sick
    assert sick.artefact < 0.01
    assert sick.overexposed < 0.01
    assert LIMITS[BLURRED].factor(sick.blurred) > 0.6 * LIMITS[BLURRED].factor(plain.blurred)


def test_only_a_disc_cut_off_on_one_side_is_off_centre():
    above_and_below, side = FUNDUS.copy(), FUNDUS.copy()
    above_and_below[:120], above_and_below[-120:], side[:, :300] = 0, 0, 0
    level, pulled = (
        measure_cells(to_canvas(p, Disc(500, 400, 380, CIRCLE), 256)).measures() for p in (above_and_below, side)
    )
    assert level.off_centre < 0.02 < 0.08 < pulled.off_centre
    assert level.field < 0.9
