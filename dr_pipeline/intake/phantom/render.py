"""One photograph: the eye painted as its camera sees it."""

from dataclasses import dataclass

import cv2
import numpy as np

from dr_pipeline.intake.phantom.anatomy import Anatomy, draw_anatomy
from dr_pipeline.intake.phantom.background import paint_background
from dr_pipeline.intake.phantom.bright_lesions import paint_optic_disc, paint_pale_lesions
from dr_pipeline.intake.phantom.cameras import CAMERAS, Frame, frame_eye
from dr_pipeline.intake.phantom.capture import expose
from dr_pipeline.intake.phantom.cohort import EYES, EyeCase
from dr_pipeline.intake.phantom.drawing import Bytes
from dr_pipeline.intake.phantom.hemorrhages import absorb, lesion_density, vessel_density
from dr_pipeline.intake.phantom.lesions import draw_lesions
from dr_pipeline.intake.phantom.streams import Stream, generator
from dr_pipeline.intake.phantom.vessels import grow_vessels

_BOTH_EYES = len(EYES)  # in a stream's name, the place of what a person's two eyes share


@dataclass(frozen=True)
class Rendered:
    """A photograph before compression, and what the ground truth says of it.

    Attributes:
        rgb: (height, width, 3) uint8.
        frame: Where the retina lies in it.
        anatomy: The eye.
        lesion_counts: By kind.
    """

    rgb: Bytes
    frame: Frame
    anatomy: Anatomy
    lesion_counts: dict[str, int]


def render(seed: int, case: EyeCase, megapixels: float, *, without_lesions: bool) -> Rendered:
    """Paints one eye; equal arguments give equal pixels in every process.

    Args:
        seed: Of the data set.
        case: The eye, its severity and its camera.
        megapixels: Of the middle camera.
        without_lesions: Leaves the lesions out; every pixel that none covers, or touches by blur, stays the same.
    """

    def stream(which: Stream) -> np.random.Generator:
        return generator(seed, which, case.patient_index, case.eye_index)

    camera, capture = CAMERAS[case.camera], stream(Stream.CAPTURE)
    person = generator(seed, Stream.ANATOMY, case.patient_index, _BOTH_EYES)
    anatomy = draw_anatomy(person, stream(Stream.ANATOMY))
    frame = frame_eye(capture, camera, megapixels, case.eye, anatomy.fovea_dd)
    vessels = grow_vessels(stream(Stream.VESSELS), anatomy.fovea_dd, frame)
    severity = 0.0 if without_lesions else case.severity
    lesions = draw_lesions(stream(Stream.LESIONS), severity, anatomy, vessels, frame)

    background = paint_background(stream(Stream.BACKGROUND), anatomy, frame)
    size = (frame.width_px, frame.height_px)
    retina = cv2.resize(background.colour, size, interpolation=cv2.INTER_LINEAR)
    light = cv2.resize(background.light, size, interpolation=cv2.INTER_LINEAR)
    paint_optic_disc(retina, light, anatomy, frame)
    paint_pale_lesions(retina, light, lesions, frame)
    absorb(retina, cv2.add(vessel_density(vessels, frame), lesion_density(lesions, frame)))
    rgb = expose(capture, retina, camera, frame, ungradable=case.ungradable)
    return Rendered(rgb, frame, anatomy, lesions.counts)
