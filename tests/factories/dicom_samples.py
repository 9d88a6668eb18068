"""One drawn fundus photograph as DICOM, in every encoding; and its comparison with what is decoded."""

import numpy as np

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from tests.factories import dicom as factory
from tests.factories.dicom import PATIENT, SECRETS, compressed, dicom
from tests.factories.drawings import draw_fundus, jpeg, pil_file

PICTURE = draw_fundus(240, 200, 118, 103, 95)

GREEN = PICTURE[..., 1].copy()

GREY = np.repeat(GREEN[..., None], 3, axis=2)

YCBCR = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2YCrCb)[..., (0, 2, 1)]

JPEG = jpeg(PICTURE)

DICOM = dicom(PICTURE, **PATIENT)

NATIVE = {
    "implicit": factory.IMPLICIT,
    "explicit": factory.EXPLICIT,
    "deflated": factory.DEFLATED,
    "big-endian": factory.BIG_ENDIAN,
}

LOSSLESS = {
    "RLE": factory.RLE,
    "JPEG lossless": factory.JPEG_LOSSLESS,
    "JPEG lossless, first order": factory.JPEG_LOSSLESS_SV1,
    "JPEG-LS": factory.JPEG_LS,
    "JPEG-LS near": factory.JPEG_LS_NEAR,
    "JPEG 2000 lossless": factory.JPEG_2000_LOSSLESS,
    "JPEG 2000": factory.JPEG_2000,
}

DEPTHS = {8: np.uint8, 10: np.uint16, 12: np.uint16, 16: np.uint16}

SMALL = PICTURE[60:130, 80:150].copy()

FUZZED = {
    "native": dicom(SMALL, **PATIENT),
    "implicit": dicom(SMALL, syntax=factory.IMPLICIT, **PATIENT),
    "big-endian": dicom(SMALL, syntax=factory.BIG_ENDIAN, **PATIENT),
    "deflated": dicom(SMALL, syntax=factory.DEFLATED, **PATIENT),
    "RLE": compressed(dicom(SMALL, **PATIENT), factory.RLE),
    "JPEG": dicom(SMALL, syntax=factory.JPEG_BASELINE, stream=jpeg(SMALL), **PATIENT),
}

ISOLATED = {
    "JPEG lossless": compressed(dicom(SMALL, **PATIENT), factory.JPEG_LOSSLESS_SV1),
    "JPEG-LS": compressed(dicom(SMALL, **PATIENT), factory.JPEG_LS),
    "JPEG 2000": compressed(dicom(SMALL, **PATIENT), factory.JPEG_2000),
}


def stored(picture, bits):
    """The same picture in so many bits: its 8-bit values come back exactly."""
    return np.rint(picture.astype(np.float64) * ((1 << bits) - 1) / 255).astype(DEPTHS[bits])


def bare_jpeg(pixels):
    """A JPEG stream without JFIF mark, its components stored as they are given: 4:4:4, ids 1 to 3."""
    stream = pil_file(pixels, "JPEG", quality=95, subsampling=0, keep_rgb=True)
    for mark in (b"\xff\xee", b"\xff\xe0"):
        at = stream.find(mark)
        if at >= 0:
            stream = stream[:at] + stream[at + 2 + int.from_bytes(stream[at + 2 : at + 4]) :]
    for header, step in ((b"\xff\xc0", 3), (b"\xff\xda", 2)):
        at = stream.index(header) + (10 if header == b"\xff\xc0" else 5)
        stream = bytearray(stream)
        for number, name in enumerate(b"RGB"):
            assert stream[at + step * number] == name
            stream[at + step * number] = number + 1
        stream = bytes(stream)
    return stream


def near(decoded, picture, mean=3.0):
    return np.abs(decoded.pixels.astype(int) - picture).mean() < mean


def picture_or_reason(data):
    message = "a picture"
    try:
        decoded = decode(data, 32)
        assert decoded.pixels.dtype == np.uint8
        assert decoded.pixels.shape[2] == 3
    except ImageError as error:
        message = str(error)
    assert message
    assert not any(secret in message for secret in SECRETS)
