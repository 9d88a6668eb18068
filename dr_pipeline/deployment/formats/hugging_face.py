"""A Hugging Face folder (config.json, model.safetensors) that `timm.create_model("local-dir:FOLDER")` loads."""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dr_pipeline.deployment.formats import FormatSource, Logits
from dr_pipeline.deployment.formats.trained_weights import read_graders
from dr_pipeline.errors import ParamsError
from dr_pipeline.models.timm_folder import read_timm_folder, write_timm_folder


class HuggingFace:
    """The backbone alone: timm normalises outside the network, and knows no ensemble and no temperature."""

    name = "hf"
    exact = True

    def write(self, source: FormatSource, path: Path) -> None:
        """Writes the folder; the temperature stands in config.json, beside what timm reads.

        Raises:
            ParamsError: The candidate is an ensemble, or no network of timm's.
        """
        graders, views = read_graders(source.facts, source.weights), source.facts["ensemble"]["views"]
        if len(graders) > 1 or list(views) != ["identity"]:
            raise ParamsError(
                f"the folder holds one network on one view; this candidate has {len(graders)} on {len(views)}",
                todo="use pt2 or onnx, which hold the ensemble",
            )
        write_timm_folder(graders[0], source.facts, path, temperature=source.temperature)

    def load(self, path: Path, *, threads: int) -> Logits:
        """Loads the folder by timm and normalises as its config.json states; `threads` holds for all of torch."""
        torch.set_num_threads(threads)
        loaded = read_timm_folder(path)

        def logits(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                return cast("Tensor", loaded.network((pixels - loaded.mean) / loaded.std)).numpy()

        return logits
