"""Takes photographs through the pixel path: writes their canvases and prints quality with its reasons.

python examples/01_preprocess_and_assess.py FOLDER --out FOLDER
"""

import argparse
from pathlib import Path

from dr_pipeline.canvases.render import encode_png
from dr_pipeline.errors import ImageError
from dr_pipeline.files import printable
from dr_pipeline.fundus.pixel_path import PixelPath


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--canvas-px", type=int, default=512)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pixel_path = PixelPath(args.canvas_px)
    for path in sorted(path for path in args.folder.iterdir() if path.is_file()):
        try:
            photograph = pixel_path.process(path.read_bytes())
        except ImageError as error:  # not a photograph, or damaged: the reason is for a person
            print(f"{printable(path.name)}: failed, {error.what}")
            continue
        (args.out / f"{path.stem}.png").write_bytes(encode_png(photograph.canvas))
        quality = photograph.quality
        reasons = ", ".join(quality.reasons) or "no remarks"
        print(f"{printable(path.name)}: {quality.status.value}, quality {quality.score:.2f} ({reasons})")


if __name__ == "__main__":
    main()
