"""OutOfFold figures, table, predictions, picture and MLflow facts, of logits made here."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.experiments.arm_table import arm_rows, out_of_fold_rows
from dr_pipeline.experiments.fold_results import read_result, result_key, write_result
from dr_pipeline.experiments.mlflow_view import arm_facts
from dr_pipeline.experiments.nested_folds import nested_folds
from dr_pipeline.experiments.out_of_fold import pool_folds
from dr_pipeline.experiments.plot import plot_experiment
from dr_pipeline.experiments.summary import ArmResult, summarise
from dr_pipeline.files import canonical_json, read_csv
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.reporting.plot_style import png
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.experiment import EXPERIMENT, write_experiment
from dr_pipeline.tables.out_of_fold import OUT_OF_FOLD, write_out_of_fold
from dr_pipeline.training import run_identity as provenance
from tests.factories.experiments import (
    EVALUATION,
    MACHINE,
    WANTED,
    made_experiment,
    made_groups,
    made_report,
    made_results,
    settings_of,
)


def test_a_decision_never_comes_from_the_photographs_it_judges() -> None:
    folds = nested_folds(made_groups(), 3, "salt")
    results = made_results(folds, 0.8)
    one = pool_folds(folds, results, WANTED, seed=1)
    # other answers on an outer fold change that fold's grades alone
    other = [replace(results[0], outer=results[0].outer[:, ::-1].copy()), *results[1:]]
    changed = pool_folds(folds, other, WANTED, seed=1)
    elsewhere = one.folds != 0
    assert np.array_equal(one.decided.probabilities[elsewhere], changed.decided.probabilities[elsewhere])
    assert np.array_equal(one.decided.grade[elsewhere], changed.decided.grade[elsewhere])
    assert not np.array_equal(one.decided.grade, changed.decided.grade)


def test_the_report_pools_the_folds_and_compares_with_the_first() -> None:
    report, results = made_report({"good": 0.4, "poor": 2.0, "timed": None})
    good, poor, timed = report["arms"]
    assert results[0].predictions is not None
    pooled = results[0].predictions
    assert good["figures"]["qwk"]["value"] == quadratic_weighted_kappa(pooled.grades, pooled.decided.grade)
    assert good["figures"]["qwk"]["low"] < good["figures"]["qwk"]["value"] < good["figures"]["qwk"]["high"]
    assert poor["qwk_minus_first"]["high"] < 0
    difference = poor["figures"]["qwk"]["value"] - good["figures"]["qwk"]["value"]
    assert poor["qwk_minus_first"]["value"] == pytest.approx(difference)
    assert "qwk_minus_first" not in good
    assert [one["n"] for one in good["by_fold"]] == [int((pooled.folds == fold).sum()) for fold in range(3)]
    assert "figures" not in timed
    assert (report["configurations_tried"], report["research_use"]) == (2, RESEARCH_USE)
    assert report["data"]["patients"] == "60"
    assert json.loads(canonical_json(report)) == report  # plain values alone: the file says what the report says


def test_cameras_are_compared_with_the_photographs_as_they_are_and_with_the_first_arm() -> None:
    report, results = made_report({"steady": 0.4, "fragile": 1.2}, cameras={"warm": 0.1, "blur": 1.5})
    for arm, result in zip(report["arms"], results, strict=True):
        pooled = result.predictions
        assert pooled is not None
        kappas = {name: quadratic_weighted_kappa(pooled.grades, one.grade) for name, one in pooled.shifted.items()}
        clean = quadratic_weighted_kappa(pooled.grades, pooled.decided.grade)
        shifts = arm["shifts"]
        assert shifts["worst_camera"] == "blur"
        assert {name: figure["value"] for name, figure in shifts["cameras"].items()} == pytest.approx(
            {name: kappa - clean for name, kappa in kappas.items()}
        )
        assert set(shifts["readers"]) == {"as_graded", "border_2_up", "border_2_down"}
        assert min(shifts["scores"].values()) >= 0
    steady, fragile = (arm["shifts"]["mean_minus_first"] for arm in report["arms"])
    assert (steady["value"], steady["low"], steady["high"]) == (0, 0, 0)
    assert fragile["high"] < 0
    rows = arm_rows(report)
    assert [row.worst_camera for row in rows] == ["blur", "blur"]
    assert rows[1].shifted_qwk_minus_first == fragile["value"]
    assert json.loads(canonical_json(report)) == report


def test_unknown_patients_and_networks_from_a_bundle_are_told() -> None:
    report, results = made_report({"a": 0.4}, known=False)
    assert report["data"]["patients"].startswith("unknown")
    settings = settings_of(made_experiment({"a": {"candidate.weights": "bundle:data/release"}}))[0]
    arms = [ArmResult(settings, results[0].throughput, results[0].predictions, results[0].trainings)]
    told = summarise(
        "made",
        made_experiment({"a": {}}),
        arms,
        EVALUATION,
        candidate="lite0",
        num_folds=3,
        configurations_opened=1,
        machine=MACHINE,
    )
    assert "too good" in told["arms"][0]["caution"]
    assert "caution" not in report["arms"][0]


def test_one_row_per_arm_with_what_there_is(tmp_path: Path) -> None:
    report, _ = made_report({"good": 0.4, "poor": 2.0, "timed": None})
    write_experiment(tmp_path / "made.csv", arm_rows(report))
    good, poor, timed = read_csv(tmp_path / "made.csv", EXPERIMENT.columns, version=EXPERIMENT.version)
    assert float(good["qwk"]) > float(poor["qwk"])
    assert (good["qwk_minus_first"], good["folds"], good["epochs"]) == ("", "3", "5")
    assert float(poor["qwk_minus_first_high"]) < 0
    assert len(good["qwk_by_fold"].split()) == 3
    assert (timed["qwk"], timed["training_seconds"], timed["training_images_per_s"]) == ("", "", "6.666666666666667")
    assert timed["throughput_of"] == "noise, 16 at once, auto, without loading; all networks in turns, median of 5"
    assert {row["research_use"] for row in (good, poor, timed)} == {RESEARCH_USE}


def test_predictions_hold_every_photograph_once(tmp_path: Path) -> None:
    _, results = made_report({"good": 0.4})
    pooled = results[0].predictions
    assert pooled is not None
    write_out_of_fold(tmp_path / "made-good.csv", out_of_fold_rows(pooled))
    rows = read_csv(tmp_path / "made-good.csv", OUT_OF_FOLD.columns, version=1)
    assert [row["image_id"] for row in rows] == sorted(row.image_id for row in pooled.rows)
    sums = [sum(float(row[f"p{grade}"]) for grade in range(5)) for row in rows]
    assert sums == pytest.approx([1.0] * len(rows), abs=1e-5)
    again = quadratic_weighted_kappa([int(r["grade"]) for r in rows], [int(r["predicted"]) for r in rows])
    assert again == quadratic_weighted_kappa(pooled.grades, pooled.decided.grade)


def test_pictures_with_and_without_trained_arms() -> None:
    trained = plot_experiment(made_report({"a": 0.4, "b": None})[0])
    timed = plot_experiment(made_report({"a": None, "b": None})[0])
    assert [panel.get_title(loc="left") for panel in trained.axes] == [
        "QWK, outer folds pooled",
        "Photographs/s",
    ]
    assert len(timed.axes) == 1
    assert [label.get_text() for label in timed.axes[0].get_yticklabels()] == ["a", "b"]
    assert png(trained)[:4] == b"\x89PNG"


def test_mlflow_sees_figures_intervals_and_folds() -> None:
    trained, timed = (arm_facts(arm) for arm in made_report({"a": 0.4, "b": None})[0]["arms"])
    names = [one.name for one in trained.metrics]
    assert {"experiment/qwk", "experiment/qwk.low", "experiment/referable_auc"} <= set(names)
    assert sorted(one.step for one in trained.metrics if one.name == "experiment/fold_qwk") == [0, 1, 2]
    assert [one.name for one in timed.metrics] == [
        "experiment/training_images_per_s",
        "experiment/inference_images_per_s",
    ]
    assert trained.params["candidate.learning_rate"] == "0.001"


def test_a_result_comes_back_to_the_bit_under_its_key_only(tmp_path: Path) -> None:
    nested = nested_folds(made_groups(), 3, "salt")[0]
    result = made_results([nested], 0.8, cameras={"blur": 0.5, "warm": 0.1})[0]
    write_result(tmp_path, result, nested.validation, nested.outer, key="k")
    back = read_result(tmp_path, nested.validation, nested.outer, key="k")
    assert back is not None
    assert np.array_equal(back.outer, result.outer)
    assert np.array_equal(back.validation, result.validation)
    assert {name: logits.tolist() for name, logits in back.shifted.items()} == {
        name: logits.tolist() for name, logits in result.shifted.items()
    }
    assert back.facts == result.facts
    assert read_result(tmp_path, nested.validation, nested.outer, key="other") is None
    assert read_result(tmp_path / "none", nested.validation, nested.outer, key="k") is None
    with pytest.raises(DataError, match="other photographs"):
        read_result(tmp_path, nested.validation, nested.outer[1:], key="k")


def test_the_key_hangs_on_values_weights_data_readings_and_division(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    settings = settings_of(made_experiment({"a": {"candidate.weights": f"file:{weights}"}}))[0]

    def key(settings=settings, index="i", arm="none", readings=None, digest="d", shift=0.0):  # type: ignore[no-untyped-def]
        path = {"version": 2, "canvas_px": 64, "arm": arm}
        facts = {"pixel_path": path, "readings": readings or {}, "digest": digest, "camera_shift": shift}
        return result_key(settings, settings.to_dict(), index_sha256=index, **facts)

    first = key()
    other = settings_of(made_experiment({"a": {"candidate.weights": f"file:{weights}"}}), {"training.seed": 3})[0]
    keys = [key(other), key(index="j"), key(arm="green"), key(readings={"x": [1, 2]}), key(digest="e"), key(shift=1.0)]
    weights.write_bytes(b"two")
    assert len({first, key(), *keys}) == 8
    assert first != key()


def test_the_key_hangs_on_every_shard_and_on_the_code_of_this_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "w-1.safetensors"}}))
    (tmp_path / "w-1.safetensors").write_bytes(b"one")
    settings = settings_of(made_experiment({"a": {"candidate.weights": f"file:{tmp_path}"}}))[0]

    def key() -> str:
        return result_key(
            settings, settings.to_dict(), index_sha256="i", pixel_path={}, readings={}, digest="d", camera_shift=0.0
        )

    first = key()
    (tmp_path / "w-1.safetensors").write_bytes(b"two")
    assert key() != first
    asked: list[str] = []
    monkeypatch.setattr(provenance, "code_version", lambda module: asked.append(module) or "other code")
    (tmp_path / "w-1.safetensors").write_bytes(b"one")
    assert key() != first
    assert asked == ["dr_pipeline.experiments.outer_fold"]
