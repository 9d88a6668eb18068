"""Maps of what raised the severity by MONAI, from the trained network: Grad-CAM++ and occlusion.

For comparison: a bundle's own map (`scoring/explain.py`) needs no torch.
"""

import warnings
from typing import Any, cast

import numpy as np
import torch
from monai.visualize import GradCAMpp, OcclusionSensitivity
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_pipeline.models.grader import Grader
from dr_pipeline.schema import GRADES

_MASK_FRACTION = 0.1  # side of an occluded square, of the input's
_OVERLAP = 0.5


class Severity(nn.Module):
    """A grader on normalised pixels (N, channels, H, W) with one output: the logits by their distance from grade 2."""

    weights: Tensor

    def __init__(self, grader: Grader) -> None:
        super().__init__()
        self.backbone, self.head = grader.backbone, grader.head
        self.register_buffer("weights", torch.tensor(GRADES, dtype=torch.float32) - float(np.mean(GRADES)))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, 1)."""
        return cast("Tensor", self.head(self.backbone(pixels)) @ self.weights[:, None])


def grad_cam_plus_plus(grader: Grader, inputs: NDArray[np.uint8], layer: str) -> NDArray[np.float32]:
    """Grad-CAM++ (Chattopadhay et al., WACV 2018) of the severity, float32 (s, s), not below 0.

    MONAI's own last step would turn it over, for its colour map: the highest becomes 0.

    Args:
        grader: In eval mode, on the CPU.
        inputs: uint8 RGB (s, s, 3).
        layer: Name of a module of the backbone, such as one of `feature_layers`.
    """
    network = Severity(grader).eval()
    explain = GradCAMpp(nn_module=network, target_layers=f"backbone.{layer}", postprocessing=lambda found: found)
    found = explain(_pixels(grader, inputs), class_idx=0)
    return np.asarray(found.detach()[0, 0], np.float32)


def occlusion(grader: Grader, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much the severity falls where a square has its mean colour, float32 (s, s).

    Args:
        grader: In eval mode, on the CPU.
        inputs: uint8 RGB (s, s, 3).
    """
    network, pixels = Severity(grader).eval(), _pixels(grader, inputs)
    occlude = OcclusionSensitivity(
        nn_module=network,
        mask_size=max(2, round(_MASK_FRACTION * len(inputs))),
        mode="mean_patch",
        overlap=_OVERLAP,
        activate=False,
        verbose=False,
    )
    with torch.inference_mode(), warnings.catch_warnings():
        # MONAI 1.6 indexes tensors by lists of slices, which torch takes as a tuple
        warnings.filterwarnings("ignore", "Using a non-tuple sequence", UserWarning)
        before, (after, _) = network(pixels)[0, 0], occlude(pixels)
    return np.asarray((before - after[0, 0]).squeeze(), np.float32)


def feature_layers(grader: Grader) -> list[tuple[str, int]]:
    """The backbone's stages as timm names them, each with its reduction of the input's side, the first one first.

    Empty for networks that have none, such as vision transformers.
    """
    stages: Any = getattr(grader.backbone, "feature_info", [])
    return [(stage["module"], int(stage["reduction"])) for stage in stages]


def _pixels(grader: Grader, inputs: NDArray[np.uint8]) -> Tensor:
    return grader.normalise(torch.from_numpy(inputs[np.newaxis])).contiguous()
