"""`recalibrate --adapt-batch-norm`: other statistics, the same weights and decision, and a child that says so."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dr_pipeline import cli
from dr_pipeline.bundle.golden import make_golden
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.bundle.write import write_bundle
from dr_pipeline.deployment.adapt_bundle import MIN_PHOTOGRAPHS, adapt_bundle
from dr_pipeline.deployment.formats.onnx_graph import export_onnx
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, read_tensors, write_tensors
from tests.factories.bundles import DECISION, ENSEMBLE, metadata_of, photograph
from tests.factories.networks import random_grader

pytestmark = pytest.mark.slow
NUM = MIN_PHOTOGRAPHS + 3
MODEL = "test_efficientnet"  # timm's own for tests
PX = 32
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt")
    grader = random_grader(MODEL, px=PX)
    export_onnx(grader, input_px=PX, path=folder / "model.onnx")
    write_tensors(grader.state_dict(), folder / "weights.safetensors")
    model = (folder / "model.onnx").read_bytes()
    metadata = metadata_of(model)
    metadata["model"] |= {"model": MODEL, "input_px": PX}
    write_bundle(
        folder / "release",
        model=model,
        weights=(folder / "weights.safetensors").read_bytes(),
        metadata=metadata,
        golden=make_golden(OnnxModel(model, threads=1), DECISION),
    )
    return folder / "release"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for number in range(NUM):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    return folder


def test_the_child_has_other_statistics_the_same_weights_and_says_that_nobody_validated_it(
    bundle: Path, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = tmp_path / "child"
    arguments = ["recalibrate", str(bundle), "--photographs", str(site), "--adapt-batch-norm", "--out", str(child)]
    assert cli.main(arguments) == 0
    assert "nobody knows whether these grades are better" in capsys.readouterr().out
    again = adapt_bundle(bundle, site, tmp_path / "again", site="").child
    parent, read = read_bundle(bundle, threads=1), read_bundle(child, threads=1)
    assert read.bundle_id != parent.bundle_id
    assert (read.decision, read.gradability) == (parent.decision, parent.gradability)
    adaptation = read.metadata["adaptation"]
    assert (adaptation["parent"], adaptation["used"], adaptation["photographs"]) == (parent.bundle_id, NUM, NUM + 1)
    assert "not validated" in read.metadata["description"]
    before, after = (read_tensors(checkpoint_files(root / "weights.safetensors")) for root in (bundle, child))
    for name, tensor in before.items():
        same = torch.equal(tensor, after[name])
        assert same != name.endswith(STATISTICS), name
    assert cli.main(["verify", str(child)]) == 0
    # the same photographs give the same child
    assert read.bundle_id == again.bundle_id
    assert np.array_equal(*(one.model.logits(np.zeros((1, PX, PX, 3), np.uint8)) for one in (read, again)))


def test_too_few_photographs_a_child_and_an_ensemble_are_refused(bundle: Path, site: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.jpg").write_bytes(photograph(0))
    with pytest.raises(DataError, match="1 of 1 photographs are gradable"):
        adapt_bundle(bundle, few, tmp_path / "out", site="")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(DataError, match="something here already"):
        adapt_bundle(bundle, site, tmp_path / "full", site="")
    parent = read_bundle(bundle, threads=1)
    metadata = json.loads(json.dumps(parent.metadata))
    metadata["model"]["ensemble"] = ENSEMBLE | {"views": ["identity", "mirror"]}
    write_bundle(
        tmp_path / "views",
        model=(bundle / "model.onnx").read_bytes(),
        weights=(bundle / "weights.safetensors").read_bytes(),
        metadata=metadata,
        golden=make_golden(parent.model, parent.decision),
    )
    with pytest.raises(BundleError, match="one network on one view"):
        adapt_bundle(tmp_path / "views", site, tmp_path / "out", site="")


@pytest.mark.parametrize("extra", [["--labels", "x.csv"], ["--class-shares", "x.json"], []])
def test_options_that_do_not_go_together(extra: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = [] if not extra else ["--out", str(tmp_path / "child")]
    assert cli.main(["recalibrate", "b", "--photographs", "p", "--adapt-batch-norm", *extra, *out]) == 2
    assert "--adapt-batch-norm goes with --out" in capsys.readouterr().err
