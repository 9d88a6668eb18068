"""Recognises photographs that were enhanced before they came here, and the policy for them.

Many public sets hold only such copies. A network trained on plain photographs cannot grade them, and enhancing them
again changes them once more. One kind leaves evidence in the pixels: where the local mean was subtracted and 128 added
(B. Graham's script of 2015), every channel lies about one middle grey all over the field. In a photograph the channels
differ, and light falls off towards the rim. A contrast that was equalised locally (CLAHE) stays within the range of
cameras (detail of vessel width: median 0.08 to 0.11 against at most 0.09) and is not recognised.
"""

import numpy as np

from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.quality.colour_checks import NO_COLOUR, colour_fault
from dr_pipeline.fundus.quality.measures import Cells, Measures

ALREADY_ENHANCED = "already_enhanced"
# What to do with them: a person decides; or they are assessed and graded as if plain, for a set of that kind.
PERSON, ACCEPT = "person", "accept"
POLICIES = (PERSON, ACCEPT)

_MIDDLE, _TOLERANCE = 128, 24
_MIN_MIDDLE_GREY = 0.4  # of the cells; of 500 photographs the most is 0.06
# Haze is grey too, but without detail; so is noise, whose detail is no larger than a pixel.
_MIN_DETAIL = 0.012


def require_policy(name: str) -> None:
    """Raises ParamsError if the policy is unknown."""
    if name not in POLICIES:
        raise ParamsError(
            f"unknown policy {name!r}", where="preprocess.already_enhanced", todo=f"use one of {', '.join(POLICIES)}"
        )


def is_already_enhanced(cells: Cells, measures: Measures) -> bool:
    """Whether the local mean was subtracted and middle grey added.

    Such a picture has no colours of tissue, but some; a grey one may be of any kind.
    """
    if colour_fault(cells.colours) == NO_COLOUR:
        return False
    distance = np.abs(cells.rgb[cells.counted] - np.float32(_MIDDLE)).max(axis=1)
    middle_grey = float(np.mean(distance <= _TOLERANCE))
    return middle_grey >= _MIN_MIDDLE_GREY and measures.low_contrast >= _MIN_DETAIL and measures.blurred > 0
