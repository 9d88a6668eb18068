"""The eye behind the photograph: optic disc, cup, fovea and the colours of this person's fundus."""

import math
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Anatomy:
    """Lengths in optic-disc diameters (DD) from the disc's centre; x towards the temple, y downwards."""

    fovea_dd: tuple[float, float]
    disc_radii_dd: tuple[float, float]
    disc_wobble: tuple[float, float]  # phases of its outline's deviation from an ellipse
    cup_to_disc: float
    cup_centre_dd: tuple[float, float]
    fundus_colour: Colour
    disc_colour: Colour
    cup_colour: Colour
    choroid_visibility: float
    macula_darkness: float
    foveal_reflex: float


def draw_anatomy(patient: np.random.Generator, eye: np.random.Generator) -> Anatomy:
    """Draws one eye. The generator `patient` decides what both eyes of a person share.

    The fovea is about 2.5 DD temporal of the disc's centre and a little below it (Rohrschneider, IOVS 2004:
    15.5° and 1.5° with a disc of about 6°); cup-to-disc ratios as in healthy adults, 0.2 … 0.6.
    """
    pigment = patient.uniform(0, 1)  # 0: fair, 1: dark
    warmth = patient.normal(0, 1)
    choroid = patient.uniform(0, 1) ** 2
    cup_to_disc = float(np.clip(patient.normal(0.40, 0.09) + eye.normal(0, 0.03), 0.2, 0.62))
    fair, dark = np.array([0.80, 0.43, 0.20]), np.array([0.58, 0.24, 0.07])
    fundus = (fair + (dark - fair) * pigment) * np.exp(np.array([0.02, -0.07, -0.25]) * warmth)
    disc = np.array([0.99, 0.62, 0.37]) * np.exp(eye.normal(0, 0.03, 3))
    cup = np.array([1.0, 0.82, 0.57]) * np.exp(eye.normal(0, 0.02, 3))
    distance, drop = eye.normal(2.55, 0.1), math.radians(eye.normal(6.5, 1.5))
    return Anatomy(
        fovea_dd=(distance * math.cos(drop), distance * math.sin(drop)),
        disc_radii_dd=(0.5 * eye.uniform(0.9, 1.0), 0.5 * eye.uniform(1.0, 1.1)),
        disc_wobble=(eye.uniform(0, 2 * math.pi), eye.uniform(0, 2 * math.pi)),
        cup_to_disc=cup_to_disc,
        cup_centre_dd=(eye.uniform(0.02, 0.08), eye.uniform(-0.03, 0.03)),
        fundus_colour=_colour(fundus),
        disc_colour=_colour(disc),
        cup_colour=_colour(cup),
        choroid_visibility=choroid,
        macula_darkness=eye.uniform(0.6, 1.2),
        foveal_reflex=max(0.0, eye.uniform(-0.6, 0.5)),
    )


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (float(v) for v in np.clip(values, 0.0, 1.0))
    return red, green, blue
