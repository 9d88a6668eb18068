"""Weights from files: exact, or refused with a reason."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_file
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.initialise import initialise_weights, unpinned_sources
from dr_pipeline.models.weights.trained_weights import load_strict

MODEL = "resnet10t"


def grader(model: str = MODEL) -> Grader:
    return create_grader(model, input_px=32, drop_rate=0.0, drop_path_rate=0.0)


def backbone_file(path: Path, source: Grader) -> Path:
    save_file(dict(source.backbone.state_dict()), path)
    return path


def test_a_backbone_is_loaded_and_its_classifier_left_out(tmp_path: Path) -> None:
    source, target = grader(), grader()
    head = target.backbone.fc.weight.clone()
    line = initialise_weights(target, model=MODEL, weights=f"file:{backbone_file(tmp_path / 'w.safetensors', source)}")
    assert torch.equal(target.backbone.conv1[0].weight, source.backbone.conv1[0].weight)
    assert torch.equal(target.backbone.fc.weight, head)
    assert "w.safetensors" in line
    assert str(tmp_path) not in line


def test_of_a_head_only_the_classifier_is_left_out(tmp_path: Path) -> None:
    source, target = grader("convnext_atto"), grader("convnext_atto")
    torch.nn.init.constant_(source.backbone.head.norm.weight, 7.0)
    before = target.backbone.head.fc.weight.clone()
    path = backbone_file(tmp_path / "w.safetensors", source)
    initialise_weights(target, model="convnext_atto", weights=f"file:{path}")
    assert torch.equal(target.backbone.head.norm.weight, source.backbone.head.norm.weight)
    assert torch.equal(target.backbone.head.fc.weight, before)


def test_a_link_is_read_as_what_it_points_to(tmp_path: Path) -> None:
    source, target = grader(), grader()
    (tmp_path / "weights").symlink_to(backbone_file(tmp_path / "w.safetensors", source))
    line = initialise_weights(target, model=MODEL, weights=f"file:{tmp_path / 'weights'}")
    assert torch.equal(target.backbone.conv1[0].weight, source.backbone.conv1[0].weight)
    assert "w.safetensors" in line


def test_prefixes_of_wrappers_are_taken_off(tmp_path: Path) -> None:
    source, target = grader(), grader()
    path = tmp_path / "w.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in source.backbone.state_dict().items()}, path)
    initialise_weights(target, model=MODEL, weights=f"file:{path}")
    assert torch.equal(target.backbone.conv1[0].weight, source.backbone.conv1[0].weight)


def test_the_hash_is_checked(tmp_path: Path) -> None:
    path = backbone_file(tmp_path / "w.safetensors", grader())
    initialise_weights(grader(), model=MODEL, weights=f"file:{path}#{sha256_file(path)}")
    initialise_weights(grader(), model=MODEL, weights=f"file:{path}#sha256:{sha256_file(path).upper()}")
    with pytest.raises(ParamsError, match="sha256"):
        initialise_weights(grader(), model=MODEL, weights=f"file:{path}#{'0' * 64}")


def test_a_path_may_contain_the_sign_of_a_hash(tmp_path: Path) -> None:
    path = backbone_file(tmp_path / "weights#2.safetensors", grader())
    initialise_weights(grader(), model=MODEL, weights=f"file:{path}")
    initialise_weights(grader(), model=MODEL, weights=f"file:{path}#{sha256_file(path)}")


def test_what_names_no_hash_or_id_is_not_pinned() -> None:
    sources = ("none", "timm", "file:a", "file:a#", "file:a#0f", "bundle:b", "bundle:b#0f")
    assert unpinned_sources(*sources) == ["file:a", "file:a#", "bundle:b"]


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = backbone_file(tmp_path / "w.safetensors", grader("mobilenetv3_small_050"))
    with pytest.raises(DataError, match="another architecture"):
        initialise_weights(grader(), model=MODEL, weights=f"file:{path}")


def test_a_tensor_with_nan_is_named(tmp_path: Path) -> None:
    source = grader()
    source.backbone.state_dict()["conv1.0.weight"][0] = float("nan")
    with pytest.raises(DataError, match=r"conv1\.0\.weight"):
        initialise_weights(grader(), model=MODEL, weights=f"file:{backbone_file(tmp_path / 'w.safetensors', source)}")


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(DataError, match="refused"):
        initialise_weights(grader(), model=MODEL, weights=f"file:{path}")
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match=r"refused|not a weights file"):
        initialise_weights(grader(), model=MODEL, weights=f"file:{path}")


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64])
def test_a_broken_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError):
        initialise_weights(grader(), model=MODEL, weights=f"file:{path}")


def test_a_missing_file_says_what_to_do() -> None:
    with pytest.raises(ParamsError, match="--weights"):
        initialise_weights(grader(), model=MODEL, weights="file:nowhere.safetensors")


def test_what_was_written_is_loaded_exactly(tmp_path: Path) -> None:
    source, target = grader(), grader()
    write_tensors(source.state_dict(), tmp_path / "m.safetensors")
    load_strict(target, tmp_path / "m.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )
    with pytest.raises(DataError, match="another network"):
        load_strict(grader("mobilenetv3_small_050"), tmp_path / "m.safetensors")


def test_the_shared_pretrained_weights_fit(lite0_weights: Path) -> None:
    target = grader("tf_efficientnet_lite0")
    initialise_weights(target, model="tf_efficientnet_lite0", weights=f"file:{lite0_weights}")
    published = load_file(lite0_weights)
    assert torch.equal(target.backbone.conv_stem.weight, published["conv_stem.weight"])
