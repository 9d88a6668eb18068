"""The weights of the packages name what is on photographs, through timm's own transform and with their own classifier.

Photographs that installed packages bring: two of scikit-learn's, one of matplotlib's (the one by which TensorFlow's
examples are tested). The flower is a dahlia, for which ImageNet has no class; Lite0 and Lite1 take it for a daisy,
Lite2 for a honeycomb.
"""

import pytest
import timm
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo, create_transform, resolve_data_config

from dr_pipeline.models.grader import normalisation
from dr_pipeline.models.weights.checkpoint_files import read_tensors
from dr_pipeline.models.weights.efficientnet_pytorch import rename_efficientnet_pytorch
from tests.factories.packages import known_weights

pytestmark = pytest.mark.slow

EXPECTED = {"temple": "palace", "admiral": "military uniform", "flower": "daisy"}


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return {
        "temple": Image.fromarray(load_sample_image("china.jpg")),
        "flower": Image.fromarray(load_sample_image("flower.jpg")),
        "admiral": Image.open(get_sample_data("grace_hopper.jpg")).convert("RGB"),
    }


def first_five(network: torch.nn.Module, transform, picture: Image.Image) -> list[str]:
    with torch.inference_mode():
        classes = network(transform(picture)[None])[0].topk(5).indices.tolist()
    return [ImageNetInfo().index_to_description(index) for index in classes]


@pytest.mark.parametrize(
    ("model", "recognised"),
    [
        ("tf_efficientnet_lite0", ("temple", "admiral", "flower")),
        ("tf_efficientnet_lite1", ("temple", "admiral", "flower")),
        ("tf_efficientnet_lite2", ("temple", "admiral")),
    ],
)
def test_a_packages_network_recognises_photographs(
    model: str, recognised: tuple[str, ...], pictures: dict[str, Image.Image]
) -> None:
    network = timm.create_model(model).eval()
    tensors = rename_efficientnet_pytorch(read_tensors((known_weights(model).path,)), network.state_dict())
    network.load_state_dict(tensors)
    config = resolve_data_config({}, model=network)
    assert (config["mean"], config["std"]) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    norm = normalisation(model)
    assert (norm.mean, norm.std) == (config["mean"], config["std"])  # what a grader applies
    transform = create_transform(**config)
    for name in recognised:
        assert EXPECTED[name] in first_five(network, transform, pictures[name]), name
