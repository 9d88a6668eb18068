"""One exported graph for all tests of this room: an export takes seconds."""

from pathlib import Path

import pytest
import torch

from tests.factories.networks import random_grader, random_images


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`random_grader()` as ONNX; the exporter folds its batch normalisation into the convolutions."""
    path = tmp_path_factory.mktemp("graph") / "w.onnx"
    example = (random_images(),)
    torch.onnx.export(random_grader(), example, path, opset_version=20, dynamo=True, external_data=False, verbose=False)
    return path
