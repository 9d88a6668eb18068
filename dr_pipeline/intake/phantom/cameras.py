"""The cameras, and how each frames the retina: pixels, field, cut-off, notch, colour, sharpness, JPEG."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.schema import Eye

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """One model of fundus camera.

    Attributes:
        megapixel_factor: Its resolution, as a multiple of `phantom.megapixels`.
        aspect: Width over height of the image.
        disc_to_height: Diameter of the retinal disc over the image height; above 1, top and bottom are cut off.
        field_radius_dd: Radius of the photographed field in optic-disc diameters (DD). A 45° field is about
            13 mm wide and a DD about 1.8 mm with its rim, so 3.3 … 3.8.
        gains: Colour balance (red, green, blue).
        gamma: Tone curve, above 1 darkens the middle tones.
        blur_dd: Standard deviation of the optics' blur in DD.
        noise: Standard deviation of the sensor's noise, of full scale.
        black_level: Glow of the black surround, of full scale.
        notch: Mark at the field's edge: "none", "triangle" or "semicircle".
        notch_deg: Its direction from the centre, clockwise from three o'clock.
        jpeg_quality: 0 … 100, as in cv2.
    """

    name: str
    megapixel_factor: float
    aspect: float
    disc_to_height: float
    field_radius_dd: float
    gains: tuple[float, float, float]
    gamma: float
    blur_dd: float
    noise: float
    black_level: float
    notch: str
    notch_deg: float
    jpeg_quality: int


CAMERAS = {
    camera.name: camera
    for camera in (
        Camera("alder", 1.0, 3 / 2, 1.14, 3.50, (1.00, 1.00, 1.00), 1.00, 0.007, 0.008, 0.010, "triangle", -38, 90),
        Camera("birch", 0.6, 1.0, 0.97, 3.45, (0.98, 1.10, 1.25), 0.95, 0.011, 0.010, 0.002, "none", 0, 82),
        Camera("cedar", 1.6, 3 / 2, 0.98, 3.60, (1.04, 0.92, 0.80), 1.08, 0.006, 0.006, 0.006, "semicircle", 0, 93),
        Camera("dogwood", 0.8, 4 / 3, 0.98, 3.40, (0.99, 1.02, 0.78), 1.02, 0.010, 0.013, 0.014, "none", 0, 78),
        Camera("elm", 1.3, 4 / 3, 1.10, 3.55, (1.03, 0.96, 1.10), 1.12, 0.008, 0.007, 0.004, "triangle", 45, 87),
    )
}
# A site owns its cameras; the disease is independent of both.
SITES = {"harbour": ("alder", "birch"), "hill": ("cedar", "dogwood"), "van": ("elm",)}


@dataclass(frozen=True)
class Frame:
    """Where the retina is in the image.

    Retinal coordinates are in DD from the optic disc's centre, x towards the temple, y downwards.
    """

    width_px: int
    height_px: int
    centre_px: tuple[float, float]
    radius_px: float
    centre_dd: tuple[float, float]
    px_per_dd: float
    towards_temple: int  # +1: the temple is at the image's right (left eye)
    tilt_rad: float

    def to_px(self, points_dd: Points) -> Points:
        """Maps retinal points (..., 2) in DD to pixels of the image."""
        x = (points_dd[..., 0] - self.centre_dd[0]) * self.towards_temple * self.px_per_dd
        y = (points_dd[..., 1] - self.centre_dd[1]) * self.px_per_dd
        cos, sin = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        return np.stack([self.centre_px[0] + cos * x - sin * y, self.centre_px[1] + sin * x + cos * y], axis=-1)

    def to_dd(self, points_px: Points) -> Points:
        """Maps pixels of the image (..., 2) to retinal points in DD; the inverse of `to_px`."""
        u, v = points_px[..., 0] - self.centre_px[0], points_px[..., 1] - self.centre_px[1]
        cos, sin = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        x = (cos * u + sin * v) * self.towards_temple / self.px_per_dd + self.centre_dd[0]
        y = (-sin * u + cos * v) / self.px_per_dd + self.centre_dd[1]
        return np.stack([x, y], axis=-1)

    def shows(self, points_dd: Points, margin_dd: float) -> NDArray[np.bool_]:
        """Which retinal points (..., 2) are photographed, at least `margin_dd` from the edge of the field."""
        px = self.to_px(points_dd)
        margin = margin_dd * self.px_per_dd
        in_disc = np.hypot(px[..., 0] - self.centre_px[0], px[..., 1] - self.centre_px[1]) < self.radius_px - margin
        in_image = (px[..., 1] > margin) & (px[..., 1] < self.height_px - margin)
        shown: NDArray[np.bool_] = in_disc & in_image
        return shown

    def quadrant(self, points_dd: Points) -> NDArray[np.int64]:
        """The quadrant 0 … 3 of the photographed field that contains each retinal point (..., 2)."""
        relative = points_dd - np.array(self.centre_dd)
        number: NDArray[np.int64] = (relative[..., 0] > 0).astype(np.int64) + 2 * (relative[..., 1] > 0)
        return number


def frame_eye(
    rng: np.random.Generator, camera: Camera, megapixels: float, eye: Eye, fovea_dd: tuple[float, float]
) -> Frame:
    """Points the camera: the centre of the field is between macula and optic disc, nearer to the macula."""
    height = max(64, 2 * round(math.sqrt(megapixels * camera.megapixel_factor * 1e6 / camera.aspect) / 2))
    width = 2 * round(height * camera.aspect / 2)
    radius = camera.disc_to_height * height / 2
    shift = rng.uniform(-0.006, 0.006, 2) * height
    return Frame(
        width_px=width,
        height_px=height,
        centre_px=(width / 2 + shift[0], height / 2 + shift[1]),
        radius_px=radius,
        centre_dd=(fovea_dd[0] - rng.uniform(0.2, 1.0), fovea_dd[1] * 0.5 + rng.uniform(-0.25, 0.25)),
        px_per_dd=radius / camera.field_radius_dd / rng.uniform(0.97, 1.03),
        towards_temple=1 if eye is Eye.LEFT else -1,
        tilt_rad=math.radians(rng.uniform(-7, 7)),
    )
