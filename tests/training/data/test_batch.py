"""What a step learns from is mixed where the photographs are."""

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from dr_pipeline.training import loop
from dr_pipeline.training.data.batch import Material, Part
from tests.factories.training import CANDIDATE, PARAMS, photographs, section, train

MIXED = section(PARAMS, "mixing", probability=1.0, mixup_alpha=0.4, cutmix_alpha=1.0)


@pytest.mark.parametrize("seed", range(6))  # mixup and CutMix
def test_photographs_on_another_device_are_mixed_there(seed: int) -> None:
    material = Material(photographs(range(8), augmented=False, soft=True), MIXED)
    images, positions = torch.zeros(8, 32, 32, 3, dtype=torch.uint8), torch.arange(8)
    here, there = (material.of(images.to(device), positions, seed=seed) for device in ("cpu", "meta"))
    assert there.images.device.type == "meta"  # no GPU is needed to see that nothing is brought back
    assert (there.images.shape, there.images.dtype) == (images.shape, torch.uint8)
    assert torch.equal(there.targets, here.targets)


def test_the_loop_takes_photographs_to_the_device_before_they_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    to_device, on_device, mixed = fabric.to_device, [], []

    def noting(what: object) -> object:
        on_device.append(to_device(what))
        return on_device[-1]

    class Noting(Material):
        def of(self, images: torch.Tensor, positions: torch.Tensor, *, seed: int) -> Part:
            mixed.append(any(images is one for one in on_device))
            return super().of(images, positions, seed=seed)

    monkeypatch.setattr(fabric, "to_device", noting)
    monkeypatch.setattr(loop, "Material", Noting)
    train(tmp_path, fabric=fabric, params=MIXED, candidate=CANDIDATE.model_copy(update={"epochs": 1}))
    assert mixed == [True] * 5
