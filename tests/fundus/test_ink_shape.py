"""The outline of signs is long, that of plain shapes is not."""

import numpy as np
import pytest

from dr_pipeline.fundus.ink_shape import LABEL_OUTLINE, SIGN_OUTLINE, ink_shape
from dr_pipeline.fundus.opencv import cv2


def drawn(text: str) -> np.ndarray:
    plane = np.zeros((80, 60 * len(text)), np.uint8)
    cv2.putText(plane, text, (5, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, 1, 5)
    return plane


@pytest.mark.parametrize("text", ["R", "8", "X", "DOE"])
def test_signs_have_a_long_outline(text):
    assert ink_shape(drawn(text), 3).outline > SIGN_OUTLINE


@pytest.mark.parametrize("side", [10, 40])
@pytest.mark.parametrize("angle", [0, 20, 45])
def test_a_rectangle_has_a_short_one(side, angle):
    plane = np.zeros((90, 90), np.uint8)
    cv2.fillConvexPoly(plane, cv2.boxPoints(((45.0, 45.0), (float(side), 1.5 * side), angle)).astype(np.int32), 1)
    shape = ink_shape(plane, 3)
    assert shape.outline < SIGN_OUTLINE
    assert shape.fill > 0.9
    assert shape.breadth == pytest.approx(side, abs=3)
    assert shape.length == pytest.approx(1.5 * side, abs=3)


def test_signs_on_a_label_are_part_of_its_outline():
    label = np.ones((80, 120), np.uint8)
    assert ink_shape(label, 3).outline < 1.05
    assert ink_shape(label - drawn("AB"), 3).outline > LABEL_OUTLINE


def test_specks_have_no_outline_and_a_wider_hull_can_be_given():
    plane = np.zeros((40, 40), np.uint8)
    plane[10:14, 10:14] = 1
    speckled = plane.copy()
    speckled[10, 20] = speckled[14, 20] = speckled[18, 16] = 1
    around = np.array([[[0, 0]], [[39, 0]], [[39, 39]], [[0, 39]]], np.int32)
    assert ink_shape(speckled, 3, around).outline == ink_shape(plane, 3, around).outline
    assert ink_shape(plane, 3, around).fill == pytest.approx(16 / 1600)
