"""Formats are recognised by their first bytes; text that begins like one is not."""

import struct

import pytest

from dr_pipeline.fundus.formats.recognise import recognise
from tests.factories.dicom import dicom
from tests.factories.drawings import draw_fundus, encode, gif, jpeg

PICTURE = draw_fundus(120, 100, 58, 50, 45)
FILES = {
    "jpeg": jpeg(PICTURE),
    "png": encode(PICTURE, ".png"),
    "tiff": encode(PICTURE, ".tiff"),
    "bmp": encode(PICTURE, ".bmp"),
    "webp": encode(PICTURE, ".webp"),
    "dicom": dicom(PICTURE),
}
NONE = [b"", b"\xff", b"BMI;age;eye\n23.4;61;left\n", b"RIFF\0\0\0\0WAVE", b"IIRO\x08\0\0\0", gif(PICTURE), b"\0" * 500]


@pytest.mark.parametrize("kind", FILES)
def test_every_format_that_is_read_is_recognised(kind):
    assert recognise(FILES[kind][:4096]) == kind


@pytest.mark.parametrize("order", ["II", "MM"])
def test_big_tiff_is_recognised(order):
    assert recognise(order.encode() + struct.pack("<H" if order == "II" else ">H", 43) + bytes(12)) == "tiff"


@pytest.mark.parametrize("head", NONE)
def test_nothing_else_is(head):
    assert recognise(head) is None
