"""Shortcuts: planted ones are found, chance is not, and patients are never on both sides."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.preprocessing import TargetEncoder

from dr_pipeline.audit.inputs import AuditInputs, join_inputs
from dr_pipeline.audit.shortcut_table import shortcut_table
from dr_pipeline.audit.shortcuts import (
    Shortcut,
    measure_shortcuts,
    one_grade_findings,
    predictors_of,
    shortcut_findings,
)
from dr_pipeline.tables.manifest import ManifestRow
from tests.factories.audit_tables import index_row, intake, manifest_row

LIMIT = 0.65


def cohort(
    *,
    patients: int,
    seed: int,
    share_by_camera: Mapping[str, float],
    radius_of: Mapping[bool, float] | None = None,
) -> AuditInputs:
    """Patients with one to three similar photographs, each on one camera; prevalence by camera."""
    rng = np.random.default_rng(seed)
    manifest, index = [], {}
    for patient in range(patients):
        camera = str(rng.choice(list(share_by_camera)))
        sick = rng.random() < share_by_camera[camera]
        radius = 20.0 if radius_of is None else radius_of[sick] + rng.normal(0, 0.2)
        for number in range(rng.integers(1, 4)):
            name = f"{patient:04d}_{number}"
            grade = str(rng.integers(2, 5) if sick else rng.integers(0, 2))
            manifest.append(manifest_row(name, grade=grade, patient_id=f"p{patient}", camera=camera))
            index[name] = index_row(name, disc_radius=f"{radius:.2f}")
    return join_inputs(manifest, index, intake())


def measured(inputs: AuditInputs) -> dict[str, Shortcut]:
    found = measure_shortcuts(shortcut_table(inputs, {}, ()))
    assert [shortcut.predictor for shortcut in found] == [
        "site", "camera", "format_and_size", "disc_radius", "eye", "all",
    ]  # fmt: skip
    return {shortcut.predictor: shortcut for shortcut in found}


def test_a_camera_that_predicts_disease_is_found() -> None:
    shortcuts = measured(cohort(patients=300, seed=1, share_by_camera={"ward": 0.9, "street": 0.2, "fair": 0.3}))
    assert shortcuts["camera"].auc.value > 0.75
    assert shortcuts["camera"].auc.low > LIMIT
    assert shortcuts["camera"].auc.low < shortcuts["camera"].auc.value < shortcuts["camera"].auc.high
    found = shortcut_findings(shortcuts.values(), LIMIT)
    assert [finding.detail["predictor"] for finding in found] == ["camera", "all"]
    assert shortcuts["site"].to_dict()["auc"]["value"] is None  # one value predicts nothing


def test_framing_that_predicts_disease_is_found() -> None:
    inputs = cohort(patients=200, seed=2, share_by_camera={"one": 0.5}, radius_of={True: 22.0, False: 20.0})
    found = shortcut_findings(measured(inputs).values(), LIMIT)
    assert [finding.detail["predictor"] for finding in found] == ["disc_radius", "all"]


def test_chance_is_no_finding_and_its_area_is_within_the_null() -> None:
    """Twenty cameras for sixty patients, independent of disease: in-sample means would reach an area over 0.8."""
    exceeded = 0
    for seed in range(12):
        cameras = dict.fromkeys([f"camera {n}" for n in range(20)], 0.4)
        shortcuts = measured(cohort(patients=60, seed=100 + seed, share_by_camera=cameras))
        exceeded += shortcuts["camera"].auc.value > shortcuts["camera"].null
        assert not shortcut_findings(shortcuts.values(), LIMIT)
    assert exceeded <= 2


def test_a_patients_photographs_never_predict_each_other() -> None:
    """One site per patient predicts perfectly in sample and not at all out of fold."""
    inputs = cohort(patients=120, seed=3, share_by_camera={"one": 0.5})
    rows = [replace(row, site=row.patient_id) for row in inputs.rows.values()]
    shortcuts = measured(join_inputs(rows, inputs.index, intake()))
    assert shortcuts["site"].auc.value == pytest.approx(0.5)


def test_folds_hold_whole_patients_and_their_duplicates_and_do_not_move() -> None:
    inputs = cohort(patients=60, seed=4, share_by_camera={"a": 0.5, "b": 0.5})
    clusters = {"0000_0": "0000_0", "0007_0": "0000_0"}
    table = shortcut_table(inputs, clusters, ())
    block = dict(zip(table.image_ids, table.blocks, strict=True))
    assert block["0000_0"] == block["0007_0"]
    assert len(table.block_names) == 59
    camera = predictors_of(table)["camera"]
    fold = dict(zip(table.image_ids, camera.cells // camera.totals.shape[1], strict=True))
    assert {len({fold[name] for name in block if block[name] == one}) for one in set(table.blocks)} == {1}
    fewer = shortcut_table(inputs, clusters, {name for name in block if name.startswith("001")})
    camera = predictors_of(fewer)["camera"]
    again = dict(zip(fewer.image_ids, camera.cells // camera.totals.shape[1], strict=True))
    assert all(fold[name] == again[name] for name in again)


def test_too_few_of_a_kind_are_not_measured() -> None:
    shortcuts = measured(cohort(patients=300, seed=5, share_by_camera={"ward": 0.0, "street": 0.02}))
    assert all(math.isnan(shortcut.auc.value) for shortcut in shortcuts.values())
    assert "fewer than 20" in shortcuts["camera"].to_dict()["auc"]["note"]
    assert not shortcut_findings(shortcuts.values(), LIMIT)


def test_results_do_not_depend_on_the_order_of_rows() -> None:
    inputs = cohort(patients=80, seed=6, share_by_camera={"a": 0.7, "b": 0.3})
    turned = join_inputs(list(reversed(inputs.rows.values())), inputs.index, intake())
    assert measured(inputs)["all"] == measured(turned)["all"]


def test_a_camera_with_one_grade_only_is_found_from_twenty_photographs() -> None:
    def rows(camera: str, count: int, grade: str) -> list[ManifestRow]:
        return [manifest_row(f"{camera}{n}", grade=grade, camera=camera) for n in range(count)]

    manifest = [*rows("ward", 20, "4"), *rows("few", 19, "0"), *rows("both", 30, "0"), *rows("", 40, "1")]
    manifest[-41] = replace(manifest[-41], grade=2)
    inputs = join_inputs(manifest, {row.image_id: index_row(row.image_id) for row in manifest}, intake())
    found = one_grade_findings(inputs, list(inputs.rows))
    assert [finding.detail for finding in found] == [{"predictor": "camera", "value": "ward", "grade": 4, "n": 20}]
    assert not one_grade_findings(inputs, [name for name in inputs.rows if name.startswith("ward")])


def test_log_odds_are_those_of_scikit_learns_target_encoder() -> None:
    """The same smoothing; our prior is smoothed too, so that it is never 0 or 1."""
    table = shortcut_table(cohort(patients=300, seed=7, share_by_camera={"a": 0.7, "b": 0.3, "c": 0.5}), {}, ())
    camera = np.array(table.categories["camera"]).reshape(-1, 1)
    predictor = predictors_of(table)["camera"]
    odds, fold = predictor.scores(table.referable), predictor.cells // predictor.totals.shape[1]
    for held_out in np.unique(fold):
        outside = fold != held_out
        encoder = TargetEncoder(smooth=10.0, target_type="binary").fit(camera[outside], table.referable[outside])
        mean = encoder.transform(camera[~outside]).ravel()
        expected = logit(mean) - logit(table.referable[outside].mean())
        assert odds[~outside] == pytest.approx(expected, abs=5e-3)
