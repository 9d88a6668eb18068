"""Experiments without training: groups, folds and logits that know the grade more or less well."""

import io
import itertools
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.experiments.definition import Arm, Experiment
from dr_pipeline.experiments.fold_results import FoldResult
from dr_pipeline.experiments.nested_folds import NestedFold, nested_folds
from dr_pipeline.experiments.out_of_fold import pool_folds
from dr_pipeline.experiments.settings import Settings, resolve_settings
from dr_pipeline.experiments.summary import ArmResult, summarise
from dr_pipeline.files import add_to_tar, write_json
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.params.params_file import load_section, read_document
from dr_pipeline.splitting.groups import Group, Photograph, group_photographs
from dr_pipeline.tables.canvas_index import CANVAS_INDEX
from dr_pipeline.tables.manifest import MANIFEST
from dr_pipeline.tables.readings import READINGS
from dr_pipeline.tables.splits import SPLITS, SplitRow
from tests.factories import REPOSITORY
from tests.factories.bundles import encode
from tests.factories.csv_files import write_csv

WANTED = OperatingPoint(target_referable_sensitivity=0.9, human_review_share=0.1)
EVALUATION = load_section(REPOSITORY / "params.yaml", "evaluation", Evaluation).model_copy(
    update={"bootstrap_replicates": 200}
)
MACHINE = {"fingerprint": "f" * 16, "cpu": "made"}


def made_groups(num_patients: int = 60, *, known: bool = True) -> list[Group]:
    """Two photographs of each patient, or of no known one; every tenth patient shares a picture with the next."""
    photographs = [
        Photograph(
            image_id=f"{patient:03}-{eye}",
            patient_id=f"P{patient}" if known else "",
            duplicate_cluster=f"C{patient // 10}" if eye == "left" and patient % 10 < 2 else "",
            grade=(patient + (eye == "left")) % 5,
            eye=eye,
        )
        for patient in range(num_patients)
        for eye in ("left", "right")
    ]
    return group_photographs(photographs)


def made_logits(rows: tuple[SplitRow, ...], noise: float, seed: int) -> NDArray[np.float32]:
    grades = np.array([row.grade for row in rows])[:, None]
    drawn = np.random.default_rng(seed).normal(size=(len(rows), 1))
    return (-((np.arange(5) - grades - noise * drawn) ** 2)).astype(np.float32)


def made_results(
    folds: list[NestedFold], noise: float, seed: int = 0, cameras: Mapping[str, float] = MappingProxyType({})
) -> list[FoldResult]:
    """Logits of each fold; through each camera with more noise."""
    return [
        FoldResult(
            made_logits(nested.validation, noise, seed + nested.fold),
            made_logits(nested.outer, noise, seed + 100 + nested.fold),
            {"seconds": 10.0, "configuration": "c", "epochs": 5},
            {name: made_logits(nested.outer, noise + more, seed + 200 + nested.fold) for name, more in cameras.items()},
        )
        for nested in folds
    ]


def made_experiment(arms: Mapping[str, Mapping[str, Any]], *, timed: tuple[str, ...] = ()) -> Experiment:
    return Experiment(
        question="Which?",
        folds=3,
        changes={"candidate.epochs": 5},
        arms=tuple(Arm(name=name, changes=dict(to), throughput_only=name in timed) for name, to in arms.items()),
    )


def settings_of(
    experiment: Experiment, asked: Mapping[str, Any] | None = None, *, all_: bool = False
) -> list[Settings]:
    return resolve_settings(read_document(REPOSITORY / "params.yaml"), "lite0", experiment, asked or {}, train_all=all_)


def made_report(
    noises: Mapping[str, float | None],
    *,
    known: bool = True,
    num_folds: int = 3,
    cameras: Mapping[str, float] = MappingProxyType({}),
) -> tuple[dict[str, Any], list[ArmResult]]:
    """The report of arms of different noise; None: only timed."""
    arms = {name: {"candidate.learning_rate": 0.001 * (1 + index)} for index, name in enumerate(noises)}
    experiment = made_experiment(arms, timed=tuple(name for name, noise in noises.items() if noise is None))
    folds = nested_folds(made_groups(known=known), num_folds, "salt")
    results = []
    for index, settings in enumerate(settings_of(experiment)):
        noise = noises[settings.name]
        made = [] if noise is None else made_results(folds, noise, cameras=cameras)
        speed = {
            "training_images_per_s": 20.0 / (1 + index),
            "inference_images_per_s": 61.0 / (1 + index),
            "parameters": 3_400_000,
            "photographs_at_once": 16,
            "precision": "auto",
            "turns": 5,
            "device": "CPU, 1 threads",
        }
        pooled = pool_folds(folds, made, WANTED, seed=1) if made else None
        results.append(ArmResult(settings, speed, pooled, tuple(one.facts for one in made)))
    report = summarise(
        "made",
        experiment,
        results,
        EVALUATION,
        candidate="lite0",
        num_folds=num_folds,
        configurations_opened=len(results),
        machine=MACHINE,
    )
    return report, results


def write_photographs(
    folder: Path, *, num_patients: int, canvases: Mapping[str, NDArray[np.uint8]] | None = None
) -> None:
    """Canvases whose colour follows the grade, or given ones, with the tables that stages and experiments read."""
    rng = np.random.default_rng(0)
    index, audited, splits, tar_bytes = [], [], [], io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for patient, eye in itertools.product(range(num_patients), ("left", "right")):
            image_id, grade = f"{patient:03}-{eye}", patient % 5
            colour = np.clip(40 * grade + 40 + 15 * rng.normal(size=3), 0, 255)
            plain = np.broadcast_to(colour, (64, 64, 3)).astype(np.uint8)
            canvas = (canvases or {}).get(image_id, plain)
            add_to_tar(tar, f"{image_id}.png", encode(canvas, ".png"))
            known = {"image_id": image_id, "patient_id": f"P{patient}", "eye": eye, "grade": grade}
            index.append(
                dict.fromkeys(CANVAS_INDEX.columns, "")
                | {
                    "schema_version": CANVAS_INDEX.version,
                    "image_id": image_id,
                    "shard": "shard-00000.tar",
                    "status": "scored",
                }
            )
            audited.append(
                dict.fromkeys(MANIFEST.columns, "")
                | known
                | {"schema_version": MANIFEST.version, "excluded": 0, "role": "all"}
            )
            split = {"group": f"patient:P{patient}", "split": "development", "fold": patient // 5 % 3}
            splits.append(dict.fromkeys(SPLITS.columns, "") | known | split | {"schema_version": 2})
    (folder / "canvases").mkdir(parents=True)
    (folder / "canvases" / "shard-00000.tar").write_bytes(tar_bytes.getvalue())
    write_csv(folder / "canvases" / "index.csv", CANVAS_INDEX.columns, index)
    path = PixelPath(64)
    write_json(folder / "canvases" / "pixel_path.json", path.to_dict() | {"fingerprint": path.fingerprint})
    write_csv(folder / "audited.csv", MANIFEST.columns, audited)
    write_csv(folder / "splits.csv", SPLITS.columns, splits)
    write_csv(folder / "readings.csv", READINGS.columns, [])
