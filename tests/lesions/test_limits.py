"""The limits of findings in words: landmarks first, each with what follows from it, then the second opinion's."""

from typing import Any

import pytest

from dr_pipeline.lesions.findings import Findings, FoveaMethod, Yardstick
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.limits import limits_of
from dr_pipeline.schema import Eye

DISC, FOVEA = (100.0, 100.0, 200.0), (600.0, 130.0)


def found(**changes: Any) -> Findings:
    """Nothing but landmarks, in a photograph in which every kind was looked for."""
    values: dict[str, Any] = {
        "kinds": tuple(kind.name for kind in KINDS),
        "lesions": (),
        "disc": DISC,
        "fovea": FOVEA,
        "fovea_method": FoveaMethod.NETWORK,
        "yardstick": Yardstick.OPTIC_DISC,
        "um_per_px": 7.5,
        "window": (0, 0, 800, 800),
    }
    return Findings(**values | changes)


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({}, ()),
        ({"fovea_method": FoveaMethod.DARKEST}, ()),
        ({"fovea_method": FoveaMethod.EXPECTED}, ("fovea by its expected place",)),
        (
            {"fovea": None, "fovea_method": FoveaMethod.NONE},
            ("fovea not found: no quadrants, no distances",),
        ),
        (
            {"disc": None, "yardstick": Yardstick.FIELD},
            ("no optic disc: no quadrants, lengths by the declared field",),
        ),
        ({"yardstick": Yardstick.FIELD}, ("optic disc unsure: lengths by the declared field",)),
        (
            {"kinds": ("microaneurysms",), "fovea_method": FoveaMethod.EXPECTED},
            (
                "fovea by its expected place",
                "does not look for hemorrhages, hard exudates, cotton wool spots",
                "does not look for hemorrhages, venous beading, IRMA",
                "does not look for new vessels, preretinal hemorrhages",
            ),
        ),
    ],
)
def test_what_was_not_found_or_not_looked_for_is_stated(changes: dict[str, Any], limits: tuple[str, ...]) -> None:
    assert limits_of(found(**changes)) == limits


@pytest.mark.parametrize("disc", [DISC, None])
def test_a_stated_eye_that_is_another_than_the_landmarks_show_is_a_limit(
    disc: tuple[float, float, float] | None,
) -> None:
    findings = found(disc=disc)
    contradicted = "disc and fovea lie as in a left eye, stated is a right one: one is wrong"
    assert (contradicted in limits_of(findings, stated=Eye.RIGHT)) is (disc is not None)
    for stated in (Eye.LEFT, Eye.UNKNOWN):
        assert limits_of(findings, stated=stated) == limits_of(findings)
