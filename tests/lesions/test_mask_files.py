"""Files of masks: every way to store two values is read, and what is not two values is refused with its number."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from dr_pipeline.errors import DataError
from dr_pipeline.lesions.kinds import (
    HARD_EXUDATES,
    KINDS,
    MICROANEURYSMS,
    OPTIC_DISC,
    Kind,
    Masks,
    plane,
    with_plane,
)
from dr_pipeline.lesions.mask_files import MaskFile, join_masks, overlapping_px, read_masks
from tests.factories.drawings import encode, exif_block, with_png_chunk

FILE = MaskFile("EX/a.png", (HARD_EXUDATES,))
SHOWN = np.zeros((70, 90), np.bool_)
SHOWN[10:15, 20:40] = SHOWN[50, 80] = True


def saved(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def palette(colours: list[int]) -> Image.Image:
    picture = Image.fromarray(SHOWN.astype(np.uint8), "P")
    picture.putpalette(colours)
    return picture


def rgba() -> Image.Image:
    pixels = np.zeros((*SHOWN.shape, 4), np.uint8)
    pixels[SHOWN] = 255
    pixels[~SHOWN] = (255, 255, 255, 0)  # white, but transparent
    return Image.fromarray(pixels)


def white_is_zero() -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.where(SHOWN, 0, 255).astype(np.uint8), photometric="miniswhite")
    return stream.getvalue()


GREY = SHOWN.astype(np.uint8)
TWO_VALUES = {
    "1 bit PNG": lambda: saved(Image.fromarray(SHOWN)),
    "1 bit TIFF": lambda: saved(Image.fromarray(SHOWN), "TIFF", compression="group4"),
    "TIFF whose white is zero": white_is_zero,
    "palette PNG": lambda: saved(palette([0, 0, 0, 200, 10, 10])),
    "palette TIFF": lambda: saved(palette([0, 0, 0, 255, 0, 0]), "TIFF", compression="tiff_adobe_deflate"),
    "0 and 1": lambda: encode(GREY, ".png"),
    "0 and 255": lambda: encode(GREY * np.uint8(255), ".png"),
    "BMP": lambda: encode(GREY * np.uint8(255), ".bmp"),
    "RGB": lambda: encode(np.dstack([GREY * np.uint8(128), GREY, GREY]), ".png"),
    "RGBA": lambda: saved(rgba()),
    "16 bits, 0 and 1": lambda: encode(SHOWN.astype(np.uint16), ".png"),
    "16 bits, 0 and 65535": lambda: encode(SHOWN.astype(np.uint16) * np.uint16(65535), ".png"),
}


@pytest.mark.parametrize("name", TWO_VALUES)
def test_masks_of_two_values_are_read_however_they_are_stored(name: str) -> None:
    masks = read_masks(TWO_VALUES[name](), FILE)
    assert masks.dtype == np.uint16
    assert np.array_equal(plane(masks, HARD_EXUDATES), SHOWN)
    assert not any(plane(masks, kind).any() for kind in KINDS if kind is not HARD_EXUDATES)


def test_an_empty_mask_shows_nothing() -> None:
    assert not read_masks(encode(np.zeros((70, 90), np.uint8), ".png"), FILE).any()


def transparent(mode: str, shown: np.ndarray) -> Image.Image:
    """Black; opaque where it is shown, else transparent."""
    return Image.merge(mode, [*[Image.new("L", shown.shape[::-1])] * (len(mode) - 1), Image.fromarray(shown * 255)])


def black_palette(shown: np.ndarray, colours: int = 256) -> Image.Image:
    picture = Image.fromarray(shown, "P")
    picture.putpalette([0, 0, 0] * colours)
    return picture


# Of black pictures, whose marks are in the transparency or the palette's indices alone.
HIDDEN_MARKS = {
    "RGBA PNG": lambda shown: saved(transparent("RGBA", shown)),
    "RGBA TIFF": lambda shown: saved(transparent("RGBA", shown), "TIFF", compression="tiff_lzw"),
    "RGBA WebP": lambda shown: saved(transparent("RGBA", shown), "WEBP", lossless=True),
    "grey and alpha PNG": lambda shown: saved(transparent("LA", shown)),
    "grey and alpha TIFF": lambda shown: saved(transparent("LA", shown), "TIFF"),
    "palette PNG": lambda shown: saved(black_palette(shown)),
    "palette PNG of 1 bit": lambda shown: saved(black_palette(shown, 2), bits=1),
    "palette PNG with transparency": lambda shown: saved(black_palette(shown), transparency=0),
    "palette TIFF": lambda shown: saved(black_palette(shown), "TIFF", compression="tiff_lzw"),
    "palette BMP": lambda shown: saved(black_palette(shown), "BMP"),
}


@pytest.mark.parametrize("name", HIDDEN_MARKS)
@pytest.mark.parametrize("file", [FILE, MaskFile("a", (HARD_EXUDATES,), grey_threshold=1)])
def test_black_marks_that_transparency_or_a_palette_carries_are_no_empty_mask(name: str, file: MaskFile) -> None:
    with pytest.raises(DataError, match="black everywhere, but its transparency or the indices of its palette"):
        read_masks(HIDDEN_MARKS[name](GREY), file)
    assert not read_masks(HIDDEN_MARKS[name](np.zeros_like(GREY)), file).any()


def test_a_palette_whose_black_is_used_alone_is_an_empty_mask() -> None:
    for form in ("PNG", "TIFF", "BMP"):
        picture = Image.fromarray(np.full_like(GREY, 3), "P")
        picture.putpalette([200, 10, 10, 90, 90, 90, 7, 7, 7] + [0] * 759)
        assert not read_masks(saved(picture, form), FILE).any()


def test_a_mask_with_an_orientation_is_turned_upright() -> None:
    data = with_png_chunk(encode(np.ascontiguousarray(GREY.T) * np.uint8(255), ".png"), b"eXIf", exif_block(5))
    assert np.array_equal(plane(read_masks(data, FILE), HARD_EXUDATES), SHOWN)


def test_grey_values_are_refused_with_their_number_unless_a_threshold_is_declared() -> None:
    soft = GREY * np.uint8(255)
    soft[9, 20:40], soft[15, 20:30] = 90, 140
    with pytest.raises(DataError, match="30 of 131 marked pixels are grey") as caught:
        read_masks(encode(soft, ".png"), FILE)
    assert "EX/a.png" in str(caught.value)
    read = read_masks(encode(soft, ".png"), MaskFile("a", (HARD_EXUDATES,), grey_threshold=128))
    assert plane(read, HARD_EXUDATES).sum() == SHOWN.sum() + 10


def test_a_jpeg_mask_is_refused_and_read_with_a_threshold() -> None:
    square = np.zeros((70, 90), np.uint8)
    square[17:41, 27:55] = 255
    data = encode(square, ".jpg")
    with pytest.raises(DataError, match="marked pixels are grey"):
        read_masks(data, FILE)
    read = read_masks(data, MaskFile("a", (HARD_EXUDATES,), grey_threshold=128))
    assert np.array_equal(plane(read, HARD_EXUDATES), square > 0)


@pytest.mark.parametrize(
    ("data", "brightest"),
    [(encode(GREY, ".png"), "1"), (encode(SHOWN.astype(np.uint16) * np.uint16(25700), ".png"), "100")],
)
def test_marks_below_the_threshold_are_no_healthy_photograph(data: bytes, brightest: str) -> None:
    file = MaskFile("EX/a.png", (HARD_EXUDATES,), grey_threshold=128)
    with pytest.raises(DataError, match=f"no pixel reaches `grey_threshold`, 128; the brightest has {brightest}\n"):
        read_masks(data, file)
    assert not read_masks(encode(np.zeros((70, 90), np.uint8), ".jpg"), file).any()


def test_two_colours_in_the_mask_of_one_kind_are_refused() -> None:
    pixels = np.zeros((70, 90, 3), np.uint8)
    pixels[:5], pixels[10] = (255, 0, 0), (0, 255, 0)
    with pytest.raises(DataError, match="90 of 540 marked pixels"):
        read_masks(encode(pixels, ".png"), FILE)


def test_an_inverted_mask_is_refused() -> None:
    with pytest.raises(DataError, match="hard_exudates in 98 % of the picture: the mask seems to be inverted"):
        read_masks(encode((~SHOWN).astype(np.uint8), ".png"), FILE)


def test_sixteen_bits_that_would_be_rounded_are_refused() -> None:
    with pytest.raises(DataError, match="is read as grey PNG of 16 bits only"):
        read_masks(encode(SHOWN.astype(np.uint16), ".tiff"), FILE)


COLOURED = MaskFile("a.png", (MICROANEURYSMS, OPTIC_DISC), colours=((255, 0, 0), (0, 255, 0)))


def test_a_coloured_picture_shows_the_declared_kinds() -> None:
    pixels = np.zeros((70, 90, 3), np.uint8)
    pixels[3:5, 7:9], pixels[20:40, 30:50] = (255, 0, 0), (0, 255, 0)
    masks = read_masks(encode(pixels, ".png"), COLOURED)
    assert plane(masks, MICROANEURYSMS).sum() == 4
    assert plane(masks, OPTIC_DISC)[20:40, 30:50].all()
    assert plane(masks, OPTIC_DISC).sum() == 400


def test_colours_that_are_not_declared_are_refused_with_the_most_frequent_one() -> None:
    pixels = np.zeros((70, 90, 3), np.uint8)
    pixels[0, :3], pixels[1, :2] = (16, 32, 255), (1, 1, 1)
    with pytest.raises(DataError, match="5 pixels have one of 2 colours that are not declared, most of them #1020ff"):
        read_masks(encode(pixels, ".png"), COLOURED)


@pytest.mark.parametrize("value", [1 << 11, 65535])
def test_bits_of_no_kind_are_refused(value: int) -> None:
    file = MaskFile("p.png", KINDS)
    bits = SHOWN.astype(np.uint16) << OPTIC_DISC.bit
    assert np.array_equal(read_masks(encode(bits, ".png"), file), bits)
    with pytest.raises(DataError, match="one of 16 bits for each kind"):
        read_masks(encode(SHOWN.astype(np.uint16) * np.uint16(value), ".png"), file)
    with pytest.raises(DataError, match="one of 16 bits for each kind"):
        read_masks(encode(GREY, ".png"), file)


def of(kind: Kind) -> Masks:
    return with_plane(np.zeros(SHOWN.shape, np.uint16), kind, SHOWN)


def test_masks_are_joined_and_overlaps_are_counted() -> None:
    both = join_masks([(FILE, of(HARD_EXUDATES)), (FILE, of(MICROANEURYSMS))], 70, 90)
    assert np.array_equal(both, of(HARD_EXUDATES) | of(MICROANEURYSMS))
    assert overlapping_px(both, KINDS) == SHOWN.sum()
    assert overlapping_px(both, [HARD_EXUDATES, OPTIC_DISC]) == 0


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="a mask of 90 × 70 px for a photograph of 91 × 70 px\n"):
        join_masks([(FILE, of(HARD_EXUDATES))], 70, 91)
    with pytest.raises(DataError, match="of 70 × 90 px, as if it were stored turned"):
        join_masks([(FILE, of(HARD_EXUDATES))], 90, 70)
