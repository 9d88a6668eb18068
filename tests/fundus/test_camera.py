"""The camera's name, from EXIF in every format that has it, from TIFF tags and from DICOM headers."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.fundus.camera import camera_name
from dr_pipeline.fundus.decode import decode, read_header
from dr_pipeline.fundus.formats.exif import exif_camera
from dr_pipeline.fundus.pixel_path import PixelPath
from tests.factories.dicom import dicom
from tests.factories.drawings import draw_fundus, encode, jpeg, pil_file, with_jpeg_exif, with_png_chunk

PICTURE = draw_fundus(240, 200, 118, 103, 95)


def camera_block(maker: bytes, model: bytes, order: str = "<", *, length: int | None = None) -> bytes:
    """An EXIF block with maker and model; `length` is what the maker's entry states instead of the truth."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    texts, entries, position = b"", b"", 8 + 2 + 2 * 12 + 4
    for tag, text in ((0x010F, maker + b"\0"), (0x0110, model + b"\0")):
        stated = len(text) if length is None or tag == 0x0110 else length
        inline = len(text) <= 4
        place = text.ljust(4, b"\0") if inline else struct.pack(f"{order}I", position + len(texts))
        entries += struct.pack(f"{order}HHI", tag, 2, stated) + place
        texts += b"" if inline else text
    return mark + struct.pack(f"{order}IH", 8, 2) + entries + struct.pack(f"{order}I", 0) + texts


@pytest.mark.parametrize(
    ("maker", "model", "name"),
    [
        ("", "", ""),
        ("Topcon", "", "Topcon"),
        ("", "NW400", "NW400"),
        ("Topcon", "NW400", "Topcon NW400"),
        ("Canon", "Canon CR-2 AF", "Canon CR-2 AF"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("  Carl Zeiss\tMeditec \n", "VISUCAM\x00500", "Carl Zeiss Meditec VISUCAM 500"),
        ("=HYPERLINK(1)", "+<b>x</b>", "HYPERLINK(1) b x /b"),
        ("A" * 90, "x", "A" * 64),
        ("Müller", "株式会社", "Müller 株式会社"),
    ],
)
def test_a_name_is_maker_and_model_without_what_repeats(maker, model, name):
    assert camera_name(maker, model) == name


@given(st.text(), st.text())
def test_a_name_is_safe_and_short_whatever_the_file_states(maker, model):
    name = camera_name(maker, model)
    assert name.isprintable()
    assert len(name) <= 64
    assert not name.startswith(("=", "+", "-", "@", " "))
    assert not set(name) & set("<>\"'`")
    assert camera_name(name, "") == name or len(name) == 64


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_format_gives_the_camera(order):
    block = camera_block(b"Topcon", b"NW4", order)
    files = {
        "jpeg": with_jpeg_exif(jpeg(PICTURE), block),
        "png": with_png_chunk(encode(PICTURE, ".png"), b"eXIf", block),
        "webp": pil_file(PICTURE, "WEBP", lossless=True, exif=b"Exif\0\0" + block),
        "tiff": pil_file(PICTURE, "TIFF", tiffinfo={271: "Topcon", 272: "NW4"}),
        "dicom": dicom(PICTURE, Manufacturer="Topcon", ManufacturerModelName="NW4", DeviceSerialNumber="77-SECRET"),
    }
    for kind, data in files.items():
        decoded = decode(data, 100)
        assert (decoded.format, decoded.camera) == (kind, "Topcon NW4")
        assert read_header(data).camera == "Topcon NW4"
    assert PixelPath(100).process(files["dicom"]).camera == "Topcon NW4"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\0" * 40,
        b"II*\0\xff\xff\xff\xff",
        camera_block(b"", b""),
        camera_block(b"Topcon", b"NW400")[:20],  # ends within its first entry
    ],
)
def test_a_corrupt_block_names_no_camera_and_spoils_no_picture(block):
    decoded = decode(with_jpeg_exif(jpeg(PICTURE), block), 200)
    assert decoded.camera == ""
    assert np.array_equal(decoded.pixels, decode(jpeg(PICTURE), 200).pixels)


def test_a_length_beyond_the_block_reads_no_further_than_it():
    assert exif_camera(camera_block(b"Topcon", b"NW400", length=2**31)) == "Topcon NW400"


@given(st.binary(max_size=200))
def test_no_block_raises(tail):
    exif_camera(b"II*\0\x08\0\0\0" + tail)


@pytest.mark.filterwarnings("ignore:Failed to decode")
def test_a_dicom_maker_that_cannot_be_read_costs_no_picture():
    data = dicom(PICTURE, SpecificCharacterSet="ISO_IR 192", Manufacturer="Topcon")
    damaged = data.replace(b"Topcon", b"\xff\xfe\xfdcon")
    assert np.array_equal(decode(damaged, 200).pixels, decode(data, 200).pixels)
