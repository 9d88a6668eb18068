"""What an experiment writes: its table, and each arm's out-of-fold predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dr_pipeline.experiments.out_of_fold import Pooled
from dr_pipeline.files import write_csv
from dr_pipeline.schema import GRADES, RESEARCH_USE

TABLE_VERSION = 2
_REACH = ("value", "low", "high")
_FIGURES = ("qwk", "referable_auc", "accuracy")
TABLE_COLUMNS = (
    "schema_version",
    "arm",
    *(f"{name}{'' if part == 'value' else '_' + part}" for name in _FIGURES for part in _REACH),
    *(f"qwk_minus_first{'' if part == 'value' else '_' + part}" for part in _REACH),
    "n",
    "groups",
    "folds",
    "qwk_by_fold",  # one figure per outer fold, separated by blanks
    "epochs",
    "input_px",
    "parameters",
    "training_seconds",  # of all folds
    "training_images_per_s",
    "inference_images_per_s",
    "throughput_of",  # how both speeds were measured
    "device",
    "research_use",
)
PREDICTIONS_VERSION = 1
OUT_OF_FOLD_COLUMNS = (
    "schema_version",
    "image_id",
    "patient_id",
    "group",
    "grade",
    "fold",  # the outer one: neither network nor decision has seen the photograph
    *(f"logit{grade}" for grade in GRADES),
    *(f"p{grade}" for grade in GRADES),  # calibrated on the fold's inner validation part
    "expected_grade",
    "referable_probability",
    "predicted",
)


def table_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per arm; what an arm that was only timed has no figure of is empty."""
    return [_row(arm, report) for arm in report["arms"]]


def _row(arm: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TABLE_COLUMNS)
    speed, candidate = arm["throughput"], arm["settings"]["candidate"]
    row |= {
        "schema_version": TABLE_VERSION,
        "arm": arm["arm"],
        "input_px": candidate["input_px"],
        "parameters": speed["parameters"],
        "training_images_per_s": speed["training_images_per_s"],
        "inference_images_per_s": speed["inference_images_per_s"],
        "throughput_of": _throughput_of(speed),
        "device": speed["device"],
        "research_use": RESEARCH_USE,
    }
    if not arm["trained"]:
        return row
    for name in _FIGURES:
        row |= _cells(name, arm["figures"][name])
    if "qwk_minus_first" in arm:
        row |= _cells("qwk_minus_first", arm["qwk_minus_first"])
    return row | {
        "n": arm["figures"]["n"],
        "groups": arm["figures"]["groups"],
        "folds": report["folds"],
        "qwk_by_fold": " ".join("undefined" if one["qwk"] is None else f"{one['qwk']:.3f}" for one in arm["by_fold"]),
        "epochs": candidate["epochs"],
        "training_seconds": arm["seconds"],
    }


def _throughput_of(speed: Mapping[str, Any]) -> str:
    return (
        f"noise, {speed['photographs_at_once']} at once, {speed['precision']}, without loading; all networks in turns, "
        f"median of {speed['turns']}"
    )


def _cells(name: str, figure: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        f"{name}{'' if part == 'value' else '_' + part}": None if figure[part] is None else f"{figure[part]:.4f}"
        for part in _REACH
    }


def write_out_of_fold(path: Path, pooled: Pooled) -> None:
    """Writes one row per photograph, by image_id."""
    decided = pooled.decided
    table = []
    for index, row in enumerate(pooled.rows):
        record: dict[str, Any] = {
            "schema_version": PREDICTIONS_VERSION,
            "image_id": row.image_id,
            "patient_id": row.patient_id,
            "group": row.group,
            "grade": row.grade,
            "fold": int(pooled.folds[index]),
            "expected_grade": f"{decided.expected_grade[index]:.6f}",
            "referable_probability": f"{decided.referable_probability[index]:.6f}",
            "predicted": int(decided.grade[index]),
        }
        for grade in GRADES:
            record[f"logit{grade}"] = f"{pooled.logits[index, grade]:.6f}"
            record[f"p{grade}"] = f"{decided.probabilities[index, grade]:.6f}"
        table.append(record)
    write_csv(path, OUT_OF_FOLD_COLUMNS, sorted(table, key=lambda record: str(record["image_id"])))
