"""A tiny study on disk, as the stages up to `split` leave it."""

import io
import tarfile
from pathlib import Path

import numpy as np

from dr_pipeline.files import add_to_tar, write_json
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.canvas_index import CanvasRow, write_canvas_index
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import DEVELOPMENT, SplitRow, write_splits
from tests.factories.bundles import PIXEL_PATH, encode

NUM_PATIENTS = 24
COLOUR = (150, 75, 30)  # of every development canvas; test canvases are white


def write_study(root: Path) -> dict[str, Path]:
    """Two eyes of each patient; a third of the patients is for testing. Gives the paths by the command's options."""
    manifest, index, splits, tar_bytes = [], [], [], io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for patient in range(NUM_PATIENTS):
            for eye in (Eye.LEFT, Eye.RIGHT):
                image_id, test = f"{patient:03}-{eye.value}", patient % 3 == 2
                canvas = np.full((64, 64, 3), 255 if test else COLOUR, np.uint8)
                add_to_tar(tar, f"{image_id}.png", encode(canvas, ".png"))
                camera = "a" if patient % 2 else "b"
                manifest.append(ManifestRow(image_id=image_id, path="", width=800, height=600, camera=camera))
                index.append(
                    CanvasRow(
                        image_id=image_id,
                        shard="shard-00000.tar",
                        status=Status.SCORED,
                        width=800,
                        height=600,
                        disc_radius=290.5,
                    )
                )
                splits.append(
                    SplitRow(
                        image_id=image_id,
                        patient_id=f"P{patient}",
                        group=f"patient:P{patient}",
                        grade=4 if test else patient // 3 % 4,
                        split="test" if test else DEVELOPMENT,
                        fold=None if test else patient % 3,
                    )
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
    write_canvas_index(paths["canvases"] / "index.csv", index)
    write_json(paths["canvases"] / "pixel_path.json", PIXEL_PATH.to_dict() | {"fingerprint": PIXEL_PATH.fingerprint})
    write_manifest(paths["audited"], manifest)
    write_splits(paths["splits"], splits)
    return paths
