"""The lesions that define the grade, by the rules of the International Clinical DR scale.

Rules: Wilkinson et al., Ophthalmology 2003;110:1677. Sizes: ETDRS report 10, Ophthalmology 1991;98:786
(microaneurysms up to 125 µm, larger red spots are hemorrhages), with a disc diameter (DD) of 1500 µm; the
generator stays at the visible end of each range, since its photographs are small.
"""

from dataclasses import dataclass, field

import numpy as np

from dr_pipeline.intake.phantom.anatomy import Anatomy
from dr_pipeline.intake.phantom.cameras import Frame, Points
from dr_pipeline.intake.phantom.lesion_geometry import Placement, blobs, boat, frond
from dr_pipeline.intake.phantom.vessels import Vessels
from dr_pipeline.schema import Grade

UM_PER_DD = 1500.0
MICROANEURYSM_DD = (105 / UM_PER_DD, 125 / UM_PER_DD)
DOT_DD = (0.09, 0.14)
BLOT_DD = (0.14, 0.26)
EXUDATE_DD = (0.03, 0.09)
COTTON_WOOL_DD = (0.24, 0.42)
PRERETINAL_DD = (1.0, 1.8)
BOAT_LAYERS = ((1.0, 1.0), (0.93, 1.3), (0.82, 1.55))  # scale and optical density, from the edge inwards
NEW_VESSEL_DD = 0.024
# The 4-2-1 rule: severe disease has more than 20 hemorrhages in each of the four quadrants.
SEVERE_HEMORRHAGES_PER_QUADRANT = 21

Blood = tuple[Points, float]
Line = tuple[Points, float, float]


@dataclass
class Lesions:
    """Outlines and lines in DD by kind; `counts` for the ground truth.

    Attributes:
        microaneurysms: (outline (vertices, 2), optical density).
        hemorrhages: Likewise.
        preretinal: Likewise, of preretinal hemorrhages; several layers each.
        exudates: Outlines of hard exudates.
        cotton_wool: Outlines of cotton-wool spots.
        fibrous: Outlines of the fibrous tissue that carries new vessels.
        beading: (line (steps, 2), width in DD, optical density), of veins.
        irma: Likewise.
        new_vessels: Likewise.
    """

    microaneurysms: list[Blood] = field(default_factory=list)
    hemorrhages: list[Blood] = field(default_factory=list)
    preretinal: list[Blood] = field(default_factory=list)
    exudates: list[Points] = field(default_factory=list)
    cotton_wool: list[Points] = field(default_factory=list)
    fibrous: list[Points] = field(default_factory=list)
    beading: list[Line] = field(default_factory=list)
    irma: list[Line] = field(default_factory=list)
    new_vessels: list[Line] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def blood(self) -> list[Blood]:
        """What is filled with blood, in the order of painting."""
        return [*self.microaneurysms, *self.hemorrhages, *self.preretinal]

    @property
    def lines(self) -> list[Line]:
        """What is drawn as lines of blood, in the order of painting."""
        return [*self.beading, *self.irma, *self.new_vessels]


def draw_lesions(
    rng: np.random.Generator, severity: float, anatomy: Anatomy, vessels: Vessels, frame: Frame
) -> Lesions:
    """Draws the lesions of an eye of this severity: the grade is its integer part, the position in the grade the rest.

    0 nothing; 1 microaneurysms only; 2 also hemorrhages, exudates and some cotton-wool spots, short of the 4-2-1
    rule; 3 the 4-2-1 rule: > 20 hemorrhages in every quadrant, venous beading, IRMA; 4 new vessels
    or pre-retinal hemorrhage, on top of moderate to severe disease.
    """
    place = Placement(rng, anatomy, vessels, frame)
    grade, within = Grade(int(severity)), severity % 1
    lesions = Lesions()
    if grade is Grade.NO_DR:
        return lesions
    if grade is Grade.MILD:
        _add_microaneurysms(lesions, rng, place, round(8 + 14 * within))
        return lesions
    _add_microaneurysms(lesions, rng, place, int(rng.integers(6, 14)) + round(6 * within))
    if grade is Grade.MODERATE:
        _add_hemorrhages(lesions, rng, place.spread(round(8 + 22 * within), per_quadrant_limit=18), within)
        _add_exudates(lesions, rng, place, 1 + round(2 * within))
        _add_cotton_wool(lesions, rng, place, int(rng.integers(0, 2)) + round(within))
    elif grade is Grade.SEVERE:
        per_quadrant = SEVERE_HEMORRHAGES_PER_QUADRANT + round(9 * within)
        _add_hemorrhages(lesions, rng, place.in_every_quadrant(per_quadrant), 0.5 + within / 2)
        _add_exudates(lesions, rng, place, int(rng.integers(1, 4)))
        _add_cotton_wool(lesions, rng, place, int(rng.integers(2, 4)) + round(2 * within))
        _add_beading(lesions, rng, vessels, frame)
        _add_irma(lesions, rng, place, int(rng.integers(2, 5)))
    else:
        _add_hemorrhages(lesions, rng, place.spread(round(35 + rng.uniform(0, 35)), per_quadrant_limit=30), 0.7)
        _add_exudates(lesions, rng, place, int(rng.integers(0, 3)))
        _add_cotton_wool(lesions, rng, place, int(rng.integers(0, 3)))
        _add_proliferation(lesions, rng, place, vessels, within)
    return lesions


def _add_microaneurysms(lesions: Lesions, rng: np.random.Generator, place: Placement, count: int) -> None:
    centres = place.apart(place.candidates(12 * count, 0.2, off_vessels_dd=0.1), count, 0.15)
    outlines = blobs(rng, centres, rng.uniform(*MICROANEURYSM_DD, len(centres)), raggedness=0.05)
    lesions.microaneurysms += [(outline, float(rng.uniform(1.5, 1.9))) for outline in outlines]
    lesions.counts["microaneurysms"] = len(centres)


def _add_hemorrhages(lesions: Lesions, rng: np.random.Generator, centres: Points, blot_fraction: float) -> None:
    """Dots and blots; blots become more frequent with `blot_fraction` in [0, 1]."""
    is_blot = rng.random(len(centres)) < 0.25 + 0.35 * blot_fraction
    diameters = np.where(is_blot, rng.uniform(*BLOT_DD, len(centres)), rng.uniform(*DOT_DD, len(centres)))
    outlines = blobs(rng, centres, diameters, raggedness=0.2, elongation=(1.0, 2.0))
    lesions.hemorrhages += [(outline, float(rng.uniform(0.9, 1.5))) for outline in outlines]
    lesions.counts["haemorrhages"] = len(centres)


def _add_exudates(lesions: Lesions, rng: np.random.Generator, place: Placement, clusters: int) -> None:
    """Clusters of sharp specks, likelier near the macula; every third cluster is a ring (circinate)."""
    candidates = place.candidates(40 * clusters + 20, 0.5)
    near = candidates[np.argsort(np.hypot(*(candidates - place.fovea_dd).T) + rng.exponential(2.5, len(candidates)))]
    centres = place.apart(near, clusters, 0.9)
    specks = 0
    for centre in centres:
        count = int(rng.integers(12, 34))
        if rng.random() < 1 / 3:
            angle = rng.uniform(0.3, 1.0) * 2 * np.pi * rng.random(count) + rng.uniform(0, 6)
            ring = rng.uniform(0.35, 0.55) + rng.normal(0, 0.05, count)
            points = centre + np.stack([ring * np.cos(angle), ring * np.sin(angle)], axis=-1)
        else:
            points = centre + rng.normal(0, 1, (count, 2)) * rng.uniform(0.12, 0.28, 2)
        sizes = EXUDATE_DD[0] + (EXUDATE_DD[1] - EXUDATE_DD[0]) * rng.random(count) ** 1.5
        lesions.exudates += list(blobs(rng, points, sizes, raggedness=0.25, elongation=(1.0, 2.0)))
        specks += count
    lesions.counts["exudates"] = specks


def _add_cotton_wool(lesions: Lesions, rng: np.random.Generator, place: Placement, count: int) -> None:
    centres = place.apart(place.candidates(20 * count, 0.4), count, 0.6)
    sizes = rng.uniform(*COTTON_WOOL_DD, len(centres))
    lesions.cotton_wool += list(blobs(rng, centres, sizes, raggedness=0.15, elongation=(1.0, 2.0)))
    lesions.counts["cotton_wool_spots"] = len(centres)


def _add_beading(lesions: Lesions, rng: np.random.Generator, vessels: Vessels, frame: Frame) -> None:
    """Sausage-like swellings along the trunk veins, so in all quadrants (the rule requires two)."""
    trunks = np.flatnonzero((vessels.generation == 0) & vessels.is_vein)
    beads = 0
    for trunk in trunks:
        points, widths = vessels.points[trunk], vessels.widths[trunk]
        distance = np.hypot(points[:, 0], points[:, 1])
        step = float(np.hypot(*(points[1] - points[0])))
        stride = max(2, round(0.24 / step))
        visible = np.flatnonzero((distance > 0.8) & (widths > 0) & frame.shows(points, 0.1))[::stride]
        for at in visible[:-1]:
            swelling = float(widths[at]) * rng.uniform(1.4, 1.75)
            piece = points[at : at + 2]
            lesions.beading.append((piece, swelling, 1.05))
            beads += 1
    lesions.counts["venous_beads"] = beads


def _add_irma(lesions: Lesions, rng: np.random.Generator, place: Placement, count: int) -> None:
    """Intraretinal microvascular abnormalities: short, tortuous, slightly wide capillaries, flat in the retina."""
    centres = place.apart(place.candidates(20 * count, 0.5), count, 0.7)
    for centre in centres:
        tangle = frond(rng, centre, float(rng.uniform(0, 2 * np.pi)), 0.3)
        chosen = tangle[rng.choice(len(tangle), 7, replace=False)]
        lesions.irma += [(line, 0.018, 0.75) for line in chosen]
    lesions.counts["irma"] = len(centres)


def _add_proliferation(
    lesions: Lesions, rng: np.random.Generator, place: Placement, vessels: Vessels, within: float
) -> None:
    """New vessels at the disc or along the arcades, a pre-retinal hemorrhage, or both."""
    bleeds = rng.random() < 0.7 + 0.25 * within
    fronds = 2 + int(rng.integers(0, 2)) + round(within)
    roots = []
    at_disc = rng.random() < 0.5
    if at_disc:
        angle = rng.uniform(0, 2 * np.pi)
        roots.append((0.38 * np.array([np.cos(angle), np.sin(angle)]), angle))
    elsewhere = place.apart(place.candidates(200, 0.7), fronds - at_disc, 1.3)
    trunk_points = vessels.points[vessels.generation == 0].reshape(-1, 2)
    for point in elsewhere:
        nearest = trunk_points[np.argmin(np.hypot(*(trunk_points - point).T))]
        away = point - nearest
        roots.append((point, float(np.arctan2(away[1], away[0]))))
    for root, heading in roots:
        reach = rng.uniform(0.5, 0.85) * (1 + 0.3 * within)
        lines = frond(rng, root, heading, reach)
        lesions.new_vessels += [(line, NEW_VESSEL_DD * float(rng.uniform(0.8, 1.4)), 1.15) for line in lines]
        if rng.random() < 0.3 + 0.5 * within:
            middle = root + 0.5 * reach * np.array([np.cos(heading), np.sin(heading)])
            sheet = blobs(rng, middle[None], np.array([0.7 * reach]), raggedness=0.25, elongation=(1.0, 2.0))
            lesions.fibrous.append(sheet[0])
    lesions.counts["new_vessels_disc"] = int(at_disc)
    lesions.counts["new_vessels_elsewhere"] = len(elsewhere)
    lesions.counts["preretinal_haemorrhages"] = 0
    if bleeds:
        for centre in place.apart(place.candidates(60, 0.9), 1, 1.0):
            outline = boat(rng, centre, float(rng.uniform(*PRERETINAL_DD)))
            # Thinner, so more transparent, towards its edge.
            lesions.preretinal += [(centre + scale * (outline - centre), level) for scale, level in BOAT_LAYERS]
            lesions.counts["preretinal_haemorrhages"] += 1
