"""A file is what its first bytes say: every format that is read is recognised, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import read_header
from dr_pipeline.fundus.formats.other_files import UNREAD_PICTURES, describe_other
from dr_pipeline.fundus.formats.recognise import HEAD_BYTES, recognise
from tests.factories import zoo
from tests.factories.drawings import encode, gif, pil_file, plain_tiff

PICTURE = np.random.default_rng(3).integers(0, 255, (80, 90, 3), np.uint8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(PICTURE, ".jpg"), "jpeg"),
        (encode(PICTURE, ".png"), "png"),
        (encode(PICTURE, ".bmp"), "bmp"),
        (encode(PICTURE, ".webp"), "webp"),
        (plain_tiff([PICTURE]), "tiff"),
        (pil_file(PICTURE, "TIFF", "L"), "tiff"),
        (b"II+\0\x08\0\0\0" + bytes(20), "tiff"),
        (zoo.dicom(PICTURE), "dicom"),
    ],
)
def test_each_format_by_its_head_alone(data: bytes, expected: str) -> None:
    assert recognise(data) == recognise(data[:HEAD_BYTES]) == expected


def test_whatever_the_pixel_path_reads_is_recognised() -> None:
    """The intake, which recognises, may not leave aside what scoring reads."""
    for name, sample in zoo.hostile_files().items():
        try:
            read_header(sample.data)
        except ImageError:
            continue
        assert recognise(sample.data[:HEAD_BYTES]), name


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"image,grade\na.jpg,2\n", "text"),
        (b"BMI,age\n31,60\n", "text"),
        ("größe;é\n".encode(), "text"),
        ("größe;é\n".encode("latin-1"), "text"),
        ("image\tgrade\n".encode("utf-16"), "text"),
        (gif(PICTURE), "GIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1", "HEIC"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "film or sound"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04\x14\0", "ZIP or Office"),
        (b"RIFF\x24\0\0\0AVI LIST", "film or sound"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "unknown"),
        (b"\x00" * 40, "unknown"),
    ],
)
def test_other_files_are_named_by_their_content(data: bytes, kind: str) -> None:
    assert recognise(data) is None
    assert describe_other(data) == kind


def test_pictures_that_are_not_read_are_known_as_pictures() -> None:
    assert {"GIF", "HEIC", "AVIF", "JPEG 2000", "JPEG XL"} <= UNREAD_PICTURES
    assert not {"text", "PDF", "unknown", "film or sound"} & UNREAD_PICTURES


@given(st.binary(max_size=200))
def test_any_bytes_have_a_kind(data: bytes) -> None:
    assert recognise(data) or describe_other(data)


@given(st.text(max_size=300))
def test_no_text_is_a_picture(text: str) -> None:
    assert recognise(text.encode()) is None
