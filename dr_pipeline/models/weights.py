"""Weights from files, loaded so that they cannot mislead: no pickles, every missing or extra tensor accounted for."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import atomic_write, sha256_file
from dr_pipeline.models.factory import Grader

# A wrapper's name before every key: DistributedDataParallel, torch.compile.
_PREFIXES = ("module.", "_orig_mod.")


def initialise(grader: Grader, *, model: str, weights: str) -> str:
    """Gives a grader's backbone its first weights.

    Args:
        grader: Made by create_grader for `model`.
        model: The timm name, whose published weights `timm` stands for.
        weights: `none`, `timm`, or `file:PATH` with an optional `#sha256`.

    Returns:
        One line on where the weights come from, for reports.

    Raises:
        ParamsError: The hub cannot be reached, or the file is missing or has another hash.
        DataError: The file holds no weights of this architecture.
    """
    if weights == "none":
        return "none (random initialisation)"
    if weights == "timm":
        return _from_hub(grader, model)
    path, _, expected = weights.removeprefix("file:").partition("#")
    return _from_file(grader, Path(path), expected.removeprefix("sha256:"))


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes named tensors as safetensors, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as stream:
        stream.write(save(plain))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a torch file that holds nothing but tensors."""
    if not path.is_file():
        raise ParamsError(
            "the weights are missing", where=str(path), todo="give them with `dr-pipeline recipe … --weights PATH`"
        )
    try:
        if path.resolve().suffix != ".safetensors":  # `data/weights` is a link to the file
            loaded = torch.load(path, map_location="cpu", weights_only=True)
            loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
        else:
            loaded = load_file(path)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise DataError(f"not a weights file: {error}", where=str(path)) from None
    except UnpicklingError:
        raise DataError(
            "refused: the file asks to run code when it is read", where=str(path), todo="convert it to safetensors"
        ) from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise DataError("holds something else than named tensors", where=str(path), todo="convert it to safetensors")
    return {_plain(name): tensor for name, tensor in loaded.items()}


def load_exactly(module: nn.Module, path: Path) -> None:
    """Loads weights that write_tensors wrote; anything missing or extra is an error."""
    try:
        module.load_state_dict(read_tensors(path), strict=True)
    except RuntimeError as error:
        raise DataError(f"weights of another network: {error}", where=str(path), todo="run `dvc repro`") from None


def _from_hub(grader: Grader, model: str) -> str:
    try:
        source = timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises dozens of types; all mean the same to the user
        raise ParamsError(
            f"timm's weights for {model!r} cannot be fetched: {type(error).__name__}",
            todo="set weights: file:PATH (a local safetensors file) or none in params.yaml",
        ) from error
    _load_backbone(grader.backbone, source.state_dict(), where=f"timm hub, {model}")
    return f"timm, {model}"


def _from_file(grader: Grader, path: Path, expected: str) -> str:
    tensors = read_tensors(path)
    found = sha256_file(path)
    if expected and found != expected:
        raise ParamsError(f"sha256 is {found}, expected {expected}", where=str(path), todo="fetch the weights again")
    _load_backbone(grader.backbone, tensors, where=str(path))
    return f"file {path.resolve().name}, sha256 {found}"


def _load_backbone(backbone: nn.Module, tensors: dict[str, Tensor], *, where: str) -> None:
    own = backbone.state_dict()
    classifier = [name for name in own if name.startswith(_classifier_prefixes(backbone))]
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise DataError(f"tensor {broken[0]!r} holds NaN or infinity", where=where)
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and tensor.shape == own[name].shape}
    # a classifier of another task is left out by name; everything else must be there
    fitting = {name: tensor for name, tensor in fitting.items() if name not in classifier}
    missing = [name for name in own if name not in fitting and name not in classifier]
    extra = [name for name in tensors if name not in own]
    if missing:
        raise DataError(
            f"weights of another architecture: {len(missing)} tensors missing (first: {missing[0]}), "
            f"{len(extra)} not expected{f' (first: {extra[0]})' if extra else ''}",
            where=where,
            todo="name the model these weights belong to in params.yaml",
        )
    backbone.load_state_dict(fitting, strict=False)


def _classifier_prefixes(backbone: nn.Module) -> tuple[str, ...]:
    """What timm itself calls the classifier of this network; a head may hold more than it (ConvNeXt's: a norm)."""
    named = cast("dict[str, Any]", backbone.pretrained_cfg)["classifier"]
    return tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
