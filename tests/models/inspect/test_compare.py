"""Two sets of weights: which tensors differ, and by how much their outputs."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from dr_pipeline.errors import BundleError, DataError, ParamsError
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.inspect.compare import compare_tensors
from dr_pipeline.tables.tensors import TENSORS, TensorStatus
from tests.factories.networks import MODEL, bundle_folder, random_grader, run_models, trained_folder

pytestmark = pytest.mark.slow


def test_one_changed_tensor_is_found(tmp_path: Path) -> None:
    tensors = dict(random_grader().backbone.state_dict())
    save_file(tensors, tmp_path / "a.safetensors")
    changed = tensors | {"bn1.bias": tensors["bn1.bias"] + 0.25}
    save_file({f"module.{name}": tensor for name, tensor in changed.items()}, tmp_path / "b.safetensors")
    table = tmp_path / "table.csv"
    words = ("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--out", table)
    outcome = run_models(*words, "--model", MODEL, "--photographs", 1)
    assert f"tensors: {len(tensors) - 1} equal, 1 differs" in outcome.headline
    assert "bn1.bias: differs, at most 0.25" in outcome.headline
    assert "embeddings of 1 photographs of noise" in outcome.headline
    (changed,) = (row for row in TENSORS.read(table) if row.status != TensorStatus.EQUAL)
    assert (changed.tensor, changed.max_abs) == ("bn1.bias", pytest.approx(0.25))
    assert "embeddings" not in run_models(*words).headline  # no model, nothing to run


def test_a_partial_file_is_run_and_its_random_tensors_are_reported(tmp_path: Path) -> None:
    part = {**random_grader().backbone.state_dict(), "extra.weight": torch.ones(2)}
    del part["conv_stem.weight"]
    save_file(part, tmp_path / "a.safetensors")
    save_file(part, tmp_path / "b.safetensors")
    words = ("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--model", MODEL, "--px", 64)
    state = torch.get_rng_state()
    headline = run_models(*words, "--photographs", 1).headline
    listing = "1 tensors missing: conv_stem.weight; 1 tensors not expected: extra.weight"
    for side in "AB":
        assert f"{side}: {listing}; the missing ones have random values, seed 0" in headline
    assert "noise, seed 0: at most 0 apart" in headline
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_tensors_and_other_shapes_are_reported() -> None:
    a = {"x": torch.ones(2), "y": torch.ones(3), "z": torch.ones(1)}
    rows = {row.tensor: row for row in compare_tensors(a, {"model.x": torch.ones(2), "y": torch.ones(4), "w": a["z"]})}
    assert {name: row.status for name, row in rows.items()} == {
        "x": TensorStatus.EQUAL,
        "y": TensorStatus.SHAPE,
        "z": TensorStatus.ONLY_A,
        "w": TensorStatus.ONLY_B,
    }
    with pytest.raises(DataError, match="two tensors of A"):
        compare_tensors({"x": a["x"], "module.x": a["x"]}, {})


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=5), st.floats(0.1, 3))
@settings(max_examples=30, deadline=None)
def test_a_scaled_tensor_has_cosine_one_and_its_factor_as_relative_difference(numbers: list[float], by: float) -> None:
    a = torch.tensor(numbers, dtype=torch.float64)
    (row,) = compare_tensors({"w": a}, {"w": a * by})
    assert row.max_abs == pytest.approx(abs(by - 1) * float(a.abs().max()))
    if float(a.norm()) > 1e-6:
        assert row.cosine == pytest.approx(1.0)
        assert row.relative == pytest.approx(abs(by - 1))


def test_a_tensor_of_zeros_has_no_angle() -> None:
    (row,) = compare_tensors({"w": torch.zeros(2)}, {"w": torch.ones(2)})
    assert row.cosine is None
    assert row.relative == math.inf


def test_what_train_wrote_computes_what_its_graph_computes(tmp_path: Path, graph: Path) -> None:
    (tmp_path / "trained").mkdir()
    folder = trained_folder(tmp_path / "trained", random_grader())
    headline = run_models("compare", folder, graph, "--photographs", 2).headline
    assert headline.startswith("logits of 2 photographs of noise, seed 0: at most ")
    assert float(headline.split("at most ")[1].split()[0]) < 1e-4
    (tmp_path / "other").mkdir()
    other = trained_folder(tmp_path / "other", random_grader(seed=9))
    headline = run_models("compare", other, graph, "--photographs", 2).headline
    assert float(headline.split("at most ")[1].split()[0]) > 1e-3
    with pytest.raises(ParamsError, match="tensors"):
        run_models("compare", folder, graph, "--out", tmp_path / "t.csv")


def test_a_bundle_is_compared_by_its_tensors_and_its_graph(tmp_path: Path, graph: Path) -> None:
    for name in ("trained", "bundle"):
        (tmp_path / name).mkdir()
    folder = trained_folder(tmp_path / "trained", random_grader())
    root = bundle_folder(tmp_path / "bundle", random_grader(), graph=graph.read_bytes())
    headline = run_models("compare", folder, root, "--photographs", 2).headline
    assert headline.startswith(f"tensors: {len(random_grader().state_dict())} equal\nlogits of 2 photographs")
    assert float(headline.split("at most ")[1].split()[0]) < 1e-4
    bundle_folder(root, Ensemble([random_grader(), random_grader(seed=2)]), graph=graph.read_bytes())
    headline = run_models("compare", folder, root, "--photographs", 2).headline
    assert headline.startswith("B has 2 networks: its first one's tensors")
    with pytest.raises(DataError, match="cannot run"):  # this graph takes two photographs at once
        run_models("compare", folder, root, "--photographs", 3)
    (root / "model.onnx").write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx was altered"):
        run_models("compare", folder, root)


def test_a_table_is_shown_where_nothing_can_be_run(tmp_path: Path, graph: Path) -> None:
    """First weights beside a trained network or a bundle: another classifier, another input."""
    save_file(dict(random_grader().backbone.state_dict()), tmp_path / "a.safetensors")
    for name in ("trained", "bundle"):
        (tmp_path / name).mkdir()
    folder = trained_folder(tmp_path / "trained", random_grader())
    root = bundle_folder(tmp_path / "bundle", random_grader(), graph=graph.read_bytes())
    words = ("compare", tmp_path / "a.safetensors")
    assert "not compared: A takes 224 px, B 64 px" in run_models(*words, folder, "--model", MODEL).headline
    headline = run_models(*words, folder, "--model", MODEL, "--px", 64, "--photographs", 1).headline
    assert "embeddings of 1 photographs" in headline
    assert "at most 0 apart" in headline
    headline = run_models(*words, root, "--model", MODEL).headline
    assert headline.startswith("tensors: ")
    assert "outputs not compared: A computes embeddings, B logits" in headline
    with pytest.raises(ParamsError, match="A computes embeddings, B logits"):
        run_models(*words, graph, "--model", MODEL)


class Ensemble(nn.Module):
    """Members under the names that a bundle has them by."""

    channels = ("red", "green", "blue")

    def __init__(self, members: list[Grader]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    save_file(dict(random_grader().backbone.state_dict()), tmp_path / "a.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match="graph"):
        run_models("compare", tmp_path / "a.safetensors", tmp_path / "model.onnx")
    with pytest.raises(ParamsError, match="missing"):
        run_models("compare", tmp_path / "a.safetensors", tmp_path / "nowhere.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParamsError, match=r"holds no model\.json"):
        run_models("compare", tmp_path / "a.safetensors", tmp_path / "empty")
    with pytest.raises(SystemExit):
        run_models("compare", "a", "b", "--px", 31)
    save_file({"x": torch.from_numpy(np.ones(3, np.float32))}, tmp_path / "b.safetensors")
    with pytest.raises(DataError, match="another architecture"):
        run_models("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--model", MODEL)
