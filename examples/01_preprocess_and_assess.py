"""Takes photographs through the pixel path: writes their canvases and prints a table of quality with its reasons.

python examples/01_preprocess_and_assess.py FOLDER --out FOLDER
"""

import argparse
from pathlib import Path

from dr_pipeline.canvases.render import encode_png
from dr_pipeline.errors import ImageError
from dr_pipeline.files import printable
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.fundus.pixel_path import PixelPath


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--canvas-px", type=int, default=512)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pixel_path = PixelPath(args.canvas_px)
    print(f"{'file':<32} {'status':<12} {'quality':>7}  reasons")
    for path in sorted(path for path in args.folder.iterdir() if path.is_file()):
        try:
            photograph = pixel_path.process(read_image_file(path))
        except ImageError as error:  # not a photograph, or damaged: the reason is for a person
            print(f"{printable(path.name):<32} {'failed':<12} {'':>7}  {error.what}")
            continue
        # The whole name, so that eye.jpg and eye.png do not overwrite each other.
        (args.out / f"{path.name}.png").write_bytes(encode_png(photograph.canvas))
        quality = photograph.quality
        reasons = ", ".join(quality.reasons) or "none"
        print(f"{printable(path.name):<32} {quality.status.value:<12} {quality.score:>7.2f}  {reasons}")


if __name__ == "__main__":
    main()
