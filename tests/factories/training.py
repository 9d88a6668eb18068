"""What several tests train: canvases whose brightness is the grade, a small network, a short schedule."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.losses import loss_class
from dr_pipeline.models.losses.loss import Head
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.tables.history import EpochRow
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.canvas_dataset import GradedCanvases
from dr_pipeline.training.loop import FitOptions, FitResult, fit
from dr_pipeline.training.trainer import TrainedNetwork, TrainingData, train_network
from tests.factories import REPOSITORY

_PARAMS_FILE = REPOSITORY / "params.yaml"
_DEFAULT = load_section(_PARAMS_FILE, "training", Training)
# the grades differ by brightness
PARAMS = _DEFAULT.model_copy(
    update={
        "augmentation": _DEFAULT.augmentation.model_copy(update={"brightness": 0.0, "contrast": 0.0, "camera": 0.0}),
        "objective": _DEFAULT.objective.model_copy(update={"loss": "cross_entropy"}),
    }
)
CANDIDATE = load_section(_PARAMS_FILE, "candidates.lite0", Candidate).model_copy(
    update={
        "model": "resnet10t", "weights": "none", "input_px": 32, "epochs": 4, "batch_photographs": 8,
        "learning_rate": 0.03, "drop_rate": 0.2,
    }
)  # fmt: skip


class Store:
    """Canvases whose brightness is the grade."""

    pixel_path = PixelPath(canvas_px=32, enhancement="none")

    def read(self, image_id: str) -> np.ndarray:
        grade = int(image_id) % 5
        noise = np.random.default_rng(int(image_id)).integers(0, 20, (32, 32, 3))
        return (noise + 45 * grade).astype(np.uint8)


def rows(ids: range) -> list[SplitRow]:
    return [
        SplitRow(image_id=str(n), patient_id=str(n), group=str(n), grade=n % 5, split="development", fold=0)
        for n in ids
    ]


def photographs(ids: Iterable[int], *, augmented: bool, soft: bool = False) -> GradedCanvases:
    ids = list(ids)
    grades = torch.tensor([number % 5 for number in ids])
    return GradedCanvases(
        Store(),
        [str(number) for number in ids],
        [number % 5 for number in ids],
        input_px=32,
        augment=augmenter(PARAMS.augmentation) if augmented else None,
        seed=1,
        targets=torch.nn.functional.one_hot(grades, 5).float() if soft else None,
    )


def section(of: Any, name: str, **changes: Any) -> Any:
    """A copy of params with some fields of one of its sections changed."""
    return of.model_copy(update={name: getattr(of, name).model_copy(update=changes)})


def num_outputs(loss: str) -> int:
    return loss_class(loss).num_outputs


def make_head(loss: str) -> Head:
    return loss_class(loss).make_head()


class Small(torch.nn.Module):
    """A grader of two layers with batch normalisation and dropout, for what no timm network is needed for."""

    def __init__(self, loss: str = "cross_entropy", *, drop_rate: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.backbone = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 4, stride=4),
            torch.nn.BatchNorm2d(16),
            torch.nn.SiLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Dropout(drop_rate),
            torch.nn.Linear(16, num_outputs(loss)),
        )
        self.backbone.pretrained_cfg = {"classifier": "6"}
        self.head = make_head(loss)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 3, 1, 2).to(self.backbone[0].weight.dtype) / 128 - 1
        outputs: torch.Tensor = self.backbone(pixels)
        return outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.outputs(images))
        return logits


def grader_for(candidate: Candidate = CANDIDATE, params: Training = PARAMS) -> Grader:
    torch.manual_seed(3)
    return create_grader(
        candidate.model, input_px=32, drop_rate=candidate.drop_rate, drop_path_rate=0.0, network=candidate.network,
        loss=params.objective.loss,
    )  # fmt: skip


def train(folder: Path, grader: torch.nn.Module | None = None, **changes: Any) -> FitResult:
    """Trains a Small on 41 photographs, validates on 20; keywords change the arguments of `fit` and of its options."""
    candidate = changes.pop("candidate", CANDIDATE)
    params = changes.pop("params", PARAMS)
    options: dict[str, Any] = {"seed": 20, "checkpoint": Checkpoint(folder, "key"), "on_epoch": ignore}
    options |= {name: changes.pop(name) for name in FitOptions.__dataclass_fields__ if name in changes}
    call: dict[str, Any] = {
        "fabric": Fabric(accelerator="cpu", devices=1),
        "train_set": photographs(range(41), augmented=True, soft=params.mixing.probability > 0),
        "val_set": photographs(range(100, 120), augmented=False), "candidate": candidate, "params": params,
    }  # fmt: skip
    grader = Small(params.objective.loss, drop_rate=candidate.drop_rate) if grader is None else grader
    return fit(grader=grader, options=FitOptions(**options), **(call | changes))


def train_one(
    folder: Path, candidate: Candidate = CANDIDATE, params: Training = PARAMS, **changes: Any
) -> TrainedNetwork:
    """A network as the stage trains it; keywords change the data, the options and the collected statistics."""
    data: dict[str, Any] = {
        "store": Store(), "train_set": rows(range(41)), "val_set": rows(range(100, 120)), "readings": {},
    }  # fmt: skip
    options: dict[str, Any] = {
        "seed": 1,
        "checkpoint": Checkpoint(folder, changes.pop("key", "key")),
        "on_epoch": ignore,
    }
    data |= {name: changes.pop(name) for name in TrainingData.__dataclass_fields__ if name in changes}
    options |= {name: changes.pop(name) for name in FitOptions.__dataclass_fields__ if name in changes}
    return train_network(candidate, params, TrainingData(**data), FitOptions(**options), **changes)


def ignore(_row: EpochRow) -> None:
    """For trainings whose epochs are not reported."""


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
