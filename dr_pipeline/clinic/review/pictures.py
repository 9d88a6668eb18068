"""The review page's pictures: of each photograph a thumbnail and a full picture, both JPEG, for any browser.

A picture shows the field as the network sees it: round, black outside, where cameras write names. Its file is named by
the photograph's SHA-256 and by how it was made, so that a later run keeps what is there.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import ImageError
from dr_pipeline.files import atomic_write, sha256_bytes
from dr_pipeline.fundus.canvas import to_canvas
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.read import read_entry

THUMBNAIL_PX = 240
_THUMBNAIL_QUALITY, _FULL_QUALITY = 80, 92
_NAME_DIGITS = 32
# Pictures, and what a killed run left of one.
_OWN_NAMES = re.compile(r"\.?[0-9a-f]{32}(-frame)?-(thumb\.jpg|[0-9]+\.jpg|lesions\.svg)(\..*\.part)?")


@dataclass(frozen=True)
class PictureJob:
    """One photograph: where it is, and the SHA-256 of the bytes that were scored."""

    entry: Entry
    sha256: str


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures, and how they are made; the task of the processes that make them.

    Attributes:
        folder: Where they are.
        full_px: Longest side of a full picture; a photograph that has less is not enlarged.
        whole_frame: Shows the whole frame instead of the field alone.
    """

    folder: Path
    full_px: int
    whole_frame: bool = False
    modules: ClassVar[Sequence[str]] = ("dr_pipeline.engines.local", "dr_pipeline.clinic.review.pictures")
    places: ClassVar[Sequence[Path]] = ()

    def names(self, sha256: str) -> tuple[str, str]:
        """File names of a photograph's thumbnail and full picture."""
        stem = self._stem(sha256)
        return f"{stem}-thumb.jpg", f"{stem}-{self.full_px}.jpg"

    def _stem(self, sha256: str) -> str:
        return sha256[:_NAME_DIGITS] + ("-frame" if self.whole_frame else "")

    def lesions_name(self, sha256: str) -> str:
        """File name of the picture that lies over the full one where lesions were looked for."""
        return f"{self._stem(sha256)}-lesions.svg"

    def are_made(self, sha256: str) -> bool:
        """Whether both are there."""
        return all((self.folder / name).is_file() for name in self.names(sha256))

    def setup(self) -> Callable[[PictureJob], str]:
        """The work of a process."""
        return self.make

    def failed(self, _job: PictureJob, reason: str) -> str:
        """The answer for a photograph whose process hung or died."""
        return reason

    def make(self, job: PictureJob) -> str:
        """Makes the pictures of one photograph.

        Returns:
            Why there are none; empty where they were made.

        Raises:
            OSError: They cannot be written.
        """
        try:
            data = read_entry(job.entry)
            if sha256_bytes(data) != job.sha256:
                return "the file is no longer the one that was scored"
            full = render(data, full_px=self.full_px, whole_frame=self.whole_frame)
        except ImageError as error:
            return error.what
        thumbnail = _shrink(full, THUMBNAIL_PX)
        for name, pixels, quality in zip(
            self.names(job.sha256), (thumbnail, full), (_THUMBNAIL_QUALITY, _FULL_QUALITY), strict=True
        ):
            with atomic_write(self.folder / name, private=True) as stream:
                stream.write(_encode(pixels, quality))
        return ""

    def remove_others(self, sha256s: set[str], lesions: set[str]) -> None:
        """Removes other pictures, such as those that an earlier run made of the whole frame.

        Args:
            sha256s: Of the photographs whose pictures stay.
            lesions: Of those whose lesions are shown.
        """
        wanted = {name for sha256 in sha256s for name in self.names(sha256)} | set(map(self.lesions_name, lesions))
        for path in self.folder.iterdir():
            if path.name not in wanted and _OWN_NAMES.fullmatch(path.name):
                path.unlink()


def render(data: bytes, *, full_px: int, whole_frame: bool) -> NDArray[np.uint8]:
    """The picture of a file's bytes.

    Returns:
        (height, width, 3) RGB; a square around the field, black outside it, unless `whole_frame`.

    Raises:
        ImageError: The file yields no picture.
    """
    pixels = decode(data, full_px).pixels
    if whole_frame:
        return _shrink(pixels, full_px)
    disc = find_disc(pixels)
    return to_canvas(pixels, disc, min(full_px, max(THUMBNAIL_PX, round(2 * disc.radius))))


def _shrink(pixels: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    smaller: NDArray[np.uint8] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return smaller


def _encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG with full colour resolution: halved, it would blur small red lesions."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError(f"a picture of {pixels.shape} cannot be encoded as JPEG")
    return bytes(data)
