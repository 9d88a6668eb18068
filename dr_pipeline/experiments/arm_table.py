"""The rows of an experiment's table, and of each arm's out-of-fold predictions."""

from collections.abc import Mapping
from typing import Any

from dr_pipeline.experiments.out_of_fold import OutOfFold
from dr_pipeline.tables.experiment import ArmRow, SiteRow
from dr_pipeline.tables.out_of_fold import OutOfFoldRow

_FIGURES = ("qwk", "referable_auc", "accuracy")
_SITE_FIGURES = (*_FIGURES, "macro_auc", "macro_auc_one_vs_one", "macro_f1")
_COUNTS = ("training_photographs", "validation_photographs", "n", "groups")


def arm_rows(report: Mapping[str, Any]) -> list[ArmRow]:
    """One row per arm of a report; an arm that was only timed has no figures."""
    return [_arm_row(arm, report) for arm in report["arms"]]


def site_rows(report: Mapping[str, Any]) -> list[SiteRow]:
    """One row per trained arm and site; none where folds are not sites."""
    return [
        SiteRow(
            arm=arm["arm"],
            protocol=report["protocol"],
            site=site["site"],
            **{name: site[name] for name in _COUNTS},
            **{key: value for name in _SITE_FIGURES for key, value in _estimate(name, site[name]).items()},
        )
        for arm in report["arms"]
        for site in arm.get("by_site", ())
    ]


def _arm_row(arm: Mapping[str, Any], report: Mapping[str, Any]) -> ArmRow:
    speed, candidate = arm["throughput"], arm["settings"]["candidate"]
    figures: dict[str, Any] = {}
    if arm["trained"]:
        for name in _FIGURES:
            figures |= _estimate(name, arm["figures"][name])
        if "qwk_minus_first" in arm:
            figures |= _estimate("qwk_minus_first", arm["qwk_minus_first"])
        if "shifts" in arm:
            shifts = arm["shifts"]
            figures |= _estimate("shifted_qwk_minus_first", shifts["mean_minus_first"]) | {
                "camera_shift": report["camera_shift"],
                "worst_camera": shifts["worst_camera"],
                "worst_camera_change": shifts["cameras"][shifts["worst_camera"]]["value"],
            }
        figures |= {
            "n": arm["figures"]["n"],
            "groups": arm["figures"]["groups"],
            "folds": report["folds"],
            "qwk_by_fold": " ".join(_fold_qwk(fold["qwk"]) for fold in arm["by_fold"]),
            "epochs": candidate["epochs"],
            "training_seconds": arm["seconds"],
        }
    return ArmRow(
        arm=arm["arm"],
        input_px=candidate["input_px"],
        parameters=speed["parameters"],
        training_images_per_s=speed["training_images_per_s"],
        inference_images_per_s=speed["inference_images_per_s"],
        throughput_of=(
            f"noise, {speed['photographs_at_once']} at once, {speed['precision']}, without loading; all networks in "
            f"turns, median of {speed['turns']}"
        ),
        device=speed["device"],
        **figures,
    )


def _fold_qwk(qwk: float | None) -> str:
    return "undefined" if qwk is None else f"{qwk:.3f}"


def _estimate(name: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figure["value"], f"{name}_low": figure["low"], f"{name}_high": figure["high"]}


def out_of_fold_rows(predictions: OutOfFold) -> list[OutOfFoldRow]:
    """One row per photograph, sorted by image_id."""
    decided = predictions.decided
    rows = [
        OutOfFoldRow(
            image_id=row.image_id,
            patient_id=row.patient_id,
            group=row.group,
            grade=row.grade,
            fold=int(predictions.folds[index]),
            logits=tuple(predictions.logits[index].tolist()),
            probabilities=tuple(decided.probabilities[index].tolist()),
            expected_grade=float(decided.expected_grade[index]),
            referable_probability=float(decided.referable_probability[index]),
            predicted=int(decided.grade[index]),
        )
        for index, row in enumerate(predictions.rows)
    ]
    return sorted(rows, key=lambda row: row.image_id)
