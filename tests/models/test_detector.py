"""FCOS on a timm pyramid: its maps and losses, and how what tiles show becomes one list of a canvas."""

from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.models.detector import Detector, detect, detector_from_params
from dr_pipeline.training.lesions.train_detector import lesion_boxes
from tests.factories.lesion_sets import training


@pytest.mark.parametrize(("model", "finest"), [("resnet10t", 2), ("convnext_atto", 4)])
def test_the_head_sees_the_two_finest_maps(model: str, finest: int) -> None:
    network, _ = detector_from_params(training(model=model, decoder_channels=16))
    assert network.min_box_px == 3 * finest
    seen: list[torch.Tensor] = []
    network.network.head.register_forward_hook(lambda _module, inputs, _output: seen.extend(inputs[0]))
    found = network.eval()(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert [maps.shape for maps in seen] == [(1, 16, 64 // finest, 64 // finest), (1, 16, 32 // finest, 32 // finest)]
    assert found[0]["boxes"].shape == (len(found[0]["scores"]), 4)


def test_tiles_without_lesions_have_a_loss_and_gradients_too() -> None:
    network, _ = detector_from_params(training(decoder_channels=16))
    boxes = [torch.zeros(0, 4), torch.tensor([[10.0, 12.0, 16.0, 18.0]])]
    for some in (boxes, boxes[:1] * 2):
        loss = network.train()(torch.zeros(2, 64, 64, 3, dtype=torch.uint8), some)
        loss.backward()
        assert torch.isfinite(loss)
    assert all(torch.isfinite(one.grad).all() for one in network.parameters() if one.grad is not None)


def test_no_pyramid_is_refused() -> None:
    with pytest.raises(ParamsError, match="pyramid"):
        detector_from_params(training(model="vit_tiny_patch16_224"))


class _Dots(nn.Module):
    """Finds what is white in a tile, also a part of a dot; the whole of it is as sure as it is large."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        boxes = [torch.from_numpy(lesion_boxes(tile[..., 0].numpy() // 255, 1)) for tile in images]
        return [{"boxes": one, "scores": (one[:, 2] - one[:, 0]) / 100} for one in boxes]


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_every_dot_of_a_canvas_is_found_once(overlap: float) -> None:
    canvas = np.zeros((200, 200, 3), np.uint8)
    # at the borders of tiles of 64 px, at corners of several, and one outside the retinal disc
    centres = [(x, y) for x in (40, 64, 92, 120, 152) for y in (50, 64, 100, 136, 150)]
    for x, y in [*centres, (6, 6)]:
        cv2.circle(canvas, (x, y), 4, (255, 255, 255), cv2.FILLED)
    found = detect(cast("Detector", _Dots()), canvas, tile_px=64, overlap=overlap)
    assert sorted(map(tuple, (found.centres - 0.5).tolist())) == sorted(centres)
    assert found.scores.tolist() == pytest.approx([0.09] * len(centres))


def test_a_canvas_smaller_than_a_tile_or_without_dots() -> None:
    found = detect(cast("Detector", _Dots()), np.zeros((48, 48, 3), np.uint8), tile_px=64, overlap=0.25)
    assert found.centres.shape == (0, 2)
    assert found.scores.shape == (0,)
