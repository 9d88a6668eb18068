"""The zoo: hostile files as clinics and attackers produce them, generated, with the result that each must have.

`hostile_files()` returns contents under harmless names; `NAMES` are hostile names for a sound photograph; `release`
writes all of them into a folder, with links, pipes and folders that only a file system can hold.
"""

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.retina_views import ENHANCED, RAMPS, gains
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.intake.phantom.cohort import EyeCase
from dr_pipeline.intake.phantom.non_fundus import NON_FUNDUS_KINDS, draw_non_fundus
from dr_pipeline.intake.phantom.photograph import render
from dr_pipeline.schema import Eye
from tests.factories import dicom as dicom_factory
from tests.factories.dicom import PATIENT
from tests.factories.drawings import (
    Pixels,
    encode,
    exif_block,
    gif,
    jpeg,
    jpeg_claiming,
    multipage,
    pil_file,
    plain_tiff,
    png_chunk,
    png_header_only,
    with_jpeg_exif,
    with_png_chunk,
)

FAILED, SCORED, UNGRADABLE, NOT_FUNDUS = "failed", "scored", "ungradable", "not_fundus"
# Damage that leaves a decodable picture: what quality makes of it is its affair, but it ends in a status.
ANY = "failed|scored|ungradable|not_fundus"
# Damage that shows: refused, or for a person, but never a grade.
DAMAGED = f"{FAILED}|{UNGRADABLE}"

_MEBIBYTE = bytes(1 << 20)
# Every DICOM file carries a person who must turn up in no reason.
dicom = partial(dicom_factory.dicom, **PATIENT)


@dataclass(frozen=True)
class Sample:
    """A file's bytes, its allowed statuses (joined by |), and a word of the reason."""

    data: bytes
    status: str
    reason: str = ""

    def accepts(self, status: str, reason: str) -> bool:
        """Whether this is what must become of it; a photograph that is not scored always has a reason."""
        has_reason = status == SCORED or bool(reason)
        return status in self.status.split("|") and has_reason and self.reason.casefold() in reason.casefold()


@cache
def picture() -> Pixels:
    """A gradable photograph of the phantom, about 550×370 px."""
    case = EyeCase(0, Eye.LEFT, 2, 2.4, ungradable=False, site="hill", camera="dogwood")
    return render(11, case, 0.25, without_lesions=False).rgb


@cache
def hostile_files() -> dict[str, Sample]:
    """By file name; the suffix is what a clinic's software would have given."""
    return {
        **_jpegs(),
        **_pngs(),
        **_tiffs(),
        **_others(),
        **_dicoms(),
        **_other_than_plain_photographs(),
        **_fields(),
    }


def photograph() -> bytes:
    """A sound JPEG."""
    return jpeg(picture(), 92)


def _jpegs() -> dict[str, Sample]:
    whole = photograph()
    progressive = encode(picture(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    second = progressive.index(b"\xff\xc4", progressive.index(b"\xff\xda"))  # the tables of its second scan
    middle = len(whole) // 2
    garbage = np.random.default_rng(1).integers(0, 255, 400, np.uint8).tobytes()
    return {
        "zero bytes.jpg": Sample(b"", FAILED, "empty"),
        "one byte.jpg": Sample(b"\xff", FAILED, "not a"),
        "signature alone.jpg": Sample(whole[:3], FAILED, "truncated"),
        "cut in its header.jpg": Sample(whole[:150], FAILED, "truncated"),
        "cut after its header.jpg": Sample(whole[: whole.index(b"\xff\xda") + 14], FAILED, "truncated"),
        "cut at 50 %.jpg": Sample(whole[:middle], FAILED, "truncated"),
        "cut at 99 %.jpg": Sample(whole[: len(whole) * 99 // 100], FAILED, "truncated"),
        "last byte lost.jpg": Sample(whole[:-1], FAILED, "truncated"),
        "cut, end marker added.jpg": Sample(whole[:middle] + b"\xff\xd9", FAILED, "truncated"),
        "zeros for its second half.jpg": Sample(whole[:middle] + bytes(middle), FAILED, "truncated"),
        "progressive, cut.jpg": Sample(progressive[: len(progressive) // 2], FAILED, "truncated"),
        "garbage in its scan.jpg": Sample(whole[:middle] + garbage + whole[middle + 400 :], ANY),
        "garbage after its end.jpg": Sample(whole + garbage, SCORED),
        "sector lost in its scan.jpg": Sample(whole[:middle] + bytes(512) + whole[middle + 512 :], DAMAGED),
        "sector removed from its scan.jpg": Sample(whole[:middle] + whole[middle + 512 :], DAMAGED),
        "4 kB of it elsewhere.jpg": Sample(whole[:middle] + whole[2000:6096] + whole[middle + 4096 :], DAMAGED),
        "progressive, sector lost.jpg": Sample(
            progressive[:2000] + bytes(512) + progressive[2512:], DAMAGED
        ),
        "progressive, bytes left over in its first scan.jpg": Sample(
            progressive[:second] + b"\x28\xa2" + progressive[second:], UNGRADABLE, "damaged"
        ),
        "bytes left over in its scan.jpg": Sample(
            whole[:-2] + b"\x28\xa2\x8a\x5a" * 5 + whole[-2:], UNGRADABLE, "damaged"
        ),
        "padding before its end.jpg": Sample(whole[:-2] + bytes(40) + whole[-2:], SCORED),
        "motion photo.jpg": Sample(whole + b"\0\0\0\x18ftypmp42" + bytes(12) + b"\xff\xda\xff\xc0" * 900, SCORED),
        "two pictures.jpg": Sample(whole + bytes(64) + whole, SCORED),
        "bytes before it.jpg": Sample(bytes(128) + whole, FAILED, "other bytes come before"),
        "says arithmetic coding.jpg": Sample(whole.replace(b"\xff\xc0", b"\xff\xc9", 1), ANY),
        "says 12 bits.jpg": Sample(_with_byte(whole, whole.index(b"\xff\xc0") + 4, 12), FAILED),
        "says no components.jpg": Sample(_with_byte(whole, whole.index(b"\xff\xc0") + 9, 0), FAILED),
        "cmyk.jpg": Sample(pil_file(picture(), "JPEG", "CMYK"), ANY),
        "grey.jpg": Sample(encode(picture()[..., 1], ".jpg"), UNGRADABLE, "no_colour"),
        "50,000 px a side.jpg": Sample(jpeg_claiming(whole, 50_000, 50_000), FAILED, "megapixels"),
        "no height.jpg": Sample(jpeg_claiming(whole, 500, 0), FAILED, "500×0"),
        "3,000 scans.jpg": Sample(_jpeg_of_scans(3000), FAILED, "scans"),
        "exif offset far away.jpg": Sample(with_jpeg_exif(whole, b"II*\0\xff\xff\xff\x7f"), SCORED),
        "exif that names itself.jpg": Sample(with_jpeg_exif(whole, _looping_exif()), SCORED),
        "exif of 65,535 entries.jpg": Sample(
            with_jpeg_exif(whole, b"II*\0\x08\0\0\0\xff\xff" + bytes(40)), SCORED
        ),
        "exif count of 4 billion.jpg": Sample(
            with_jpeg_exif(whole, b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\x06\0\0\0\0\0\0"), SCORED
        ),
        "exif orientation 0.jpg": Sample(with_jpeg_exif(whole, exif_block(0)), SCORED),
        "exif orientation 9.jpg": Sample(with_jpeg_exif(whole, exif_block(9)), SCORED),
        "text.jpg": Sample(b"Dear colleague, please find the photograph attached.\n" * 40, FAILED, "not a"),
        "web page.jpg": Sample(b"<!DOCTYPE html><html><body>404</body></html>", FAILED, "not a"),
        "archive.jpg": Sample(_zip(), FAILED, "a zip archive"),
        "report.jpg": Sample(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\n%%EOF", FAILED, "not a"),
        "png in truth.jpg": Sample(encode(picture(), ".png"), SCORED),
        "vector.jpg": Sample(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', FAILED, "not a"),
    }  # fmt: skip


def _fields() -> dict[str, Sample]:
    """Several fields in one picture, and one field as screenshots, slides and resizes leave it."""
    one, other = picture(), picture()[:, ::-1].copy()
    height, width = one.shape[:2]
    white, grey = (255, 255, 255), (128, 128, 128)

    def framed(pixels: Pixels, px: int, colour: tuple[int, int, int]) -> Pixels:
        return cv2.copyMakeBorder(pixels, px, px, px, px, cv2.BORDER_CONSTANT, value=colour)

    def resized(pixels: Pixels, width: int, height: int) -> Pixels:
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)

    row = np.hstack([one, other])
    inset = one.copy()
    inset[: height // 4, : width // 4] = resized(other, width // 4, height // 4)
    phone = np.zeros((4 * height, 4 * width, 3), np.uint8)
    phone[height : 2 * height, width : 2 * width] = one
    bar = np.full((40, width + 120, 3), (70, 90, 160), np.uint8)
    cv2.putText(bar, "File  View", (8, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.7, white, 1)
    several = {
        "two eyes side by side.jpg": row,
        "two eyes stacked.jpg": np.vstack([one, other]),
        "two eyes on a white page.png": framed(
            np.hstack([one, np.full((height, 20, 3), 255, np.uint8), other]), 30, white
        ),
        "two eyes of unequal size.jpg": inset,
        "contact sheet of four.jpg": framed(np.vstack([row, row]), 12, grey),
        "two eyes squashed to a square.jpg": resized(row, height, height),
        "two eyes cut within their fields.png": np.hstack([one[80:-80, 150:-150], other[80:-80, 150:-150]]),
    }
    single = {
        "eye on a white page.jpg": framed(one, 60, white),
        "eye in a grey viewer.png": np.vstack([bar, framed(one, 60, grey)]),
        "eye in a white frame of 6 px.jpg": framed(one, 6, white),
        "eye squashed to a square.jpg": resized(one, height, height),
        "eye in a large dark frame.jpg": phone,
    }
    return {
        name: Sample(encode(pixels, name[-4:]), UNGRADABLE, "several_fields") for name, pixels in several.items()
    } | {name: Sample(encode(pixels, name[-4:]), SCORED) for name, pixels in single.items()}


def _pngs() -> dict[str, Sample]:
    whole = encode(picture(), ".png")
    height, width = picture().shape[:2]
    middle = len(whole) // 2
    rgb16 = picture().astype(np.uint16) * 257
    alpha = np.dstack((picture(), np.full((height, width), 255, np.uint8)))
    tiny = np.zeros((1, 1, 3), np.uint8)
    ihdr = struct.pack(">IIBBBBB", 300, 300, 8, 2, 0, 0, 0)
    return {
        "signature alone.png": Sample(whole[:8], FAILED, "truncated"),
        "cut in IHDR.png": Sample(whole[:20], FAILED, "truncated"),
        "cut at 50 %.png": Sample(whole[:middle], FAILED, "truncated"),
        "without IEND.png": Sample(whole[:-12], FAILED, "truncated"),
        "checksum wrong.png": Sample(_with_byte(whole, middle, whole[middle] ^ 1), FAILED, "checksum"),
        "1×1.png": Sample(encode(tiny, ".png"), FAILED, "1×1"),
        "50,000 px a side.png": Sample(png_header_only(50_000, 50_000), FAILED, "megapixels"),
        "4 billion px a side.png": Sample(png_header_only(0xFFFFFFFF, 0xFFFFFFFF), FAILED, "megapixels"),
        "more pixels than it says.png": Sample(
            b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", ihdr) + png_chunk(b"IDAT", _inflating_zlib(2048))
            + png_chunk(b"IEND", b""), ANY
        ),
        "profile of 2 GB.png": Sample(with_png_chunk(whole, b"iCCP", b"x\0\0" + _inflating_zlib(2048)), SCORED),
        "text of 2 GB.png": Sample(with_png_chunk(whole, b"zTXt", b"x\0\0" + _inflating_zlib(2048)), SCORED),
        "animated.png": Sample(with_png_chunk(whole, b"acTL", struct.pack(">II", 2, 0)), FAILED, "animated"),
        "16 bits.png": Sample(encode_deep(rgb16, ".png"), SCORED),
        "alpha.png": Sample(encode(alpha, ".png"), SCORED),
        "palette.png": Sample(pil_file(picture(), "PNG", "P"), SCORED),
        "1 bit.png": Sample(pil_file(picture(), "PNG", "1"), f"{UNGRADABLE}|{NOT_FUNDUS}|{FAILED}"),
        "exif corrupt.png": Sample(with_png_chunk(whole, b"eXIf", b"II*\0\xff\xff\xff\xff"), SCORED),
        "jpeg in truth.png": Sample(photograph(), SCORED),
        "all white.png": Sample(encode(np.full((300, 400, 3), 255, np.uint8), ".png"), f"{UNGRADABLE}|{NOT_FUNDUS}"),
        "all black.png": Sample(encode(np.zeros((300, 400, 3), np.uint8), ".png"), UNGRADABLE, "dark"),
    }  # fmt: skip


def _other_than_plain_photographs() -> dict[str, Sample]:
    """Sound files whose pixels are no plain colour photograph of a retina."""
    ramps = {
        f"coloured by the ramp {name}.png": Sample(
            encode(ramp(np.ascontiguousarray(picture()[..., 1])), ".png"), UNGRADABLE, "monochrome"
        )
        for name, ramp in RAMPS.items()
        if name not in ("hot", "inferno")  # on the smallest canvases their bends are averaged away
    }
    enhanced = {
        f"{name}.png": Sample(encode(enhance(picture()), ".png"), UNGRADABLE, "already_enhanced")
        for name, enhance in ENHANCED.items()
    }
    others = {
        f"drawn {kind}.jpg": Sample(jpeg(draw_non_fundus(np.random.default_rng(4), kind, 640, 480)), NOT_FUNDUS)
        for kind in NON_FUNDUS_KINDS
    }
    bluish = gains(picture(), 0.45, 1, 1.6)
    return ramps | enhanced | others | {"bluish.jpg": Sample(jpeg(bluish), UNGRADABLE, "not_red")}


def _tiffs() -> dict[str, Sample]:
    whole = plain_tiff([picture()])
    ifd = struct.unpack_from("<I", whole, 4)[0]
    bits_at = struct.unpack_from("<I", whole, ifd + 2 + 3 * 12 + 8)[0]
    floats = picture().astype(np.float32) / 255
    return {
        "header alone.tif": Sample(whole[:8], FAILED, "truncated"),
        "cut at 50 %.tif": Sample(whole[: len(whole) // 2], FAILED, "truncated"),
        "cut at 99 %.tif": Sample(whole[: len(whole) * 99 // 100], FAILED),
        "no directory.tif": Sample(b"II*\0" + bytes(4), FAILED, "picture"),
        "directory that names itself.tif": Sample(b"II*\0\x08\0\0\0\0\0\x08\0\0\0", FAILED, "TIFF"),
        "50,000 px a side.tif": Sample(_tiff_claiming(whole, 50_000, 50_000), FAILED, "megapixels"),
        "65,535 bits.tif": Sample(whole[:bits_at] + b"\xff" * 6 + whole[bits_at + 6 :], FAILED),
        "two pages.tif": Sample(multipage(picture(), "TIFF"), FAILED, "2 pages"),
        "floats.tif": Sample(encode_deep(floats, ".tiff"), FAILED, "float"),
        "not a number.tif": Sample(encode_deep(np.full((300, 300, 3), np.nan, np.float32), ".tiff"), FAILED, "float"),
        "16 bits.tif": Sample(plain_tiff([picture().astype(np.uint16) * 257]), SCORED),
        "cmyk.tif": Sample(pil_file(picture(), "TIFF", "CMYK"), ANY),
        "big tiff.tif": Sample(b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + bytes(40), FAILED),
        "unknown compression.tif": Sample(
            whole.replace(struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, 34712)),
            FAILED,
            "compression 34712",
        ),
        "orientation 9.tif": Sample(plain_tiff([picture()], orientation=9), SCORED),
    }


def _others() -> dict[str, Sample]:
    bmp, webp = encode(picture(), ".bmp"), encode(picture(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    return {
        "size two off.bmp": Sample(bmp[:2] + struct.pack("<I", len(bmp) + 2) + bmp[6:], SCORED),
        "cut.bmp": Sample(bmp[:-1000], FAILED, "truncated"),
        "50,000 px a side.bmp": Sample(bmp[:18] + struct.pack("<ii", 50_000, 50_000) + bmp[26:], FAILED, "megapixels"),
        "negative sides.bmp": Sample(bmp[:18] + struct.pack("<ii", -(1 << 31), -(1 << 31)) + bmp[26:], FAILED),
        "cut.webp": Sample(webp[: len(webp) // 2], FAILED, "truncated"),
        "animated.webp": Sample(multipage(picture(), "WEBP"), FAILED, "animated"),
        "50,000 px a side.webp": Sample(_webp_claiming(webp, 50_000), FAILED),
        "animated.gif": Sample(gif(picture()), FAILED, "not a"),
        "gif in truth.jpeg": Sample(gif(picture()), FAILED, "not a"),
        "archive.zip": Sample(_zip(), FAILED, "a zip archive"),
        "page.html": Sample(b"<html><body>patients</body></html>", FAILED, "not a"),
    }


def _dicoms() -> dict[str, Sample]:
    small, whole = picture()[:300, 100:400].copy(), dicom(picture())
    at = whole.index(b"\xe0\x7f\x10\x00")  # tag (7FE0,0010)
    jpeg2000 = dicom_factory.compressed(dicom(small), dicom_factory.JPEG_2000_LOSSLESS)
    jpeg_ls = dicom_factory.compressed(dicom(small), dicom_factory.JPEG_LS)
    siz, sof55 = jpeg2000.index(b"\xff\x4f\xff\x51") + 2, jpeg_ls.index(b"\xff\xf7")
    baseline = {"syntax": dicom_factory.JPEG_BASELINE, "photometric": "YBR_FULL_422"}
    return {
        "sound.dcm": Sample(whole, SCORED),
        "preamble alone.dcm": Sample(whole[:132], FAILED),
        "cut in its header.dcm": Sample(whole[:300], FAILED),
        "cut before its pixels.dcm": Sample(whole[:at], FAILED, "pixel"),
        "cut in its pixels.dcm": Sample(whole[: at + (len(whole) - at) // 2], FAILED),
        "garbage after DICM.dcm": Sample(whole[:132] + b"\xa5" * 4000, FAILED),
        "without pixels.dcm": Sample(dicom(small, PixelData=None), FAILED, "pixel"),
        "fewer pixels than it says.dcm": Sample(dicom(small, PixelData=bytes(1000)), FAILED),
        "more pixels than it says.dcm": Sample(dicom(picture(), PixelData=picture().tobytes() + bytes(5000)), ANY),
        "50,000 px a side.dcm": Sample(dicom(small, Rows=50_000, Columns=50_000), FAILED, "megapixels"),
        "no rows.dcm": Sample(dicom(small, Rows=None), FAILED),
        "computed tomography.dcm": Sample(
            dicom(small[..., 1].astype(np.uint16), SOPClassUID=dicom_factory.CT_IMAGE, Modality="CT"), FAILED, "CT"
        ),
        "optical tomography.dcm": Sample(
            dicom(small[..., 1].copy(), SOPClassUID=dicom_factory.OPHTHALMIC_TOMOGRAPHY, Modality="OPT"), FAILED, "OPT"
        ),
        "three frames.dcm": Sample(dicom(small, NumberOfFrames=3, PixelData=small.tobytes() * 3), FAILED, "frames"),
        "unknown syntax.dcm": Sample(whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.9\0"), FAILED),
        "jpeg inside is cut.dcm": Sample(dicom(small, stream=jpeg(small)[:2000], **baseline), FAILED),
        "jpeg inside says 50,000 px.dcm": Sample(
            dicom(small, stream=jpeg_claiming(jpeg(small), 50_000, 50_000), **baseline), FAILED
        ),
        "jpeg 2000 inside says 50,000 px.dcm": Sample(_patched(jpeg2000, siz + 6, ">II", 50_000, 50_000), FAILED),
        "jpeg-ls inside says 50,000 px.dcm": Sample(_patched(jpeg_ls, sof55 + 5, ">HH", 50_000, 50_000), FAILED),
        "nothing inside.dcm": Sample(dicom(small, stream=[b""], **baseline), FAILED),
        "deflated, 4 GB.dcm": Sample(_deflating_dicom(4096), FAILED),
        "3 million elements.dcm": Sample(dicom(small)[:132] + bytes(24_000_000), FAILED),
        "sequences 20,000 deep.dcm": Sample(_nested_dicom(20_000), FAILED),
        "jpeg in truth.dcm": Sample(photograph(), SCORED),
        "dicom in truth.jpg": Sample(whole, SCORED),
    }


# A sound photograph under each of these must be scored, whatever it is called.
NAMES: tuple[str, ...] = (
    "new\nline.jpg",
    "carriage\rreturn.jpg",
    "tab\tand\x07bell.jpg",
    "😀 eye.jpg",
    "=cmd|' /C calc'!A0.jpg",
    "-rf.jpg",
    "+1.jpg",
    "@sum.jpg",
    " leading space.jpg",
    "two..dots...jpg",
    'quote",comma;.jpg',
    "<img src=x onerror=alert(1)>.jpg",
    "{{ 7 * 7 }} %s %n.jpg",
    "\u202egpj.txt.jpg",
    "UPPER.JPG",
    "é composed.jpg",
    "e\u0301 decomposed.jpg",
    "x" * 251 + ".jpg",
    "camera.jfif",
    "camera.jpe",
    "kept.JPG.bak",
    "edited.jpg~",
    "no suffix",
    "IM000042",
    "renamed.txt",
    "unfinished.jpg.crdownload",
)
# Bytes that are no UTF-8: a table cannot name the file, yet it must not vanish.
NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")
HIDDEN = ".hidden.jpg"
# What systems and programs leave beside photographs; most hold a sound photograph or its thumbnail.
SYSTEM_FILES: tuple[str, ...] = (
    "@eaDir/left.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "#recycle/deleted.jpg",
    "$RECYCLE.BIN/S-1-5-21/$R4F2.jpg",
    "__MACOSX/2/._left.jpg",
    "@Recycle/deleted.jpg",
    ".snapshot/daily/left.jpg",
    ".thumbnails/left.png",
    "System Volume Information/tracking.log",
    "lost+found/#12345.jpg",
    "._left.jpg",
    ".DS_Store",
    "THUMBS.DB",
    "desktop.ini",
    "~$labels.xlsx",
    "Icon\r",
    ".trashed-1690000000-left.jpg",
)
OUTSIDE_LINK = "outside.jpg"


@dataclass(frozen=True)
class Oddity:
    """What only a file system can hold: words of the reason from the preprocessing and from the scoring of it."""

    preprocess: str
    score: str


ODDITIES = {
    "broken link.jpg": Oddity("missing", "broken link"),
    "link to itself.jpg": Oddity("", "link"),
    "named pipe.jpg": Oddity("not a regular file", "not a regular file"),
    "endless device.jpg": Oddity("not a regular file", "not a regular file"),
}
LOOP = "loop"
DEEP = "/".join(["deep " + "d" * 195] * 12 + ["far down.jpg"])
IN_FOLDER_JPG = "folder.jpg/inner.jpg"


def release(folder: Path) -> None:
    """Fills an empty folder with the whole zoo."""
    for name, file in hostile_files().items():
        (folder / name).write_bytes(file.data)
    for name in (*NAMES, NOT_UTF8, HIDDEN, DEEP, IN_FOLDER_JPG, *SYSTEM_FILES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photograph())
    (folder / "broken link.jpg").symlink_to("nowhere.jpg")
    (folder / "link to itself.jpg").symlink_to("link to itself.jpg")
    (folder / "endless device.jpg").symlink_to("/dev/zero")
    (folder / LOOP).symlink_to(folder)
    (folder / OUTSIDE_LINK).symlink_to(Path(__file__))
    os.mkfifo(folder / "named pipe.jpg")


def encode_deep(pixels: np.ndarray, extension: str) -> bytes:
    """RGB of 16 bits or floats → the bytes of a file."""
    good, data = cv2.imencode(extension, pixels[..., ::-1].copy())
    assert good
    return bytes(data)


def _with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def _patched(data: bytes, at: int, layout: str, *values: int) -> bytes:
    """`data` with `values` written over what stands at `at`."""
    new = struct.pack(layout, *values)
    return data[:at] + new + data[at + len(new) :]


def _jpeg_of_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: each costs a pass over every block and hardly a byte."""
    plain = encode(np.full((6000, 6000), 90, np.uint8), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + last * scans + plain[-2:]


def _looping_exif() -> bytes:
    """A directory without the orientation whose next directory is itself."""
    return b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x010F, 2, 1, 0, 8)


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("eye.jpg", b"x" * 100)
    return stream.getvalue()


def _tiff_claiming(data: bytes, width: int, height: int) -> bytes:
    """A TIFF of `plain_tiff` whose second and third tags, width and height, say otherwise."""
    entry = struct.unpack_from("<I", data, 4)[0] + 2 + 12
    return _patched(_patched(data, entry + 8, "<I", width), entry + 12 + 8, "<I", height)


def _webp_claiming(data: bytes, side: int) -> bytes:
    """An extended WebP whose canvas is `side` px: 24 bits a side, unlike the 14 of the picture within."""
    canvas = struct.pack("<I", side - 1)[:3]
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas * 2 + data[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _inflating(mebibytes: int, window: int) -> bytes:
    """A deflate stream of zeros, 1 kB per mebibyte: full flushes make its blocks independent, so one is repeated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, window)
    block = compressor.compress(_MEBIBYTE) + compressor.flush(zlib.Z_FULL_FLUSH)
    return block * mebibytes + b"\x03\x00"


def _inflating_zlib(mebibytes: int) -> bytes:
    """The same with zlib's header and checksum: Adler-32 of n zeros is 1 in its low half, n mod 65521 in its high."""
    adler = (mebibytes * len(_MEBIBYTE)) % 65521 << 16 | 1
    return b"\x78\xda" + _inflating(mebibytes, -15) + struct.pack(">I", adler)


def _deflating_dicom(mebibytes: int) -> bytes:
    """Meta information of a deflated DICOM file, then a data set of endless zeros."""
    whole = dicom(picture()[:100, :100].copy(), syntax=dicom_factory.DEFLATED)
    (length,) = struct.unpack_from("<I", whole, 140)
    return whole[: 144 + length] + _inflating(mebibytes, -15)


def _nested_dicom(depth: int) -> bytes:
    """Sequences of undefined length within sequences, before any pixels."""
    whole = dicom(picture()[:100, :100].copy())
    (length,) = struct.unpack_from("<I", whole, 140)
    sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return whole[: 144 + length] + sequence * depth
