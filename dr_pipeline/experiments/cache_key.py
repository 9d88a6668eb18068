"""The hash of everything that a result rests on: what is kept under another one is not used."""

from collections.abc import Mapping, Sequence
from typing import Any

from dr_pipeline.code_version import code_version
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.files import sha256_json
from dr_pipeline.training.run_identity import provenance

# Trains an arm on a fold and predicts its outer part: its import closure decides a result.
_MODULE = "dr_pipeline.experiments.outer_fold"


def result_key(
    settings: Settings,
    *,
    index_sha256: str,
    pixel_path: dict[str, Any],
    readings: Mapping[str, Sequence[int]],
    digest: str,
) -> str:
    """Hash of values, first weights, teacher, photographs, readings, division, code and libraries.

    Args:
        settings: Of the arm.
        index_sha256: Of the canvases' index, which lists every picture's pixel hash.
        pixel_path: That made the canvases.
        readings: Further grades of the photographs.
        digest: Of who is in which part.

    Raises:
        ParamsError: A folder of first weights does not hold one index of shards.
        DataError: An index of shards cannot be read, or a shard is missing.
    """
    return sha256_json(
        {
            "settings": settings.to_dict(),
            "canvas_index_sha256": index_sha256,
            "pixel_path": pixel_path,
            "readings": {image_id: list(grades) for image_id, grades in readings.items()},
            "division": digest,
            **provenance(settings.candidate.weights, settings.training.distillation.teacher, module=_MODULE),
        }
    )


def result_code_sha256() -> str:
    """Hash of the code that decides a result."""
    return code_version(_MODULE)
