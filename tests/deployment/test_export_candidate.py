"""From trained members to a bundle: one graph, honest validation, weights to go on from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.metadata import PACKAGES, build_metadata
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.verify import verify_weights
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.deployment.ensemble_members import read_members
from dr_pipeline.deployment.selection import Limits, SelectionCandidate, Verdict, select
from dr_pipeline.errors import DataError, GateError, ParamsError
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import read_csv, read_json, sha256_file, write_json
from dr_pipeline.models.ensemble import Ensemble, Weighted
from dr_pipeline.models.grader import grader_from_spec
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.scoring.latency import measure
from dr_pipeline.tables.out_of_fold import aligned_logits, read_out_of_fold_logits
from tests.factories.bundles import FIGURE, GRADABILITY, LATENCY, PIXEL_PATH
from tests.factories.trained_folds import (
    MODEL,
    SINGLE,
    VIEWS,
    ensemble,
    exported,
    pixels,
    prepare,
    validated,
    write_data,
    write_fold,
)

pytestmark = pytest.mark.slow


def test_one_network_is_exported_as_it_is(single: Path) -> None:
    described = read_json(single / "export" / "export.json")
    assert described["validation_model"] == "model.onnx"
    assert described["ensemble"]["validated_by"] == "the model as it ships"
    assert described["ensemble"]["members"] == [{"fold": 0, "seed": 20}]
    assert sorted(path.name for path in (single / "export").iterdir()) == [
        "export.json",
        "model.onnx",
        "weights.safetensors",
    ]
    trained = load_file(single / "models" / "0" / "member-0.safetensors")
    kept = load_file(single / "export" / "weights.safetensors")
    assert kept.keys() == trained.keys()
    assert all(torch.equal(kept[name], trained[name]) for name in trained)


def test_validation_reports_both_eyes(single: Path) -> None:
    report = read_json(single / "validation.json")["validation"]["tiny"]
    assert report["two_eye_fusion"]["n"] == 20
    assert report["graded_by"] == "the model as it ships"


def test_a_fitted_ensemble_is_one_graph_with_its_weights(weighted: Path) -> None:
    described = read_json(weighted / "export" / "export.json")
    single_parameters = sum(
        tensor.numel() for tensor in grader_from_spec(read_json(weighted / "models" / "0" / "model.json")).parameters()
    )
    assert described["parameters"] == 2 * single_parameters
    assert described["parity"]["changed_grades"] == 0
    weights = described["ensemble"]["fitted"]["weights"]
    assert len(weights) == 6
    assert sum(weights) == pytest.approx(1)
    members = read_members(weighted / "models", ensemble(seeds=2), fold=0, folds=(0,))
    graders = [member.grader for member in members.all]
    opinions = Ensemble(graders, VIEWS, Weighted.uniform(6)).eval().member_log_probs(torch.from_numpy(pixels())).exp()  # type: ignore[arg-type]
    expected = (opinions * torch.tensor(weights).view(1, -1, 1)).sum(1)
    shipped = OnnxModel(weighted / "export" / "model.onnx", threads=1).logits(pixels())
    assert np.allclose(np.exp(shipped), expected.detach().numpy(), atol=1e-4)
    kept = load_file(weighted / "export" / "weights.safetensors")
    assert {name.split(".")[1] for name in kept} == {"0", "1"}


def test_validation_of_a_fitted_ensemble_is_by_weights_fitted_on_others(
    weighted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weighted)
    report = validated(weighted)
    assert report["fitted"].startswith("combination, calibration")
    rows = read_csv(weighted / "validation" / "predictions.csv")
    table = read_out_of_fold_logits(weighted / "export" / "unseen.csv")
    unseen = np.array(aligned_logits(table, [row["image_id"] for row in rows], where="unseen.csv"))
    tabled = np.array([[float(row[f"logit{grade}"]) for grade in range(5)] for row in rows])
    assert unseen.shape == tabled.shape == (20, 5)
    assert np.allclose(unseen, tabled, atol=1e-5)
    store, model = CanvasStore(Path("canvases")), OnnxModel(weighted / "export" / "model.onnx", threads=1)
    shipped = canvas_logits(model.logits, store, [row["image_id"] for row in rows], model.input_px)
    assert not np.allclose(shipped, tabled, atol=1e-5)
    with pytest.raises(DataError, match="no logits of 'other'"):
        aligned_logits(table, ["other"], where="unseen.csv")


def test_an_ensemble_of_folds_is_validated_by_members_that_did_not_see_the_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path, folds=(0, 1), combined=SINGLE | {"folds": True})
    for fold in (0, 1, 7):  # 7: of a former params.yaml
        write_fold(tmp_path, fold)
    described = exported(tmp_path)
    assert described["ensemble"]["members"] == [{"fold": 0, "seed": 20}, {"fold": 1, "seed": 20}]
    assert "fold-0 members only" in described["ensemble"]["validated_by"]
    own = grader_from_spec(read_json(tmp_path / "models" / "0" / "model.json")).eval()
    own.load_state_dict(load_file(tmp_path / "models" / "0" / "member-0.safetensors"))
    with torch.inference_mode():
        expected = own(torch.from_numpy(pixels())).numpy()
    alone = OnnxModel(tmp_path / "export" / described["validation_model"], threads=1).logits(pixels())
    whole = OnnxModel(tmp_path / "export" / "model.onnx", threads=1).logits(pixels())
    assert np.allclose(alone, expected, atol=1e-4)
    assert not np.allclose(whole, expected, atol=1e-2)
    report = validated(tmp_path)
    rows = read_csv(tmp_path / "validation" / "predictions.csv")
    assert "measured on test" in report["graded_by"]
    assert len(rows) == 20


def test_an_ensemble_over_the_budget_is_not_selected(single: Path, weighted: Path, tmp_path: Path) -> None:
    """The latency is taken of the exported file, so that networks and views are paid for."""
    (tmp_path / "photograph").touch()
    median = {}
    for name, root in (("one", single), ("six", weighted)):
        model = OnnxModel(root / "export" / "model.onnx", threads=1)

        def grade(_path: Path, lap: Any, model: OnnxModel = model) -> None:
            model.logits(pixels(1))
            lap("network")

        median[name] = measure(grade, [tmp_path / "photograph"], warmup=5, count=41).p50_ms
    assert median["six"] > 2 * median["one"]
    entrants = [
        SelectionCandidate(name, "efficientnet", FIGURE | {"low": low}, FIGURE, median[name], "m", 1.0, None)
        for name, low in (("one", 0.5), ("six", 0.9))
    ]
    limits = Limits(("efficientnet",), latency_budget_ms=1.5 * median["one"], referable_sensitivity_floor=0.5)
    chosen = select(entrants, limits, lambda _first, _second: FIGURE)
    assert chosen.chosen == "one"
    assert chosen.rows[1].verdict == Verdict.UNFIT
    assert "over the budget" in chosen.rows[1].reasons[0]


@pytest.mark.parametrize("name", ["single", "weighted"])
def test_a_bundle_is_a_start_for_another_clinics_training(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Export → bundle → `weights: bundle:PATH#id` → the first member's very logits."""
    root = request.getfixturevalue(name)
    bundle_id = pack(root, tmp_path / "release")
    verify_weights(tmp_path / "release")
    grader = grader_from_spec(read_json(root / "models" / "0" / "model.json"))
    said = initialise_weights(grader, model=MODEL, weights=f"bundle:{tmp_path / 'release'}#{bundle_id}")
    assert bundle_id in said
    seeds = len(read_json(root / "models" / "0" / "model.json")["seeds"])
    trained = read_members(root / "models", ensemble(seeds=seeds), fold=0, folds=(0,)).all[0].grader
    with torch.inference_mode():
        assert torch.equal(grader.eval()(torch.from_numpy(pixels())), trained(torch.from_numpy(pixels())))
    with pytest.raises(ParamsError):
        initialise_weights(grader, model=MODEL, weights=f"bundle:{tmp_path / 'release'}#{'0' * 16}")


def pack(root: Path, out: Path) -> str:
    """Packs an export as the stage `package` does, and gives the bundle's id."""
    described = read_json(root / "export" / "export.json")
    model = (root / "export" / "model.onnx").read_bytes()
    decision = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.5, 0.1, {"split": "validation"})
    metadata = build_metadata(
        model_sha256=described["onnx_sha256"],
        pixel_path=PIXEL_PATH,
        decision=decision,
        gradability=GRADABILITY,
        export=described,
        validation={"qwk": FIGURE},
        latency=LATENCY,
        versions=dict.fromkeys(PACKAGES, "1"),
    )
    golden = make_golden(OnnxModel(model, threads=1), decision)
    weights = (root / "export" / "weights.safetensors").read_bytes()
    write_bundle(out, model=model, weights=weights, metadata=metadata, golden=golden)
    read = read_bundle(out, threads=1)
    assert read.metadata["model"]["ensemble"] == described["ensemble"]
    card = (out / "MODEL_CARD.md").read_text()
    assert ("| ensemble |" in card) == (described["ensemble"]["views"] != ["identity"])
    assert sha256_file(out / "weights.safetensors") == described["weights_sha256"]
    return read.bundle_id


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"folds": True}, "one fold is trained"),
        ({"folds": True, "combine": "stacked"}, "no network was trained on"),
        ({"combine": "weighted"}, "one network and one view"),
    ],
)
def test_an_ensemble_that_cannot_be_made_is_refused(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    prepare(tmp_path, **asked)
    with pytest.raises(ParamsError, match=words):
        exported(tmp_path)


def test_views_are_added_without_training_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    assert exported(tmp_path)["ensemble"]["views"] == ["identity"]
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["candidates"]["tiny"]["ensemble"]["views"] = VIEWS
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert exported(tmp_path)["ensemble"]["views"] == VIEWS
    with pytest.raises(GateError, match=r"1 network\(s\) were trained, ensemble.seeds is 2"):
        read_members(tmp_path / "models", ensemble(seeds=2), fold=0, folds=(0,))


def test_folds_that_were_trained_differently_do_not_go_together(tmp_path: Path) -> None:
    write_data(tmp_path, folds=(0, 1), combined=SINGLE | {"folds": True})
    write_fold(tmp_path, 0)
    write_fold(tmp_path, 1, splits_sha256="0" * 64)
    with pytest.raises(GateError, match="another splits_sha256"):
        read_members(tmp_path / "models", ensemble(folds=True), fold=0, folds=(0, 1))


def test_networks_of_another_fold_are_not_judged_by_what_they_learnt_from(tmp_path: Path) -> None:
    prepare(tmp_path, (0, 1))
    (tmp_path / "models" / "0").rename(tmp_path / "models" / "kept")
    (tmp_path / "models" / "1").rename(tmp_path / "models" / "0")
    with pytest.raises(GateError, match="another fold"):
        read_members(tmp_path / "models", ensemble(), fold=0, folds=(0,))


def test_a_damaged_model_json_is_named(tmp_path: Path) -> None:
    prepare(tmp_path)
    path = tmp_path / "models" / "0" / "model.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "seeds"})
    with pytest.raises(DataError, match="lacks 'seeds'"):
        read_members(tmp_path / "models", ensemble(), fold=0, folds=(0,))
    write_json(path, {"model": MODEL})
    with pytest.raises(DataError, match="lacks 'candidate'"):
        read_members(tmp_path / "models", ensemble(), fold=0, folds=(0,))
    (tmp_path / "models" / "0" / "model.json").unlink()
    with pytest.raises(DataError, match="missing"):
        read_members(tmp_path / "models", ensemble(), fold=0, folds=(0,))
