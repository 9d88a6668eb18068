"""Bitmaps of Windows and OS/2: pixels as Pillow gives them, or a named refusal."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from dr_pipeline.fundus.decode import decode
from tests.factories.drawings import draw_fundus
from tests.factories.refusals import assert_refused

PICTURE = draw_fundus(241, 203, 118, 103, 95)
HEIGHT, WIDTH, _ = PICTURE.shape
PALETTED = Image.fromarray(PICTURE).quantize(200)
INDICES = np.asarray(PALETTED)
COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[:200] = np.array(PALETTED.getpalette()[:600], np.uint8).reshape(-1, 3)


def rows(values):
    """Rows from below, each padded to four bytes."""
    flat = np.ascontiguousarray(values[::-1]).view(np.uint8).reshape(HEIGHT, -1)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).tobytes()


def bitmap(bits, pixels, *, compression=0, palette=b"", masks=b"", size=40, height=HEIGHT, fields=b""):
    at = 14 + size + len(masks) + len(palette)
    head = b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at)
    info = struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, bits, compression, len(pixels), 2835, 2835, 0, 0)
    return head + info + fields + masks + palette + pixels


def os2(bits, pixels, palette=b""):
    at = 26 + len(palette)
    head = b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at)
    return head + struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits) + palette + pixels


def run_lengths(indices):
    out = bytearray()
    for row in indices[::-1]:
        for run in np.split(row, np.flatnonzero(np.diff(row)) + 1):
            for start in range(0, len(run), 255):
                out += bytes((len(run[start : start + 255]), int(run[0])))
        out += b"\0\0"
    return bytes(out + b"\0\1")


def packed(red_bits, green_bits, blue_bits):
    red, green, blue = (
        PICTURE[..., k].astype(np.uint16) >> 8 - bits for k, bits in enumerate((red_bits, green_bits, blue_bits))
    )
    return (red << green_bits + blue_bits | green << blue_bits | blue).astype("<u2")


def masks(*values):
    return struct.pack(f"<{len(values)}I", *values)


BGR = rows(PICTURE[..., ::-1])
BGRX = rows(np.dstack((PICTURE[..., ::-1], np.full((HEIGHT, WIDTH), 77, np.uint8))))
PALETTE_3, PALETTE_4 = COLOURS[:, ::-1].tobytes(), np.pad(COLOURS[:, ::-1], ((0, 0), (0, 1))).tobytes()
WINDOWS = bitmap(24, BGR)
RGB_MASKS = masks(0xFF0000, 0xFF00, 0xFF)
SOUND = {
    "Windows, 24 bits": WINDOWS,
    "top down": bitmap(24, rows(PICTURE[::-1, :, ::-1]), height=-HEIGHT),
    "OS/2, 24 bits": os2(24, BGR),
    "OS/2, palette": os2(8, rows(INDICES), PALETTE_3),
    "OS/2 2": bitmap(24, BGR, size=64, fields=bytes(24)),
    "palette": bitmap(8, rows(INDICES), palette=PALETTE_4),
    "run lengths": bitmap(8, run_lengths(INDICES), compression=1, palette=PALETTE_4),
    "16 bits": bitmap(16, rows(packed(5, 5, 5))),
    "16 bits, 5-6-5": bitmap(16, rows(packed(5, 6, 5)), compression=3, masks=masks(0xF800, 0x7E0, 0x1F)),
    "32 bits": bitmap(32, BGRX),
    "32 bits with masks": bitmap(32, BGRX, compression=3, masks=RGB_MASKS),
    "version 4 with alpha": bitmap(32, BGRX, compression=3, size=108, fields=RGB_MASKS + masks(0xFF000000) + bytes(52)),
    "size two too large": WINDOWS[:2] + struct.pack("<I", len(WINDOWS) + 2) + WINDOWS[6:],
    "size two too small": WINDOWS[:2] + struct.pack("<I", len(WINDOWS) - 2) + WINDOWS[6:],
    "size zero": WINDOWS[:2] + bytes(4) + WINDOWS[6:],
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_pixels_are_those_of_pillow(name):
    theirs = np.asarray(Image.open(io.BytesIO(SOUND[name])).convert("RGB"))
    assert np.array_equal(decode(SOUND[name], 200).pixels, theirs)


REFUSED = {
    "colours at unusual bits": (bitmap(32, BGRX, compression=3, masks=masks(0xFF, 0xFF00, 0xFF0000)), "unusual bits"),
    "a PNG inside": (bitmap(24, BGR, compression=5), "compression 5"),
    "a short OS/2 2 header": (
        b"BM" + struct.pack("<IHHIIIIHH", 0, 0, 0, 30, 16, WIDTH, HEIGHT, 1, 24) + BGR,
        "header of 16",
    ),
    "cut": (WINDOWS[:-500], "truncated BMP"),
    "cut in its header": (WINDOWS[:40], "truncated BMP"),
    "run lengths cut": (bitmap(8, run_lengths(INDICES), compression=1, palette=PALETTE_4)[:-900], "truncated BMP"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(name):
    assert_refused(*REFUSED[name])
