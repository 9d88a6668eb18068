"""A timm encoder under MONAI's blocks: shapes, normalisation, weights of a grader, and what is no pyramid."""

import copy
from pathlib import Path

import pytest
import torch

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.multi_task import MultiTaskNetwork
from dr_pipeline.models.segmenter import create_segmenter
from dr_pipeline.models.segmenter_files import SegmenterSpec, read_network, read_spec, write_network, write_spec
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from tests.factories.lesion_sets import KINDS, training


@pytest.mark.parametrize(
    ("model", "finest"), [("tf_efficientnet_lite0", 2), ("resnet10t", 2), ("convnext_atto", 4), ("regnetx_002", 2)]
)
def test_any_pyramid_gives_a_logit_per_kind_and_pixel(model: str, finest: int) -> None:
    network, source = create_segmenter(model, num_kinds=3, decoder_channels=32, tile_px=64)
    logits = network.eval()(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert logits.shape == (2, 3, 64, 96)
    assert (network.finest_stride, network.stride) == (finest, 32)
    assert source == "none (random initialisation)"
    assert torch.sigmoid(logits).max() < 0.5  # it starts from "no lesion"


def test_the_encoder_sees_normalised_pixels_and_gives_every_feature_map() -> None:
    network, _ = create_segmenter("resnet10t", num_kinds=1, decoder_channels=16, tile_px=64)
    seen: list[torch.Tensor] = []
    network.encoder.conv1.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network.eval()(torch.full((1, 64, 64, 3), 255, dtype=torch.uint8))
    expected = (1 - torch.tensor((0.485, 0.456, 0.406))) / torch.tensor((0.229, 0.224, 0.225))
    torch.testing.assert_close(seen[0][0, :, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_the_encoder_starts_from_a_graders_weights(tmp_path: Path) -> None:
    grader = create_grader("resnet10t", input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    path = tmp_path / "grader.safetensors"
    write_tensors({f"backbone.{name}": tensor for name, tensor in grader.backbone.state_dict().items()}, path)
    network, source = create_segmenter(
        "resnet10t", num_kinds=1, decoder_channels=16, tile_px=64, weights=f"file:{path}"
    )
    assert source.startswith("file grader.safetensors, sha256 ")
    theirs = grader.backbone.state_dict()
    for name, tensor in network.encoder.state_dict().items():
        torch.testing.assert_close(tensor, theirs[name])


@pytest.mark.parametrize(
    ("model", "tile_px", "message"),
    [
        ("vit_tiny_patch16_224", 64, "no pyramid of feature maps"),
        ("resnet10t", 72, "tiles of 72 px cannot be halved.*(\n.*)*multiple of 32"),
        ("resnet1000", 64, "resnet1000"),
    ],
)
def test_what_cannot_outline_is_refused(model: str, tile_px: int, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        create_segmenter(model, num_kinds=1, decoder_channels=16, tile_px=tile_px)


def test_networks_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    spec = SegmenterSpec(KINDS, training(), folds=2, canvas_px=128, um_per_px=9.5, index_sha256="ab")
    network, _ = create_segmenter("resnet10t", num_kinds=2, decoder_channels=16, tile_px=64)
    write_spec(tmp_path, spec)
    write_network(tmp_path, "fold-0", network.state_dict())
    assert read_spec(tmp_path) == spec
    pixels = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    torch.testing.assert_close(read_network(tmp_path, "fold-0", spec)(pixels), network.eval()(pixels))


def test_missing_and_other_weights_are_refused(tmp_path: Path) -> None:
    spec = SegmenterSpec(KINDS, training(), folds=2, canvas_px=128, um_per_px=9.5, index_sha256="ab")
    with pytest.raises(DataError, match="a file is missing"):
        read_spec(tmp_path)
    (tmp_path / "model.json").write_text('{"schema_version": 1}')
    with pytest.raises(DataError, match="does not describe networks for lesions"):
        read_spec(tmp_path)
    with pytest.raises(DataError, match="a network is missing"):
        read_network(tmp_path, "all", spec)
    other, _ = create_segmenter("resnet10t", num_kinds=3, decoder_channels=16, tile_px=64)
    write_network(tmp_path, "all", other.state_dict())
    with pytest.raises(DataError, match="not the weights"):
        read_network(tmp_path, "all", spec)
    weights = tmp_path / "all.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(
        DataError, match=r"not a weights file(.|\n)*all.safetensors(.|\n)*run `dvc repro train-lesions`"
    ):
        read_network(tmp_path, "all", spec)


def test_a_description_with_a_value_out_of_range_is_refused(tmp_path: Path) -> None:
    write_spec(tmp_path, SegmenterSpec(KINDS, training(), folds=2, canvas_px=128, um_per_px=9.5, index_sha256="ab"))
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"overlap": 0.25', '"overlap": 0.95'))
    with pytest.raises(DataError, match=r"overlap(.|\n)*model.json(.|\n)*run `dvc repro train-lesions`"):
        read_spec(tmp_path)


@pytest.mark.parametrize("model", ["test_efficientnet", "resnet10t", "convnext_atto"])
def test_a_grader_shares_the_encoders_parameters_but_not_its_statistics(model: str) -> None:
    segmenter, _ = create_segmenter(model, num_kinds=1, decoder_channels=16, tile_px=64)
    grader = create_grader(model, input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    names = list(grader.state_dict())
    network = copy.deepcopy(MultiTaskNetwork(segmenter, grader)).double()  # as an average, and on another device
    ours = dict(network.segmenter.encoder.named_parameters())
    theirs = dict(network.grader.backbone.named_parameters())
    assert all(theirs[name] is parameter for name, parameter in ours.items())
    assert list(network.grader.state_dict()) == names
    buffers = dict(network.grader.backbone.named_buffers())
    assert not any(buffers[name] is buffer for name, buffer in network.segmenter.encoder.named_buffers())
    pixels = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    logits, outputs = network(pixels, pixels)
    (logits.sum() + outputs.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network(pixels)[1] is None
