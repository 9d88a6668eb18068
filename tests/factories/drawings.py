"""Pictures and files for the pixel path's tests, all drawn by code."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dr_pipeline.fundus.canvas import disc_radius_px
from dr_pipeline.fundus.field import Disc
from dr_pipeline.fundus.opencv import cv2

Pixels = NDArray[np.uint8]


def draw_fundus(
    width: int, height: int, x: float, y: float, radius: float, *, ground: int = 2, seed: int = 0
) -> Pixels:
    """An orange disc with vessels and a bright optic disc on a dark ground, RGB; nothing about it is symmetric."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    u, v = (xs - x) / radius, (ys - y) / radius
    distance = np.hypot(u, v)
    light = 1 - 0.35 * distance**2
    # Some bluish light from one side: in a photograph, brightness alone does not decide the colour.
    picture = light[..., None] * np.stack((200 + 0 * u, 95 + 0 * u, 40 + 10 * u), axis=-1)
    picture += np.exp(-(((u - 0.5) / 0.12) ** 2) - ((v + 0.05) / 0.14) ** 2)[..., None] * np.array([45.0, 90.0, 60.0])
    canvas = picture.astype(np.float32)
    random = np.random.default_rng(seed)
    for _ in range(14):
        angle, bend = random.uniform(0, 2 * np.pi), random.uniform(-0.8, 0.8)
        steps = np.linspace(0, 1.2, 30)
        along = np.stack([0.5 + steps * np.cos(angle + bend * steps), -0.05 + steps * np.sin(angle + bend * steps)], 1)
        points = np.rint(along * radius + [x, y]).astype(np.int32)
        cv2.polylines(canvas, [points], False, (120.0, 35.0, 20.0), max(1, round(radius / 60)), cv2.LINE_AA)
    canvas += random.normal(0, 2, canvas.shape).astype(np.float32)
    canvas[distance > 1] = ground
    return np.clip(canvas, 0, 255).astype(np.uint8)


def with_tissue(fundus: Pixels, seed: int = 0) -> Pixels:
    """A drawn fundus with the choroid's mottling, a little other in every channel."""
    noise = np.random.default_rng(seed).normal(0, 60, fundus.shape).astype(np.float32)
    mottled = np.where(fundus.max(axis=2, keepdims=True) > 12, fundus + cv2.GaussianBlur(noise, (0, 0), 4), fundus)
    return np.clip(mottled, 0, 255).astype(np.uint8)


def encode(pixels: Pixels, extension: str, *parameters: int) -> bytes:
    """RGB, RGBA or grey → the bytes of a file."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    good, data = cv2.imencode(extension, pixels, parameters)
    assert good
    return bytes(data)


def jpeg(pixels: Pixels, quality: int = 95) -> bytes:
    # 4:4:4, so that colours stay where they are.
    return encode(pixels, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)


def exif_block(orientation: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_jpeg_exif(data: bytes, block: bytes) -> bytes:
    body = b"Exif\0\0" + block
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Puts a chunk right after IHDR."""
    return data[:33] + png_chunk(kind, body) + data[33:]


def png_header_only(width: int, height: int) -> bytes:
    """A decompression bomb's header: it announces pixels that are not there."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", ihdr)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


def jpeg_claiming(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose start of frame announces other sides."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def unturned(upright: Pixels, orientation: int) -> Pixels:
    """What a camera stores so that `orientation` makes it upright: the inverse of the EXIF table, written out."""
    return {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),  # shown turned 90° clockwise, so stored turned anticlockwise
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation].copy()


def pil_file(pixels: Pixels, kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A file that OpenCV cannot write: CMYK, palettes, tags."""
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def gif(pixels: Pixels, frames: int = 2) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(np.roll(pixels, 9 * k, 1)) for k in range(frames)]
    pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:])
    return stream.getvalue()


def multipage(pixels: Pixels, kind: str, pages: int = 2) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(np.roll(pixels, 9 * k, 1)) for k in range(pages)]
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:])
    return stream.getvalue()


def plain_tiff(
    pages: list[Pixels] | list[NDArray[np.uint16]], *, orientation: int = 1, subfiles: tuple[int, ...] = ()
) -> bytes:
    """An uncompressed RGB TIFF, 8 or 16 bits, written out by hand for its tags.

    Args:
        pages: (height, width, 3) each.
        orientation: Tag 274 of each page.
        subfiles: Tag 254 of each page: 1 marks a thumbnail.
    """
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4  # where the address of the next directory is to be written
    for number, page in enumerate(pages):
        height, width, samples = page.shape
        pixels_at = len(out)
        out += page.astype(page.dtype.newbyteorder("<")).tobytes()
        bits_at = len(out)
        out += struct.pack("<3H", *[page.itemsize * 8] * 3)
        tags = [(254, 4, 1, subfiles[number] if subfiles else 0), (256, 4, 1, width), (257, 4, 1, height)]
        tags += [(258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, pixels_at), (274, 3, 1, orientation)]
        tags += [(277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, page.nbytes)]
        struct.pack_into("<I", out, link, len(out))
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        link = len(out)
        out += bytes(4)
    return bytes(out)


def decode_jpeg(data: bytes) -> Pixels:
    pixels: Pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return pixels


def canvas_to_original(x: float, y: float, disc: Disc, canvas_px: int) -> tuple[float, float]:
    """Maps a point of the canvas to the picture whose pixels `disc` is in; exact to one decoded pixel."""
    factor = disc.radius / disc_radius_px(canvas_px)
    return disc.x + (x - canvas_px / 2) * factor, disc.y + (y - canvas_px / 2) * factor
