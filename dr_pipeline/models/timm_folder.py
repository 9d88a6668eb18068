"""A trained backbone as a folder in Hugging Face's layout, which timm and transformers' TimmWrapper read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models._hub import save_config_for_hf
from torch import Tensor, nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.files import read_json, write_json
from dr_pipeline.models.channels import RGB
from dr_pipeline.models.grader import UNMODIFIED, Grader, normalisation
from dr_pipeline.models.losses.softmax import SoftmaxHead
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.schema import GRADE_NAMES, RESEARCH_USE

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class TimmFolder:
    """Attributes:
    network: RGB in 0 … 1, normalised by `mean` and `std`, (N, 3, H, W) → logits (N, 5).
    mean: Shape (3, 1, 1).
    std: Shape (3, 1, 1).
    """

    network: nn.Module
    mean: Tensor
    std: Tensor


def write_timm_folder(grader: Grader, spec: Mapping[str, Any], folder: Path, *, temperature: float) -> None:
    """Writes config.json and model.safetensors.

    Args:
        grader: The trained network.
        spec: With `model`, `network` and `input_px`.
        folder: The folder to write.
        temperature: Of calibration; a note, which timm does not read.

    Raises:
        ParamsError: timm cannot build this network from its name: other channels, norms, classifier or head.
    """
    network = spec["network"]
    plain = {"channels": list(RGB), "norm": UNMODIFIED.norm, "head": UNMODIFIED.head}
    if {**network, "channels": list(network["channels"])} != plain or not isinstance(grader.head, SoftmaxHead):
        raise ParamsError(
            f"timm cannot build this network from a name: {dict(network)}, loss {spec['loss']}",
            todo="use pt2, onnx or safetensors",
        )
    norm = normalisation(spec["model"])
    folder.mkdir(parents=True, exist_ok=True)
    save_config_for_hf(
        grader.backbone,
        str(folder / _CONFIG),
        model_config={"label_names": list(GRADE_NAMES)},
        data_config={
            "input_size": (len(RGB), spec["input_px"], spec["input_px"]),
            "mean": norm.mean,
            "std": norm.std,
            "crop_pct": 1.0,
            "interpolation": "bicubic",
        },
    )
    config = read_json(folder / _CONFIG)
    write_json(folder / _CONFIG, config | {"temperature": temperature, "intended_use": RESEARCH_USE})
    write_tensors(grader.backbone.state_dict(), folder / _WEIGHTS)


def read_timm_folder(folder: Path) -> TimmFolder:
    """Loads the folder by timm alone, as its users do."""
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = read_json(folder / _CONFIG)["pretrained_cfg"]
    mean, std = (torch.tensor(config[name]).view(-1, 1, 1) for name in ("mean", "std"))
    return TimmFolder(network, mean, std)
