"""The phantom's lesions obey the ICDR scale's rules, in every drawn eye."""

import numpy as np
import pytest

from dr_pipeline.intake.phantom.anatomy import draw_anatomy
from dr_pipeline.intake.phantom.cameras import CAMERAS, Frame, frame_eye
from dr_pipeline.intake.phantom.cohort import Stream, generator
from dr_pipeline.intake.phantom.lesions import (
    DOT_DD,
    MICROANEURYSM_DD,
    UM_PER_DD,
    Lesions,
    draw_lesions,
)
from dr_pipeline.intake.phantom.vessels import grow_vessels
from dr_pipeline.schema import Eye

EYES_PER_GRADE = 40


def drawn(grade: int) -> list[tuple[Frame, Lesions]]:
    found = []
    for number in range(EYES_PER_GRADE):
        person, eye = generator(5, Stream.ANATOMY, number, 2), generator(5, Stream.ANATOMY, number, 0)
        anatomy = draw_anatomy(person, eye)
        camera = list(CAMERAS.values())[number % len(CAMERAS)]
        frame = frame_eye(generator(5, Stream.CAPTURE, number), camera, 0.5, list(Eye)[number % 2], anatomy.fovea_dd)
        vessels = grow_vessels(generator(5, Stream.VESSELS, number), anatomy.fovea_dd, frame)
        severity = grade + (number + 0.5) / EYES_PER_GRADE
        found.append((frame, draw_lesions(generator(5, Stream.LESIONS, number), severity, anatomy, vessels, frame)))
    return found


def areas_dd(outlines: list[np.ndarray]) -> np.ndarray:
    """Shoelace."""
    return np.array([abs(np.sum(o[:, 0] * np.roll(o[:, 1], 1) - o[:, 1] * np.roll(o[:, 0], 1))) / 2 for o in outlines])


def hemorrhages_by_quadrant(frame: Frame, lesions: Lesions) -> np.ndarray:
    assert len(lesions.hemorrhages) == lesions.counts["haemorrhages"]
    centres = np.array([outline.mean(axis=0) for outline, _ in lesions.hemorrhages])
    assert frame.shows(centres, 0.0).all()
    return np.bincount(frame.quadrant(centres), minlength=4)


def test_grade_0_has_no_lesion() -> None:
    assert all(lesions == Lesions() for _, lesions in drawn(0))


def test_grade_1_has_visible_microaneurysms_and_nothing_else() -> None:
    for _, lesions in drawn(1):
        assert set(lesions.counts) == {"microaneurysms"}
        assert 3 <= lesions.counts["microaneurysms"] <= 22
        assert lesions.blood == lesions.microaneurysms
        assert len(lesions.microaneurysms) == lesions.counts["microaneurysms"]
        assert [lesions.exudates, lesions.cotton_wool, lesions.fibrous, lesions.lines] == [[], [], [], []]
        diameters_um = 2 * np.sqrt(areas_dd([o for o, _ in lesions.microaneurysms]) / np.pi) * UM_PER_DD
        assert (diameters_um > 60).all()
        assert (diameters_um < 130).all()


def test_grade_2_is_more_than_microaneurysms_and_less_than_the_4_2_1_rule() -> None:
    for frame, lesions in drawn(2):
        quadrants = hemorrhages_by_quadrant(frame, lesions)
        assert quadrants.sum() >= 4
        assert (quadrants <= 20).all()
        assert "venous_beads" not in lesions.counts
        assert "irma" not in lesions.counts
        assert not any(name.startswith(("new_vessels", "preretinal")) for name in lesions.counts)


def test_grade_3_meets_the_4_2_1_rule_without_proliferation() -> None:
    for frame, lesions in drawn(3):
        assert (hemorrhages_by_quadrant(frame, lesions) > 20).all()
        assert lesions.counts["venous_beads"] > 0
        assert lesions.counts["irma"] > 0
        assert not any(name.startswith(("new_vessels", "preretinal")) for name in lesions.counts)


def test_grade_4_has_new_vessels_or_a_preretinal_hemorrhage() -> None:
    for _, lesions in drawn(4):
        new = lesions.counts["new_vessels_disc"] + lesions.counts["new_vessels_elsewhere"]
        assert new + lesions.counts["preretinal_haemorrhages"] > 0
        assert lesions.counts["haemorrhages"] > 0


@pytest.mark.parametrize("grade", [1, 2])
def test_disease_grows_within_a_grade(grade: int) -> None:
    lesions = [lesions for _, lesions in drawn(grade)]
    red = [len(drawing.blood) for drawing in lesions]
    assert np.mean(red[-10:]) > np.mean(red[:10])


def test_hemorrhages_are_larger_than_microaneurysms() -> None:
    assert MICROANEURYSM_DD[1] * UM_PER_DD <= 125 < DOT_DD[0] * UM_PER_DD
