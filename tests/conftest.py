"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with public data that is never committed."""
    folder = Path(os.environ.get("DR_PIPELINE_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder.name} is absent; set DR_PIPELINE_SHARED")
    return folder


@pytest.fixture(scope="session")
def idrid_dir(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "idrid"
    if not folder.is_dir():
        pytest.skip("the IDRiD photographs are absent (shared/data/idrid)")
    return folder


@pytest.fixture(scope="session")
def lite0_weights(shared_dir: Path) -> Path:
    path = shared_dir / "weights" / "tf_efficientnet_lite0.in1k-from-int8.safetensors"
    if not path.is_file():
        pytest.skip("the pretrained EfficientNet-Lite0 is absent (shared/weights)")
    return path
