"""Where lesions are, from folders of masks: the phantom's, IDRiD's, or any with one picture per photograph or type."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.errors import DataError
from dr_pipeline.files import printable
from dr_pipeline.fundus.decode import decode_mask, read_image_file
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.mask_files import require_background

_LESION_BITS = np.uint16(sum(1 << kind.bit for kind in KINDS if kind.is_lesion))
_SUFFIXES = (".bmp", ".png", ".tif", ".tiff")
# Microaneurysms, haemorrhages, hard and soft exudates, IRMA, new vessels: such as _MA of IDRiD_01_MA.tif.
_LESION = re.compile(r"_(MA|HE|EX|SE|IRMA|NV)$", re.IGNORECASE)


class LesionMasks:
    """The masks below some folders.

    A mask belongs to the photograph of the same name, without its suffix, or with a lesion's letters behind it:
    `IDRiD_01.png` and `IDRiD_01_MA.tif` to `IDRiD_01.jpg`. What is not black is a lesion; of a grey PNG of 16 bits, as
    the phantom has them, what has the bit of a kind of lesion. A photograph without a mask has no known lesion.

    Args:
        folders: The folders.

    Raises:
        DataError: There is no mask.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._paths: dict[str, list[Path]] = {}
        for path in sorted(path for folder in folders for path in folder.rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                for stem in {_stem(path.name), _LESION.sub("", _stem(path.name))}:
                    self._paths.setdefault(stem, []).append(path)
        if not self._paths:
            raise DataError(
                f"no mask ({', '.join(_SUFFIXES)}) is there",
                where=", ".join(map(printable, folders)),
                todo="name the folder of the masks with --masks",
            )

    def has(self, name: str) -> bool:
        """Whether a photograph of this file name has a mask."""
        return _stem(name) in self._paths

    def read(self, name: str, height: int, width: int) -> NDArray[np.bool_] | None:
        """The union of a photograph's masks, (height, width); None where it has none, or they are black.

        Args:
            name: The photograph's file name.
            height: Of the upright photograph.
            width: Of the upright photograph.

        Raises:
            DataError: A mask cannot be read, has other sides than the photograph, or shows more lesions than background
                (an inverted one, or a photograph).
        """
        lesions = np.zeros((height, width), dtype=np.bool_)
        for path in self._paths.get(_stem(name), []):
            pixels = decode_mask(read_image_file(path))
            if pixels.shape[:2] != (height, width):
                raise DataError(
                    f"a mask of {pixels.shape[1]} × {pixels.shape[0]} px for a photograph of {width} × {height} px",
                    where=printable(path.name),
                    todo="give masks in the pixels of the upright photographs",
                )
            shown = np.asarray(pixels & _LESION_BITS > 0 if pixels.ndim == 2 else pixels.any(axis=2))
            require_background(shown, "lesions", where=printable(path.name))
            lesions |= shown
        return lesions if lesions.any() else None


def _stem(name: str) -> str:
    """A file's name without folder and suffix, in one case; `é` is two characters in macOS's file names."""
    return unicodedata.normalize("NFC", Path(name).stem).casefold()
