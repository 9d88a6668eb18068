"""DICOM files for tests, all made by code: pictures drawn, headers invented, no patient anywhere."""

import io
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OP_8_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
OP_16_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.2"
OPHTHALMIC_TOMOGRAPHY = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"

# A person who must turn up in no message, log or table.
PATIENT = {
    "PatientName": "Zyxwvut^Quirinus",
    "PatientID": "MRN-7719-ZQ",
    "PatientBirthDate": "19481103",
    "AccessionNumber": "ACC-55512",
    "InstitutionName": "Sankt Nirgendwo",
    "ReferringPhysicianName": "Plonk^Dr",
}
SECRETS = tuple(part for value in PATIENT.values() for part in value.split("^"))

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def dicom(
    pixels: Pixels,
    *,
    syntax: str = EXPLICIT,
    photometric: str = "",
    bits_stored: int = 0,
    planar: int = 0,
    stream: bytes | list[bytes] | None = None,
    preamble: bool = True,
    **fields: Any,
) -> bytes:
    """Writes one ophthalmic photograph.

    Args:
        pixels: (height, width) or (height, width, 3); 8 or 16 bits. With `stream` only their shape and type count.
        syntax: Transfer syntax of the file.
        photometric: RGB or MONOCHROME2 where empty.
        bits_stored: All allocated ones where 0.
        planar: Planar configuration of native colour pixels.
        stream: A compressed picture, or its fragments, to encapsulate in place of native pixels.
        preamble: Whether the file begins with a preamble and its meta information.
        fields: Further elements by keyword; None deletes one.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    colour = pixels.ndim == 3
    data = Dataset()
    data.SOPClassUID = OP_8_BIT if pixels.itemsize == 1 else OP_16_BIT
    data.SOPInstanceUID = "1.2.3.4.5"
    data.Modality = "OP"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = photometric or ("RGB" if colour else "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = planar
    data.BitsAllocated = 8 * pixels.itemsize
    data.BitsStored = bits_stored or 8 * pixels.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = 0
    uid = UID(syntax)
    if stream is not None:
        data.PixelData = encapsulate([stream]) if isinstance(stream, bytes) else _fragments(stream)
        data["PixelData"].is_undefined_length = True
    else:
        order = "<" if syntax != BIG_ENDIAN else ">"
        stored = pixels.transpose(2, 0, 1) if colour and planar else pixels
        data.PixelData = stored.astype(pixels.dtype.newbyteorder(order)).tobytes()
        data.PixelData += b"\0" * (len(data.PixelData) % 2)
    data["PixelData"].VR = "OB" if stream is not None or pixels.itemsize == 1 else "OW"
    for keyword, value in fields.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    out = io.BytesIO()
    if not preamble:
        data.save_as(out, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
        return out.getvalue()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid
    meta.MediaStorageSOPClassUID = data.get("SOPClassUID") or OP_8_BIT
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta = meta
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def with_palette(picture: Pixels, *, bits: int = 8) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Reduces an RGB picture to 3-3-2 bits: the indices, and the palette's elements for `dicom`."""
    index = (picture[..., 0] >> 5 << 5) | (picture[..., 1] >> 5 << 2) | (picture[..., 2] >> 6)
    entries = np.arange(256)
    tables = {
        "Red": (entries >> 5) * 255 // 7,
        "Green": (entries >> 2 & 7) * 255 // 7,
        "Blue": (entries & 3) * 255 // 3,
    }
    fields: dict[str, Any] = {}
    for colour, table in tables.items():
        stored = (table * 257).astype("<u2") if bits == 16 else table.astype("u1")
        fields[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        fields[f"{colour}PaletteColorLookupTableData"] = stored.tobytes()
    return index.astype(np.uint8), fields


def compressed(native: bytes, syntax: str) -> bytes:
    """Transcodes a native DICOM file with gdcm, an encoder that shares nothing with the code under test's policies."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.dcm"
        source.write_bytes(native)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change(), syntax
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(target))
        assert writer.Write()
        return target.read_bytes()


def deep_jpeg(blocks: NDArray[np.integer], *, bits: int = 12, adobe: int | None = None) -> bytes:
    """An extended sequential JPEG (SOF1) of flat 8×8 blocks, which no library at hand writes with 12 bits.

    Args:
        blocks: (rows, columns, components) of sample values.
        bits: Per sample, 8 or 12.
        adobe: Transform of an Adobe mark: 0 RGB, 1 YCbCr; None leaves it out.
    """
    rows, columns, components = blocks.shape
    out = b"\xff\xd8"
    if adobe is not None:
        out += _segment(0xEE, b"Adobe" + bytes([0, 100, 0, 0, 0, 0, adobe]))
    out += _segment(0xDB, bytes([0]) + bytes([8]) * 64)  # so that a DC coefficient is the block's value
    frame = bytes([bits]) + struct.pack(">HHB", 8 * rows, 8 * columns, components)
    out += _segment(0xC1, frame + b"".join(bytes([number + 1, 0x11, 0]) for number in range(components)))
    out += _segment(0xC4, bytes([0x00, 0, 0, 0, 0, 16, *[0] * 11, *range(16)]))  # DC: 16 codes of 5 bits
    out += _segment(0xC4, bytes([0x10, 1, *[0] * 15, 0]))  # AC: the end of a block is "0"
    pairs = b"".join(bytes([number + 1, 0]) for number in range(components))
    out += _segment(0xDA, bytes([components]) + pairs + bytes([0, 63, 0]))
    last, code = [0] * components, ""
    for block in blocks.reshape(-1, components):
        for number, level in enumerate(int(sample) - (1 << bits >> 1) for sample in block):
            change, last[number] = level - last[number], level
            size = abs(change).bit_length()
            extra = change if change >= 0 else change + (1 << size) - 1
            code += f"{size:05b}" + (f"{extra:0{size}b}" if size else "") + "0"
    code += "1" * (-len(code) % 8)
    scan = bytes(int(code[at : at + 8], 2) for at in range(0, len(code), 8))
    return out + scan.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _fragments(streams: list[bytes]) -> bytes:
    """Several fragments of one frame, after an empty offset table."""
    items = [b"", *(stream + b"\0" * (len(stream) % 2) for stream in streams)]
    return b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in items)


def stream_of(data: bytes) -> bytes:
    """The compressed picture of a DICOM file of one frame."""
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    return next(generate_frames(dcmread(io.BytesIO(data)).PixelData, number_of_frames=1))
