"""Registered versions of the bundle, each with the photographs that it graded."""

import shutil
from collections.abc import Sequence

from dr_pipeline.files import read_json, write_json
from dr_pipeline.schema import REFERABLE_FROM, Status
from dr_pipeline.tables.graded import GradedRow, write_graded
from dr_pipeline.tracking.registry import register
from dr_pipeline.tracking.run import tracked
from tests.factories.bundles import make_bundle, onnx_model
from tests.factories.repository import Repository

TRUE = (0, 1, 2, 3, 4) * 80


def wrong(every: int) -> list[int]:
    """Grades of which each `every`-th is one too low, where the eye is diseased."""
    return [grade - (index % every == 0 and grade > 0) for index, grade in enumerate(TRUE)]


def graded(predicted: Sequence[int]) -> list[GradedRow]:
    """Photographs graded so, two per patient."""
    return [
        GradedRow(
            image_id=f"Meier-{index}",
            patient_id=f"Meier{index // 2}",
            group=f"patient:Meier{index // 2}",
            grade=true,
            logits=(0.0,) * 5,
            probabilities=tuple(0.96 if each == said else 0.01 for each in range(5)),
            expected_grade=float(said),
            predicted=said,
            predicted_locked=said,
            referable=said >= REFERABLE_FROM,
            referable_probability=said / 4,
            needs_human=False,
            status=Status.SCORED,
        )
        for index, (said, true) in enumerate(zip(predicted, TRUE, strict=True))
    ]


def register_version(
    repository: Repository, seed: int, predicted: Sequence[int], *, split: str = "a" * 64, validation: str = ""
) -> str:
    """Packs and registers a bundle as `dvc repro` does, tests it, and returns its id.

    `validation` is the format that was validated, "." for float32; empty: none.
    """
    bundle = repository.root / "data" / "release"
    shutil.rmtree(bundle, ignore_errors=True)
    make_bundle(bundle, model=onnx_model(seed=seed))
    metadata = read_json(bundle / "metadata.json")
    folder = repository.root / "data" / "validation" / metadata["model"]["candidate"]
    shutil.rmtree(folder, ignore_errors=True)
    if validation:
        (folder / validation).mkdir(parents=True)
        write_graded(folder / validation / "predictions.csv", graded(predicted))
        write_json(folder / validation / "decision.json", metadata["decision"])
    register(bundle)
    with tracked("test"):
        repository.test(rows=graded(predicted), splits_sha256=split)
    return str(metadata["bundle_id"])
