"""Small graders as after training, the folders and bundles that hold them, and the command `models`."""

import argparse
import json
from pathlib import Path

import torch
from torch import nn

from dr_pipeline.commands import models as command
from dr_pipeline.files import sha256_file
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.models.grader import Grader, create_grader
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.params.candidate import Network
from dr_pipeline.schema import BUNDLE_VERSION
from dr_pipeline.stages.outcome import Outcome

MODEL = "mobilenetv3_small_050"
BUNDLE_ID = "0123456789abcdef"


def random_grader(model: str = MODEL, *, seed: int = 1, px: int = 64, network: Network | None = None) -> Grader:
    """A grader whose batch normalisation has random statistics, scales and shifts, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        grader = create_grader(model, input_px=px, drop_rate=0.0, drop_path_rate=0.0, network=network).eval()
    for layer in grader.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.weight, 0.5), (layer.bias, -0.5), (layer.running_mean, -0.5)):
                tensor.data = low + torch.rand(tensor.shape, generator=generator)
            layer.running_var = 0.5 + torch.rand(layer.num_features, generator=generator)
    return grader


def random_images(count: int = 2, *, px: int = 64, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, px, px, 3), dtype=torch.uint8, generator=generator)


def trained_folder(folder: Path, grader: Grader, *, px: int = 64) -> Path:
    """A folder of MODEL as `train` writes it."""
    write_tensors(grader.state_dict(), folder / "member-1.safetensors")
    spec = {
        "candidate": "tiny",
        "fold": 0,
        "model": MODEL,
        "input_px": px,
        "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
        "loss": "cross_entropy",
        "pixel_path": PixelPath(64).to_dict(),
        "members": ["member-1.safetensors"],
    }
    (folder / "model.json").write_text(json.dumps(spec))
    return folder


def bundle_folder(root: Path, grader: nn.Module, *, prefix: str = "", graph: bytes = b"", model: str = MODEL) -> Path:
    """What `initialise` and `models compare` read of a bundle."""
    (root / "model.onnx").write_bytes(graph)
    path = root / "weights.safetensors"
    write_tensors({f"{prefix}{name}": tensor for name, tensor in grader.state_dict().items()}, path)
    (root / "SHA256SUMS").write_text(
        "".join(f"{sha256_file(one)}  {one.name}\n" for one in (root / "model.onnx", path))
    )
    metadata = {
        "schema_version": BUNDLE_VERSION,
        "bundle_id": BUNDLE_ID,
        "model": {"model": model, "network": {"channels": list(grader.channels)}},
        "preprocessing": {"pixel_path": PixelPath(64).to_dict()},
    }
    (root / "metadata.json").write_text(json.dumps(metadata))
    return root


def run_models(*words: object) -> Outcome:
    """Runs `dr-pipeline models WORDS`."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))
