"""Training that goes on from a finished bundle."""

import json
from pathlib import Path

import pytest
import torch

from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.candidate import Channel, Network
from dr_pipeline.schema import BUNDLE_VERSION
from tests.factories.networks import BUNDLE_ID, MODEL, bundle_folder, random_grader


def fresh(*channels: Channel, loss: str = "cross_entropy") -> Grader:
    network = Network(channels=channels or ("red", "green", "blue"), norm="own", head="linear")
    return create_grader(MODEL, input_px=64, drop_rate=0.0, drop_path_rate=0.0, network=network, loss=loss)


@pytest.mark.parametrize("prefix", ["", "members.0."])
def test_a_bundles_network_is_taken_with_its_classifier(tmp_path: Path, prefix: str) -> None:
    source, target = random_grader(), fresh()
    line = initialise_weights(
        target, model=MODEL, weights=f"bundle:{bundle_folder(tmp_path, source, prefix=prefix)}#{BUNDLE_ID}"
    )
    assert line == f"bundle {BUNDLE_ID}, classifier included"
    for (name, expected), loaded in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        assert torch.equal(expected, loaded) or name.endswith("num_batches_tracked"), name


def test_a_classifier_of_another_loss_is_reinitialised(tmp_path: Path) -> None:
    source, target = random_grader(), fresh(loss="corn")
    before = target.backbone.classifier.weight.clone()
    line = initialise_weights(target, model=MODEL, weights=f"bundle:{bundle_folder(tmp_path, source)}")
    assert line.endswith("classifier reinitialised")
    assert torch.equal(target.backbone.classifier.weight, before)
    assert torch.equal(target.backbone.conv_stem.weight, source.backbone.conv_stem.weight)


def test_planes_are_matched_by_name(tmp_path: Path) -> None:
    three: tuple[Channel, ...] = ("blue", "green", "local_contrast")
    source = random_grader(network=Network(channels=three, norm="own", head="linear"))
    target = fresh("local_contrast", "blue", "green")
    line = initialise_weights(target, model=MODEL, weights=f"bundle:{bundle_folder(tmp_path, source)}")
    assert "first convolution made for local_contrast, blue, green" in line
    assert torch.equal(target.backbone.conv_stem.weight, source.backbone.conv_stem.weight[:, [2, 0, 1]])


def test_altered_or_missing_weights_and_another_id_are_refused(tmp_path: Path) -> None:
    root = bundle_folder(tmp_path, random_grader())
    with pytest.raises(ParamsError, match=f"id is {BUNDLE_ID}, expected beef"):
        initialise_weights(fresh(), model=MODEL, weights=f"bundle:{root}#beef")
    write_tensors(random_grader(seed=2).state_dict(), root / "weights.safetensors")
    with pytest.raises(BundleError, match="altered"):
        initialise_weights(fresh(), model=MODEL, weights=f"bundle:{root}")
    (root / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match="missing"):
        initialise_weights(fresh(), model=MODEL, weights=f"bundle:{root}")
    for metadata, message in (
        ({"schema_version": BUNDLE_VERSION, "bundle_id": "x"}, "does not describe"),
        ({"schema_version": 1, "bundle_id": "x"}, "schema_version 1"),
        ([], "schema_version None"),
    ):
        (root / "metadata.json").write_text(json.dumps(metadata))
        with pytest.raises(BundleError, match=message):
            initialise_weights(fresh(), model=MODEL, weights=f"bundle:{root}")
    with pytest.raises(ParamsError, match="no bundle"):
        initialise_weights(fresh(), model=MODEL, weights=f"bundle:{tmp_path / 'nowhere'}")


# One architecture; timm's default tag was trained with ImageNet's statistics, the other with 0.5 for all.
DEFAULT, HALVES = "efficientnet_b0", "efficientnet_b0.ra4_e3600_r224_in1k"


def test_a_bundle_of_another_normalisation_is_refused_and_its_model_named(tmp_path: Path) -> None:
    source, target = (create_grader(one, input_px=64, drop_rate=0.0, drop_path_rate=0.0) for one in (HALVES, DEFAULT))
    before = target.backbone.conv_stem.weight.clone()
    with pytest.raises(ParamsError) as error:
        initialise_weights(target, model=DEFAULT, weights=f"bundle:{bundle_folder(tmp_path, source, model=HALVES)}")
    assert error.value.what == (
        f"the bundle's network {HALVES} was trained with mean 0.5/0.5/0.5, std 0.5/0.5/0.5; "
        f"{DEFAULT} takes mean 0.485/0.456/0.406, std 0.229/0.224/0.225"
    )
    assert error.value.todo == f"set model: {HALVES} in params.yaml"
    assert torch.equal(target.backbone.conv_stem.weight, before)


def test_another_tag_of_the_same_normalisation_is_taken(tmp_path: Path) -> None:
    tagged = "mobilenetv3_small_050.lamb_in1k"
    target = create_grader(tagged, input_px=64, drop_rate=0.0, drop_path_rate=0.0)
    line = initialise_weights(target, model=tagged, weights=f"bundle:{bundle_folder(tmp_path, random_grader())}")
    assert line.endswith("classifier included")


def test_a_hub_that_cannot_be_reached_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError

    target = fresh()
    monkeypatch.setattr("timm.create_model", refused)
    with pytest.raises(ParamsError, match=r"file:PATH.*bundle:PATH.*none.*HF_HOME.*HF_HUB_OFFLINE"):
        initialise_weights(target, model=MODEL, weights="timm")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("disk is full\nmore"), "OSError: disk is full;"),
        (RuntimeError(), "RuntimeError;"),
        (
            ConnectionError(
                "Cannot reach https://user:secret@hub.clinic.example/timm/x: offline mode (token hf_secret123)"
            ),
            "Cannot reach …: offline mode (token …)",
        ),
        (
            OSError(
                "HTTPSConnectionPool(host='hub.clinic.example', port=443): Max retries exceeded "
                "(Failed to resolve 'hub.clinic.example' ([Errno -2] Name or service not known))"
            ),
            "Max retries exceeded (Failed to resolve '…'",
        ),
        (OSError("x" * 999), "x" * 160 + "…"),
    ],
)
def test_the_hubs_cause_is_reported_without_addresses_and_tokens(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    target = fresh()
    monkeypatch.setattr("timm.create_model", refused)
    with pytest.raises(ParamsError) as raised:
        initialise_weights(target, model=MODEL, weights="timm")
    assert message in f"{raised.value.what};"
    for word in ("secret", "clinic", "x" * 161, "more"):
        assert word not in raised.value.what


def test_a_name_without_published_weights_is_refused_without_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = fresh()
    monkeypatch.setattr("timm.create_model", None)  # not called
    with pytest.raises(ParamsError, match="publishes no weights for 'coatnet_pico_rw_224'") as error:
        initialise_weights(target, model="coatnet_pico_rw_224", weights="timm")
    assert "coatnet_nano_rw_224.sw_in1k" in error.value.todo
    assert "bundle:PATH" in error.value.todo
