"""DICOM is recognised by content, with or without preamble."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.dicom.recognise import is_dicom, looks_like_dicom
from tests.factories.dicom import dicom
from tests.factories.dicom_samples import DICOM, JPEG, NATIVE, PICTURE
from tests.factories.drawings import encode, gif


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big-endian"])
def test_a_file_without_preamble_is_recognised_and_read(syntax, tmp_path):
    data = dicom(PICTURE, syntax=NATIVE[syntax], preamble=False)
    assert np.array_equal(decode(data, 64).pixels, PICTURE)
    (tmp_path / "IM0001").write_bytes(data)
    assert is_dicom(tmp_path / "IM0001")
    assert np.array_equal(decode(DICOM[128 + 4 :], 64).pixels, PICTURE)  # meta information, but no preamble


def test_other_content_is_not_dicom(tmp_path):
    others = {
        "jpeg": JPEG,
        "png": encode(PICTURE, ".png"),
        "tiff": encode(PICTURE, ".tiff"),
        "gif": gif(PICTURE),
        "text": b"DICM is the mark of DICOM files.\n" * 100,
        "zeros": bytes(4096),
        "empty": b"",
        "eights": b"\x08\x00" * 2048,
        "random": np.random.default_rng(0).bytes(4096),
    }
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
        assert not is_dicom(tmp_path / name), name
    assert not is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "missing")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_not_dicom(data):
    assert (
        not looks_like_dicom(data)
        or data[128:132] == b"DICM"
        or data.startswith(b"\x02\0\0\0UL")
        or data[:1] in b"\x08\0"
    )
