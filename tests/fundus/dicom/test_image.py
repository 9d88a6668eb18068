"""Every declared policy: a bad file is refused with its reason, and damage never gives a crash."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode, read_header
from dr_pipeline.fundus.formats.header import Header
from tests.factories import dicom as factory
from tests.factories.dicom import compressed, dicom
from tests.factories.dicom_samples import DICOM, FUZZED, GREEN, ISOLATED, JPEG, PICTURE, picture_or_reason, stored
from tests.factories.refusals import assert_refused

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # silenced outside tests


def test_the_header_is_read_without_decoding():
    assert read_header(DICOM) == Header("dicom", 240, 200, 3, 8, alpha=False, orientation=1)
    whole = len(DICOM)
    assert read_header(dicom(stored(GREEN, 12), bits_stored=12)).bits == 12
    with pytest.raises(ImageError, match="truncated DICOM"):
        read_header(DICOM[: whole - 1000])


def inflating(size):
    """A deflated file whose data set is `size` zeros after a header of 65,000 × 65,000 px."""
    head = dicom(PICTURE, syntax=factory.DEFLATED)
    meta = head[: 132 + 12 + int.from_bytes(head[140:144], "little")]
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"\x09\x00\x10\x00LO\x04\x00test" + b"\x09\x00\x01\x10OB\x00\x00" + size.to_bytes(4, "little")
    packed = [machine.compress(body)]
    packed += [machine.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)]
    return meta + b"".join(packed) + machine.flush()


SIDES = {"Rows": 50_000, "Columns": 50_000}
BAD = {
    "bomb, native": (dicom(PICTURE, **SIDES), "megapixels"),
    "bomb, JPEG": (dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=JPEG, **SIDES), "megapixels"),
    "bomb, JPEG 2000": (compressed(dicom(PICTURE), factory.JPEG_2000), "megapixels"),
    "bomb, deflated": (inflating(200_000_000), "corrupt DICOM header|more bytes than"),
    "one pixel": (dicom(PICTURE[:1, :1]), "1×1"),
    "no pixels": (dicom(PICTURE, PixelData=None), "without pixels"),
    "float pixels": (dicom(PICTURE, PixelData=None, FloatPixelData=bytes(4)), "floating-point"),
    "double pixels": (dicom(PICTURE, PixelData=None, DoubleFloatPixelData=bytes(8)), "floating-point"),
    "several frames": (dicom(PICTURE, NumberOfFrames=2), "DICOM of 2 frames"),
    "signed": (dicom(PICTURE, PixelRepresentation=1), "signed"),
    "thirty-two bits": (dicom(PICTURE, BitsAllocated=32, BitsStored=32, HighBit=31), "32 of 32 bits"),
    "high bit elsewhere": (dicom(PICTURE.astype(np.uint16), HighBit=13), "low bits|not lie"),
    "other colours": (dicom(PICTURE, photometric="HSV"), "photometric"),
    "grey of three": (dicom(PICTURE, photometric="MONOCHROME2"), "photometric"),
    "no rows": (dicom(PICTURE, Rows=None), "Rows is absent"),
    "native, too short": (dicom(PICTURE, PixelData=PICTURE.tobytes()[:-100]), "truncated"),
    "4:2:2, not subsampled": (dicom(PICTURE, photometric="YBR_FULL_422"), "not subsampled"),
    "palette without tables": (dicom(GREEN, photometric="PALETTE COLOR"), "palette"),
    "CT": (dicom(PICTURE, Modality="CT", SOPClassUID=factory.CT_IMAGE), r"another modality \(CT"),
    "MR": (dicom(PICTURE, Modality="MR"), r"another modality \(MR"),
    "OCT": (dicom(PICTURE, Modality="OPT", SOPClassUID=factory.OPHTHALMIC_TOMOGRAPHY), r"OPT, ophthalmic tomography"),
    "ultrasound": (dicom(PICTURE, Modality="US"), "US, ultrasound"),
    "report": (dicom(PICTURE, Modality="SR", PixelData=None), "SR, structured report"),
    "a name for a modality": (dicom(PICTURE, Modality="ZYXWVUT"), "unknown term"),
    "OCT that says OP": (dicom(PICTURE, SOPClassUID=factory.OPHTHALMIC_TOMOGRAPHY), "is Ophthalmic Tomography"),
    "capture of other": (dicom(PICTURE, Modality="OT", SOPClassUID=factory.SECONDARY_CAPTURE), "OT, other"),
    "neither modality nor class": (dicom(PICTURE, Modality=None, SOPClassUID=None), "modality"),
    "MPEG": (dicom(PICTURE, syntax="1.2.840.10008.1.2.4.100", stream=JPEG), "unsupported transfer syntax: MPEG2"),
    "HTJ2K": (dicom(PICTURE, syntax="1.2.840.10008.1.2.4.201", stream=JPEG), "High-Throughput"),
    "JPEG, other sides": (dicom(PICTURE[:100], syntax=factory.JPEG_BASELINE, stream=JPEG), "240×100 px of 3"),
    "JPEG, no stream": (dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=b"\0\0\0\0"), "no JPEG"),
    "JPEG, empty frame": (dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=[b""]), "frame is empty"),
    "JPEG, cut": (dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=JPEG[:5000]), "truncated JPEG"),
    "JPEG-LS, no stream": (dicom(PICTURE, syntax=factory.JPEG_LS, stream=JPEG[:2] + bytes(50)), "no JPEG"),
    "JPEG 2000, no stream": (dicom(PICTURE, syntax=factory.JPEG_2000, stream=bytes(50)), "no JPEG 2000"),
    "RLE, no runs": (dicom(PICTURE, syntax=factory.RLE, stream=bytes(64)), "run lengths"),
    "preamble alone": (bytes(128) + b"DICM", "no photograph"),
    "text after a preamble": (bytes(128) + b"DICM" + b"Dear colleague, " * 40, "corrupt|no photograph|truncated"),
}  # fmt: skip
# gdcm refuses to write such a header, so the codestream's own is changed with it.
BAD["bomb, JPEG 2000"] = (
    dicom(PICTURE, syntax=factory.JPEG_2000, stream=b"\xff\x4f\xff\x51" + bytes(60) + b"\xff\xd9", **SIDES),
    "megapixels",
)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    assert_refused(*BAD[name], within_s=2)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FUZZED)))
def test_changed_bytes_give_a_picture_or_a_reason(data, kind):
    damaged = bytearray(FUZZED[kind])
    end = data.draw(st.sampled_from([800, len(damaged)]))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(128, min(end, len(damaged)) - 1))] = data.draw(st.integers(0, 255))
    picture_or_reason(bytes(damaged))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FUZZED | ISOLATED)))
def test_a_file_cut_anywhere_is_refused(data, kind):
    whole = (FUZZED | ISOLATED)[kind]
    with pytest.raises(ImageError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 2))], 32)
