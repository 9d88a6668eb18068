"""A trained network as the stage `train` wrote it, for looking into it."""

from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json
from dr_pipeline.models.factory import Grader, grader_of
from dr_pipeline.models.weights import load_exactly

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
    grader = grader_of(spec)
    load_exactly(grader, folder / spec["members"][0])
    return grader.eval(), spec
