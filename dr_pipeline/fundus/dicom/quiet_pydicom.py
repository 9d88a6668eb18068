"""pydicom as the package uses it, with its warnings disabled: they quote values, which are patients' data.

Import it inside functions only: pydicom takes a quarter of a second to load, and most photographs are not DICOM.
"""

import logging
import warnings

from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

# Values are not validated: a camera's malformed date is no reason to refuse its picture.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
# pydicom's warnings are attributed to it or to its caller.
warnings.filterwarnings("ignore", module=r"pydicom\b")
warnings.filterwarnings("ignore", module=r"dr_pipeline\.fundus\.dicom")

__all__ = ["UID", "Dataset", "apply_color_lut", "encapsulate", "get_decoder", "read_dataset", "tag_for_keyword"]
