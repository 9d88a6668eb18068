"""Two sets of weights: which tensors differ, and by how much what they compute."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from dr_pipeline.commands import models as command
from dr_pipeline.errors import BundleError, DataError, ParamsError
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.inspect.compare import compare_tensors
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.tables.tensors import TENSORS, TensorStatus
from tests.factories.networks import lively
from tests.models.convert.test_convert_weights import run
from tests.models.weights.test_trained_weights import bundle

MODEL = "mobilenetv3_small_050"


def trained(folder: Path, grader: Grader, *, px: int = 64) -> Path:
    """As `train` writes it."""
    write_tensors(grader.state_dict(), folder / "member-1.safetensors")
    spec = {
        "candidate": "tiny",
        "fold": 0,
        "model": MODEL,
        "input_px": px,
        "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
        "loss": "cross_entropy",
        "pixel_path": PixelPath(64).to_dict(),
        "members": ["member-1.safetensors"],
    }
    (folder / "model.json").write_text(json.dumps(spec))
    return folder


def test_one_changed_tensor_is_found(tmp_path: Path) -> None:
    tensors = dict(lively().backbone.state_dict())
    save_file(tensors, tmp_path / "a.safetensors")
    changed = tensors | {"bn1.bias": tensors["bn1.bias"] + 0.25}
    save_file({f"module.{name}": tensor for name, tensor in changed.items()}, tmp_path / "b.safetensors")
    table = tmp_path / "table.csv"
    words = ("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--out", table)
    outcome = command.run(run(*words, "--model", MODEL, "--photographs", 1))
    assert f"tensors: {len(tensors) - 1} equal, 1 differs" in outcome.headline
    assert "bn1.bias: differs, at most 0.25" in outcome.headline
    assert "embeddings of 1 photographs of noise" in outcome.headline
    (changed,) = (row for row in TENSORS.read(table) if row.status != TensorStatus.EQUAL)
    assert (changed.tensor, changed.max_abs) == ("bn1.bias", pytest.approx(0.25))
    assert "embeddings" not in command.run(run(*words)).headline  # no model, nothing to run


def test_a_partial_file_computes_what_it_computes_and_says_what_is_random(tmp_path: Path) -> None:
    part = {**lively().backbone.state_dict(), "extra.weight": torch.ones(2)}
    del part["conv_stem.weight"]
    save_file(part, tmp_path / "a.safetensors")
    save_file(part, tmp_path / "b.safetensors")
    words = ("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--model", MODEL, "--px", 64)
    state = torch.get_rng_state()
    said = command.run(run(*words, "--photographs", 1)).headline
    listing = "1 tensors missing: conv_stem.weight; 1 tensors not expected: extra.weight"
    for side in "AB":
        assert f"{side}: {listing}; the missing ones have random values, seed 0" in said
    assert "noise, seed 0: at most 0 apart" in said
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_tensors_and_other_shapes_are_told() -> None:
    a = {"x": torch.ones(2), "y": torch.ones(3), "z": torch.ones(1)}
    found = {row.tensor: row for row in compare_tensors(a, {"model.x": torch.ones(2), "y": torch.ones(4), "w": a["z"]})}
    assert {name: row.status for name, row in found.items()} == {
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
    folder = trained(tmp_path / "trained", lively())
    said = command.run(run("compare", folder, graph, "--photographs", 2)).headline
    assert said.startswith("logits of 2 photographs of noise, seed 0: at most ")
    assert float(said.split("at most ")[1].split()[0]) < 1e-4
    (tmp_path / "other").mkdir()
    other = trained(tmp_path / "other", lively(seed=9))
    said = command.run(run("compare", other, graph, "--photographs", 2)).headline
    assert float(said.split("at most ")[1].split()[0]) > 1e-3
    with pytest.raises(ParamsError, match="tensors"):
        command.run(run("compare", folder, graph, "--out", tmp_path / "t.csv"))


def test_a_bundle_is_compared_by_its_tensors_and_its_graph(tmp_path: Path, graph: Path) -> None:
    for name in ("trained", "bundle"):
        (tmp_path / name).mkdir()
    folder = trained(tmp_path / "trained", lively())
    root = bundle(tmp_path / "bundle", lively(), graph=graph.read_bytes())
    said = command.run(run("compare", folder, root, "--photographs", 2)).headline
    assert said.startswith(f"tensors: {len(lively().state_dict())} equal\nlogits of 2 photographs")
    assert float(said.split("at most ")[1].split()[0]) < 1e-4
    bundle(root, Ensemble([lively(), lively(seed=2)]), graph=graph.read_bytes())
    said = command.run(run("compare", folder, root, "--photographs", 2)).headline
    assert said.startswith("B has 2 networks: its first one's tensors")
    with pytest.raises(DataError, match="cannot run"):  # this graph takes two photographs at once
        command.run(run("compare", folder, root, "--photographs", 3))
    (root / "model.onnx").write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx was altered"):
        command.run(run("compare", folder, root))


def test_a_table_is_shown_where_nothing_can_be_run(tmp_path: Path, graph: Path) -> None:
    """First weights beside a trained network or a bundle: another classifier, another input."""
    save_file(dict(lively().backbone.state_dict()), tmp_path / "a.safetensors")
    for name in ("trained", "bundle"):
        (tmp_path / name).mkdir()
    folder = trained(tmp_path / "trained", lively())
    root = bundle(tmp_path / "bundle", lively(), graph=graph.read_bytes())
    words = ("compare", tmp_path / "a.safetensors")
    assert "not compared: A takes 224 px, B 64 px" in command.run(run(*words, folder, "--model", MODEL)).headline
    said = command.run(run(*words, folder, "--model", MODEL, "--px", 64, "--photographs", 1)).headline
    assert "embeddings of 1 photographs" in said
    assert "at most 0 apart" in said
    said = command.run(run(*words, root, "--model", MODEL)).headline
    assert said.startswith("tensors: ")
    assert "outputs not compared: A computes embeddings, B logits" in said
    with pytest.raises(ParamsError, match="A computes embeddings, B logits"):
        command.run(run(*words, graph, "--model", MODEL))


class Ensemble(nn.Module):
    """Members under the names that a bundle has them by."""

    channels = ("red", "green", "blue")

    def __init__(self, members: list[Grader]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    save_file(dict(lively().backbone.state_dict()), tmp_path / "a.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match="graph"):
        command.run(run("compare", tmp_path / "a.safetensors", tmp_path / "model.onnx"))
    with pytest.raises(ParamsError, match="missing"):
        command.run(run("compare", tmp_path / "a.safetensors", tmp_path / "nowhere.safetensors"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParamsError, match=r"holds no model\.json"):
        command.run(run("compare", tmp_path / "a.safetensors", tmp_path / "empty"))
    with pytest.raises(SystemExit):
        run("compare", "a", "b", "--px", 31)
    save_file({"x": torch.from_numpy(np.ones(3, np.float32))}, tmp_path / "b.safetensors")
    with pytest.raises(DataError, match="another architecture"):
        command.run(run("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--model", MODEL))
