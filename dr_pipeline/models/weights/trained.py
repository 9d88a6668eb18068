"""A trained network as the stage `train` wrote it, for looking into it, and the canvases that it may be shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import read_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import Grader, grader_of
from dr_pipeline.models.weights.load import load_exactly

SPECIFICATION = "model.json"


def read_trained(folder: Path) -> tuple[Grader, dict[str, Any]]:
    """The first member of a trained candidate, in evaluation mode, and its model.json.

    Args:
        folder: Such as data/models/lite0/0.

    Raises:
        DataError: The folder is incomplete.
    """
    spec = read_json(folder / SPECIFICATION)
    if not isinstance(spec, dict) or not spec.get("members"):
        raise DataError("model.json names no members", where=str(folder), todo="remake it with `dvc repro train`")
    if not isinstance(spec.get("pixel_path"), dict):
        raise DataError("model.json names no pixel path", where=str(folder), todo="remake it with `dvc repro train`")
    grader = grader_of(spec)
    load_exactly(grader, folder / spec["members"][0])
    return grader.eval(), spec


def require_pixel_path(trained: Mapping[str, Any], canvases: PixelPath, *, where: str) -> None:
    """Refuses canvases of another size, enhancement or version than a network was trained on.

    Args:
        trained: The pixel path that made the network's canvases, as PixelPath.to_dict() gives it.
        canvases: That of the canvases it is to be shown.
        where: The network's folder, for the message.

    Raises:
        ParamsError: They differ.
    """
    if dict(trained) != canvases.to_dict():
        raise ParamsError(
            f"the network was trained on canvases of the pixel path {dict(trained)}; these are of {canvases.to_dict()}",
            where=where,
            todo="name the canvases that it was trained on with --canvases",
        )
