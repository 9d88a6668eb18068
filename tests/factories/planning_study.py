"""A tiny study on disk, as the stages up to `split` leave it."""

import io
import tarfile
from pathlib import Path

import numpy as np

from dr_pipeline.files import add_to_tar, write_csv, write_json
from dr_pipeline.schema import CANVAS_INDEX_COLUMNS, MANIFEST_COLUMNS, SPLITS_COLUMNS
from tests.factories.bundles import PIXEL_PATH, encode

NUM_PATIENTS = 24
COLOUR = (150, 75, 30)  # of every development canvas; test canvases are white


def write_study(root: Path) -> dict[str, Path]:
    """Two eyes of each patient; a third of the patients is for testing. Gives the paths by the command's options."""
    manifest, index, splits, tar_bytes = [], [], [], io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for patient in range(NUM_PATIENTS):
            for eye in ("left", "right"):
                image_id, test = f"{patient:03}-{eye}", patient % 3 == 2
                canvas = np.full((64, 64, 3), 255 if test else COLOUR, np.uint8)
                add_to_tar(tar, f"{image_id}.png", encode(canvas, ".png"))
                common = {"schema_version": 2, "image_id": image_id}
                size = {"width": 800, "height": 600}
                manifest.append(
                    dict.fromkeys(MANIFEST_COLUMNS, "") | common | size | {"camera": "a" if patient % 2 else "b"}
                )
                index.append(
                    dict.fromkeys(CANVAS_INDEX_COLUMNS, "")
                    | common
                    | size
                    | {"shard": "shard-00000.tar", "status": "scored", "disc_radius": "290.5"}
                )
                splits.append(
                    dict.fromkeys(SPLITS_COLUMNS, "")
                    | common
                    | {
                        "patient_id": f"P{patient}",
                        "group": f"patient:P{patient}",
                        "grade": 4 if test else patient // 3 % 4,
                        "split": "test" if test else "development",
                        "fold": "" if test else patient % 3,
                    }
                )
    paths = {
        "audited": root / "audited.csv",
        "splits": root / "splits.csv",
        "canvases": root / "canvases",
        "gradability": root / "gradability.json",
        "selection": root / "selection.json",
        "latency": root / "latency",
    }
    paths["canvases"].mkdir()
    (paths["canvases"] / "shard-00000.tar").write_bytes(tar_bytes.getvalue())
    write_csv(paths["canvases"] / "index.csv", CANVAS_INDEX_COLUMNS, index)
    write_json(paths["canvases"] / "pixel_path.json", PIXEL_PATH.to_dict() | {"fingerprint": PIXEL_PATH.fingerprint})
    write_csv(paths["audited"], MANIFEST_COLUMNS, manifest)
    write_csv(paths["splits"], SPLITS_COLUMNS, splits)
    return paths
