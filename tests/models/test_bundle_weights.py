"""Training that goes on from a finished bundle."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.files import sha256_file
from dr_pipeline.models.factory import Grader, create_grader
from dr_pipeline.models.weights import initialise, write_tensors
from dr_pipeline.params.candidate import Channel, Network
from dr_pipeline.params.training import Loss
from dr_pipeline.schema import BUNDLE_VERSION
from tests.models.networks import lively

MODEL = "mobilenetv3_small_050"
ID = "0123456789abcdef"


def bundle(root: Path, grader: nn.Module, *, prefix: str = "", graph: bytes = b"") -> Path:
    """What `initialise` and `models compare` read of a bundle."""
    (root / "model.onnx").write_bytes(graph)
    path = root / "weights.safetensors"
    write_tensors({f"{prefix}{name}": tensor for name, tensor in grader.state_dict().items()}, path)
    (root / "SHA256SUMS").write_text(
        "".join(f"{sha256_file(one)}  {one.name}\n" for one in (root / "model.onnx", path))
    )
    metadata = {
        "schema_version": BUNDLE_VERSION,
        "bundle_id": ID,
        "model": {"network": {"channels": list(grader.channels)}},
    }
    (root / "metadata.json").write_text(json.dumps(metadata))
    return root


def fresh(*channels: Channel, loss: Loss = "cross_entropy") -> Grader:
    network = Network(channels=channels or ("red", "green", "blue"), norm="own", head="linear")
    return create_grader(MODEL, input_px=64, drop_rate=0.0, drop_path_rate=0.0, network=network, loss=loss)


@pytest.mark.parametrize("prefix", ["", "members.0."])
def test_a_bundles_network_is_taken_with_its_classifier(tmp_path: Path, prefix: str) -> None:
    source, target = lively(), fresh()
    said = initialise(target, model=MODEL, weights=f"bundle:{bundle(tmp_path, source, prefix=prefix)}#{ID}")
    assert said == f"bundle {ID}, classifier included"
    for (name, wanted), found in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        assert torch.equal(wanted, found) or name.endswith("num_batches_tracked"), name


def test_a_classifier_of_another_loss_is_made_anew(tmp_path: Path) -> None:
    source, target = lively(), fresh(loss="corn")
    before = target.backbone.classifier.weight.clone()
    said = initialise(target, model=MODEL, weights=f"bundle:{bundle(tmp_path, source)}")
    assert said.endswith("classifier made anew")
    assert torch.equal(target.backbone.classifier.weight, before)
    assert torch.equal(target.backbone.conv_stem.weight, source.backbone.conv_stem.weight)


def test_planes_are_matched_by_name(tmp_path: Path) -> None:
    three: tuple[Channel, ...] = ("blue", "green", "local_contrast")
    source = lively(network=Network(channels=three, norm="own", head="linear"))
    target = fresh("local_contrast", "blue", "green")
    said = initialise(target, model=MODEL, weights=f"bundle:{bundle(tmp_path, source)}")
    assert "first convolution made for local_contrast, blue, green" in said
    assert torch.equal(target.backbone.conv_stem.weight, source.backbone.conv_stem.weight[:, [2, 0, 1]])


def test_altered_or_missing_weights_and_another_id_are_refused(tmp_path: Path) -> None:
    root = bundle(tmp_path, lively())
    with pytest.raises(ParamsError, match=f"id is {ID}, expected beef"):
        initialise(fresh(), model=MODEL, weights=f"bundle:{root}#beef")
    write_tensors(lively(seed=2).state_dict(), root / "weights.safetensors")
    with pytest.raises(BundleError, match="altered"):
        initialise(fresh(), model=MODEL, weights=f"bundle:{root}")
    (root / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match="missing"):
        initialise(fresh(), model=MODEL, weights=f"bundle:{root}")
    for metadata, said in (
        ({"schema_version": BUNDLE_VERSION, "bundle_id": "x"}, "does not describe"),
        ({"schema_version": 1, "bundle_id": "x"}, "schema_version 1"),
        ([], "schema_version None"),
    ):
        (root / "metadata.json").write_text(json.dumps(metadata))
        with pytest.raises(BundleError, match=said):
            initialise(fresh(), model=MODEL, weights=f"bundle:{root}")
    with pytest.raises(ParamsError, match="no bundle"):
        initialise(fresh(), model=MODEL, weights=f"bundle:{tmp_path / 'nowhere'}")


def test_a_hub_that_cannot_be_reached_says_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError

    target = fresh()
    monkeypatch.setattr("timm.create_model", refused)
    with pytest.raises(ParamsError, match=r"file:PATH.*bundle:PATH.*none.*HF_HOME.*HF_HUB_OFFLINE"):
        initialise(target, model=MODEL, weights="timm")
