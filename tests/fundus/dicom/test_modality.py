"""Every declaration of a photograph is accepted."""

import numpy as np
import pytest

from dr_pipeline.fundus.decode import decode
from tests.factories import dicom as factory
from tests.factories.dicom import dicom
from tests.factories.dicom_samples import PICTURE


@pytest.mark.parametrize(
    "fields",
    [
        {"Modality": "XC"},
        {"SOPClassUID": factory.SECONDARY_CAPTURE},
        {"SOPClassUID": f"{factory.SECONDARY_CAPTURE}.4"},
        {"Modality": None},
        {"SOPClassUID": None},
        {"SOPClassUID": "1.2.826.0.1.3680043.9.9999"},
        {"NumberOfFrames": 1},
    ],
)
def test_every_declaration_of_a_photograph_is_read(fields):
    assert np.array_equal(decode(dicom(PICTURE, **fields), 64).pixels, PICTURE)
