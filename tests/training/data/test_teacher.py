"""The teacher: the bundle in params.yaml, on canvases of its own pixel path."""

from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.errors import BundleError, ParamsError
from dr_pipeline.fundus.pixel_path import PixelPath, model_input
from dr_pipeline.training.data.teacher import teacher_logits
from tests.factories.bundles import CANVAS_PX, make_bundle

IDS = [str(number) for number in range(11)]  # more than one batch


class Store:
    """Stands for a CanvasStore: noise canvases, each its own."""

    def __init__(self, pixel_path: PixelPath) -> None:
        self.pixel_path = pixel_path

    def read(self, image_id: str) -> np.ndarray:
        side = self.pixel_path.canvas_px
        return np.random.default_rng(int(image_id)).integers(0, 256, (side, side, 3), dtype=np.uint8)


STORE = Store(PixelPath(CANVAS_PX))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("teacher") / "bundle")


def logits_of(teacher: str, store: Store = STORE) -> np.ndarray:
    return teacher_logits(teacher, store, IDS, threads=1).numpy()  # type: ignore[arg-type]


def test_the_softmax_equals_the_bundles_probabilities(bundle: Path) -> None:
    read = read_bundle(bundle, threads=1)
    logits = logits_of(f"bundle:{bundle}")
    assert logits.shape == (11, 5)
    assert logits.dtype == np.float32
    for image_id, row in zip(IDS, logits, strict=True):
        stated = read.decision.apply(read.model.logits(model_input(STORE.read(image_id), read.model.input_px)[None]))
        assert np.allclose(np.exp(row) / np.exp(row).sum(), stated.probabilities[0], atol=1e-5)
    assert not np.allclose(logits[0], logits[1])


def test_the_temperature_of_the_bundle_applies(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    read = read_bundle(bundle, threads=1)
    warm = replace(read, decision=replace(read.decision, temperature=4.0))
    plain = logits_of(f"bundle:{bundle}")
    monkeypatch.setattr("dr_pipeline.training.data.teacher.read_bundle", lambda *_, **__: warm)
    assert np.allclose(logits_of(f"bundle:{bundle}"), plain * read.decision.temperature / 4.0)


def test_another_id_is_refused(bundle: Path) -> None:
    right = read_bundle(bundle, threads=1).bundle_id
    assert np.array_equal(logits_of(f"bundle:{bundle}#{right}"), logits_of(f"bundle:{bundle}"))
    with pytest.raises(ParamsError, match=f"the id {right}, not 0123") as caught:
        logits_of(f"bundle:{bundle}#0123")
    assert "distillation.teacher" in caught.value.where


@pytest.mark.parametrize("other", [PixelPath(CANVAS_PX * 2), PixelPath(CANVAS_PX, "clahe")])
def test_another_pixel_path_is_refused(bundle: Path, other: PixelPath) -> None:
    with pytest.raises(ParamsError, match="pixel path"):
        logits_of(f"bundle:{bundle}", Store(other))


@pytest.mark.parametrize("teacher", ["none", "bundle:", "bundle:#12", "file:x"])
def test_a_text_that_names_no_bundle_is_refused(teacher: str) -> None:
    with pytest.raises(ParamsError, match="names no bundle"):
        logits_of(teacher)


def test_a_bundle_that_is_missing_or_altered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        logits_of(f"bundle:{tmp_path / 'absent'}")
    altered = make_bundle(tmp_path / "altered")
    (altered / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="altered"):
        logits_of(f"bundle:{altered}")
