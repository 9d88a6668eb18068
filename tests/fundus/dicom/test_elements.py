"""The header's elements: bounded, and without pydicom a clear reason."""

import importlib
import struct
import time

import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.dicom import elements as dicom_elements
from tests.factories.dicom_samples import DICOM


@pytest.mark.parametrize("tag", [0x00081115, 0x00281101])
def test_a_sequence_of_endless_empty_items_is_refused_quickly(tag):
    opened = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, 0xFFFFFFFF)
    start_s = time.process_time()
    with pytest.raises(ImageError, match="more elements than any camera writes"):
        decode(DICOM[:132] + opened + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 400_000, 64)
    assert time.process_time() - start_s < 10


def test_without_pydicom_the_reason_names_it(monkeypatch):
    monkeypatch.setattr(dicom_elements, "_read", lambda *_: importlib.import_module("pydicom_that_is_absent"))
    with pytest.raises(ImageError, match="not installed"):
        decode(DICOM, 64)
