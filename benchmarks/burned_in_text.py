"""Burnt-in text: how much planted text is detected, and in how many real photographs a false alarm is given.

    apt-get download fonts-noto-core fonts-noto-cjk && for deb in fonts-noto-*.deb; do dpkg -x $deb fonts; done
    python -m benchmarks.burned_in_text --idrid ROOT --cameras ROOT --fonts fonts \
        --out reports/benchmarks/burned_in_text.json

Planted are single signs and names of eleven scripts, of 1.5–12 % of the picture's height, in eight colours, upright or
turned by 90°, 180° or 270°, saved as JPEG again: on the dark ground, dark on a white label, or dark on a white page;
beside the disc (from 1.03 radii on), nearer to it, or over its rim with at least half of the ink outside. The disc is
found in the planted picture; on the white page it is that of the photograph before, so that this measures the text and
not the disc.

Photographs that hold text or a bar over a name are named in `KNOWN_TEXT`, by eye; nothing is planted in those.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dr_pipeline.files import write_json
from dr_pipeline.fundus.burned_in_text import has_annotation
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.field import CIRCLE, Disc, find_disc
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.machine import describe_machine

Pixels = NDArray[np.uint8]
Option = TypeVar("Option")

KNOWN_TEXT = ("chaksu_remidio.jpg",)  # "OD", printed by the camera
_COVERED = ("csdi_",)  # a white bar covers the name
_CJK = ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc", "NotoSerifCJK-Regular.ttc")
# Signs, names, fonts. Signs are planted alone; mere strokes, such as I, l, 一 or ا, are not among them.
SCRIPTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "latin": (
        "ABCDEGHKLMNPQRSTUVWXYZabdeghkmnpqrstuz23456789",
        ("DOE JANE", "Smith 1961", "ID 0042", "OD", "12/03/1987"),
        ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf", "NotoSerif-Regular.ttf"),
    ),
    "cyrillic": ("АБВГДЕЖЗИЙКЛМНПРСТУФХЦЧШЩЫЭЮЯ", ("ИВАНОВ", "Петрова А."), ("NotoSans-Regular.ttf",)),
    "greek": ("ΑΒΓΔΕΖΗΘΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", ("ΠΑΠΑΔΟΠΟΥΛΟΣ",), ("NotoSans-Regular.ttf",)),
    "chinese": (
        "张王李赵陈刘杨黄周吴徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭",
        ("张伟", "王小明", "李秀英 男", "欧阳娜娜"),
        _CJK,
    ),
    "japanese": (
        "あいうえおかきくけこさしすせそたなにぬねのはひふほまみむめもやゆよらりるれろわアイウエオカキクケコサスセタチツテナヌネハヒホマミムメモヤヨラルロワ",
        ("山田太郎", "さくら", "タナカ"),
        _CJK,
    ),
    "korean": ("김이박최정강조윤장임한오서신권황안송전홍", ("김철수", "박지성"), _CJK),
    "arabic": ("بتثجحخدذرزسشصضطظعغفقكلمنهوي", ("محمد", "فاطمة علي"), ("NotoSansArabic-Regular.ttf",)),
    "hebrew": ("אבגדהזחטכלמנסעפצקרשת", ("כהן",), ("NotoSansHebrew-Regular.ttf",)),
    "devanagari": ("कखगघचछजझटठडढणतथदधनपफबभमयरलवशषसह", ("राम कुमार", "सीता"), ("NotoSansDevanagari-Regular.ttf",)),
    "tamil": ("அஆஇஈஉஊகஙசஞடணதநபமயரலவ", ("முருகன்",), ("NotoSansTamil-Regular.ttf",)),
    "thai": ("กขคฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ", ("สมชาย", "ใจดี"), ("NotoSansThai-Regular.ttf",)),
}
COLOURS = (
    (255, 255, 255),
    (150, 150, 150),
    (90, 90, 90),
    (255, 255, 0),
    (0, 255, 0),
    (255, 0, 0),
    (0, 0, 255),
    (0, 255, 255),
)
INKS = ((0, 0, 0), (60, 60, 60), (0, 0, 255), (200, 0, 0))  # on white
PLACES = ("beside", "beside", "near", "rim", "rim")
_NEAR = 1.03  # radii
GROUNDS = ("dark", "dark", "dark", "label", "page")
_HEIGHTS = (0.015, 0.12)  # of the picture's height
_TRIES = 300
_STRONG_COMPRESSION = 60
_FAR_BEYOND = 1.05  # radii


@dataclass(frozen=True)
class Planted:
    """A photograph with text, and what was planted.

    Attributes:
        pixels: (height, width, 3) RGB.
        disc: In px of `pixels`.
        place: One of `PLACES`.
        reach: The furthest ink, in radii from the disc's centre.
    """

    pixels: Pixels
    disc: Disc
    script: str
    text: str
    ground: str
    place: str
    height: float
    colour: tuple[int, ...]
    reach: float

    @property
    def where(self) -> str:
        """The place, and how far a sign over the rim reaches."""
        if self.place != "rim":
            return self.place
        return f"rim, {'beyond' if self.reach > _FAR_BEYOND else 'within'} {_FAR_BEYOND} R"

    @property
    def group(self) -> str:
        """The row of the report that it counts in."""
        return f"{self.where}, {'one sign' if len(self.text) == 1 else 'name'}, {self.ground}"


def letters(text: str, font: Path, height_px: int, turns: int) -> NDArray[np.float32]:
    """The text's coverage, 0–1, cropped to its ink."""
    face = ImageFont.truetype(str(font), max(6, height_px))
    left, top, right, bottom = (round(edge) for edge in face.getbbox(text))
    picture = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(picture).text((2 - left, 2 - top), text, font=face, fill=255)
    ink = np.asarray(picture, np.float32) / 255
    rows, columns = np.nonzero(ink > 0.2)
    return np.rot90(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], turns)


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def compressed(pixels: Pixels, quality: int) -> Pixels:
    """The picture saved as JPEG and read again."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    again: Pixels = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return again


def plant(pixels: Pixels, disc: Disc, fonts: dict[str, Path], rng: np.random.Generator) -> Planted | None:
    """Plants one text; None where it has no room."""
    script = pick(rng, [name for name, (_, _, files) in SCRIPTS.items() if files[0] in fonts])
    signs, names, files = SCRIPTS[script]
    text = pick(rng, signs) if rng.random() < 0.6 else pick(rng, names)
    height = float(np.exp(rng.uniform(*np.log(_HEIGHTS))))
    font = fonts[pick(rng, [name for name in files if name in fonts])]
    ink = letters(text, font, round(height * pixels.shape[0]), pick(rng, (0, 0, 0, 1, 2, 3)))
    ground, place = pick(rng, GROUNDS), pick(rng, PLACES)
    found = position(ink, pixels.shape, disc, place, rng)
    if found is None:
        return None
    (x, y), reach = found
    colour = pick(rng, COLOURS if ground == "dark" else INKS if ground == "page" else INKS[:1])
    marked = pixels.astype(np.float32)
    height_px, width_px = ink.shape
    if ground == "page":
        ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
        marked[np.hypot(xs - disc.x, ys - disc.y) > disc.radius] = 255
    elif ground == "label":
        margin = max(2, round(0.15 * min(ink.shape)))
        marked[max(0, y - margin) : y + height_px + margin, max(0, x - margin) : x + width_px + margin] = 255
    under = marked[y : y + height_px, x : x + width_px]
    under += (np.array(colour, np.float32) - under) * ink[..., None]
    again = compressed(np.clip(marked, 0, 255).astype(np.uint8), pick(rng, (70, 80, 90, 95)))
    present = disc if ground == "page" else find_disc(again)
    return Planted(again, present, script, text, ground, place, height, colour, reach)


def position(
    ink: NDArray[np.float32], shape: tuple[int, ...], disc: Disc, place: str, rng: np.random.Generator
) -> tuple[tuple[int, int], float] | None:
    """The corner (x, y) of a random place, and the furthest ink in radii; None where there is no room."""
    rows, columns = np.nonzero(ink > 0.3)
    free_y, free_x = shape[0] - ink.shape[0] - 4, shape[1] - ink.shape[1] - 4
    if free_y < 1 or free_x < 1:
        return None
    for _ in range(_TRIES):
        x, y = 2 + int(rng.integers(free_x)), 2 + int(rng.integers(free_y))
        if place != "beside":
            angle, radius = rng.uniform(0, 2 * np.pi), disc.radius * rng.uniform(1.0, 1.06 if place == "rim" else 1.15)
            x = round(disc.x + radius * np.cos(angle) - ink.shape[1] / 2)
            y = round(disc.y + radius * np.sin(angle) - ink.shape[0] / 2)
        if not (2 <= x < 2 + free_x and 2 <= y < 2 + free_y):
            continue
        radii = np.hypot(columns + x - disc.x, rows + y - disc.y) / disc.radius
        is_there = {
            "beside": radii.min() > _NEAR,
            "near": 1 <= radii.min() <= _NEAR,
            "rim": radii.min() < 1 and np.mean(radii > 1) >= 0.5,
        }
        if is_there[place]:
            return (x, y), float(radii.max())
    return None


def plants(paths: Sequence[Path], fonts: dict[str, Path], per_photograph: int, seed: int) -> Iterator[Planted]:
    """Texts in photographs that have none."""
    rng = np.random.default_rng(seed)
    for path in paths:
        pixels = decode(path.read_bytes(), 512).pixels
        disc = find_disc(pixels)
        if disc.fit != CIRCLE or path.name in KNOWN_TEXT or path.name.startswith(_COVERED):
            continue
        for _ in range(per_photograph):
            planted = plant(pixels, disc, fonts, rng)
            if planted is not None:
                yield planted


def copies(pixels: Pixels) -> Iterator[Pixels]:
    """The photograph squashed to a square, at half its size, and compressed strongly."""
    height, width = pixels.shape[:2]
    yield cv2.resize(pixels, (height, height), interpolation=cv2.INTER_AREA)
    yield cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    yield compressed(pixels, _STRONG_COMPRESSION)


def alarms(paths: Sequence[Path]) -> dict[str, Any]:
    """Photographs as they are: how many, those with known text that are detected, and the false alarms."""
    flagged, of_copies = [], []
    for path in paths:
        pixels = decode(path.read_bytes(), 512).pixels
        if has_annotation(pixels, find_disc(pixels)):
            flagged.append(path.name)
        of_copies += [path.name for copy in copies(pixels) if has_annotation(copy, find_disc(copy))]
    return {
        "photographs": len(paths),
        "with_text_detected": sum(name in KNOWN_TEXT for name in flagged),
        "false_alarms": [name for name in flagged if name not in KNOWN_TEXT],
        "false_alarms_of_three_copies": [name for name in of_copies if name not in KNOWN_TEXT],
    }


def figures(planted: Iterator[Planted]) -> dict[str, Any]:
    results: dict[str, defaultdict[str, list[bool]]] = {
        name: defaultdict(list) for name in ("place", "group", "script")
    }
    missed = []
    for one in planted:
        is_found = has_annotation(one.pixels, one.disc)
        results["place"][one.where].append(is_found)
        results["group"][one.group].append(is_found)
        results["script"][one.script].append(is_found)
        if not is_found:
            missed.append(f"{one.group}: {one.script} {one.text!r}, {one.height:.3f} of the height, {one.colour}")
    return {
        **{
            f"by_{name}": {key: {"planted": len(hits), "found": sum(hits)} for key, hits in sorted(rows.items())}
            for name, rows in results.items()
        },
        "missed": sorted(missed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idrid", type=Path, required=True, help="folder with the IDRiD photographs")
    parser.add_argument("--cameras", type=Path, required=True, help="folder with photographs of other cameras")
    parser.add_argument("--fonts", type=Path, required=True, help="folder with Noto fonts, at any depth")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--photographs", type=int, default=250, help="how many get text, spread over both folders")
    parser.add_argument("--per-photograph", type=int, default=6)
    parser.add_argument("--seed", type=int, default=20)
    args = parser.parse_args()
    fonts = {path.name: path for path in sorted(args.fonts.rglob("Noto*")) if path.suffix in (".ttf", ".ttc", ".otf")}
    idrid = sorted(args.idrid.rglob("*.jpg"))
    cameras = sorted(path for path in (args.cameras / "photographs").rglob("*") if path.is_file())
    every = [*idrid, *cameras]
    order = np.random.default_rng(args.seed).permutation(len(every))
    chosen = [every[number] for number in order[: args.photographs]]
    result = {
        "idrid": alarms(idrid),
        "cameras": alarms(cameras),
        "planted": figures(plants(chosen, fonts, args.per_photograph, args.seed)),
        "scripts_without_font": [name for name, (_, _, files) in SCRIPTS.items() if files[0] not in fonts],
        "seed": args.seed,
        "machine": describe_machine(),
    }
    write_json(args.out, result)
    print(result["idrid"], result["cameras"])
    for name, row in (result["planted"]["by_place"] | result["planted"]["by_group"]).items():
        print(f"{name:40s} {row['found']:4d} of {row['planted']}")


if __name__ == "__main__":
    main()
