"""A network's first weights, loaded so that they cannot mislead: no pickles, every tensor accounted for.

Read in this order: checkpoint_files, torch_files (files → named tensors), weight_fit (named tensors → this network),
and here.
"""

import sys
from pathlib import Path

import timm
from safetensors.torch import save
from torch import Tensor, nn

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import atomic_write
from dr_pipeline.models.checkpoint_files import checkpoint_files, checkpoint_sha256, read_tensors
from dr_pipeline.models.factory import Grader
from dr_pipeline.models.weight_fit import fit


def initialise(grader: Grader, *, model: str, weights: str) -> str:
    """Gives a grader's backbone its first weights.

    Tensors that the source lacks, or has too many, are listed on standard error and counted in the line returned.

    Args:
        grader: Made by create_grader for `model`.
        model: The timm name, whose published weights `timm` stands for.
        weights: `none`, `timm`, or `file:PATH` with an optional `#sha256`. PATH is a safetensors file, a torch file,
            or the index of sharded safetensors (or its folder; then the hash is checkpoint_sha256's).

    Returns:
        One line on where the weights come from and what was changed, for reports.

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


def load_exactly(module: nn.Module, path: Path) -> None:
    """Loads weights that write_tensors wrote; anything missing or extra is an error."""
    try:
        module.load_state_dict(read_tensors(checkpoint_files(path)), strict=True)
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
    return f"timm, {model}" + _load(grader.backbone, source.state_dict(), where=f"timm hub, {model}")


def _from_file(grader: Grader, path: Path, expected: str) -> str:
    files = checkpoint_files(path)
    found = checkpoint_sha256(files)
    if expected and found != expected:  # before the file is read: what is not the file wanted is not parsed
        raise ParamsError(f"sha256 is {found}, expected {expected}", where=str(path), todo="fetch the weights again")
    return f"file {files[0].name}, sha256 {found}" + _load(grader.backbone, read_tensors(files), where=str(path))


def _load(backbone: nn.Module, tensors: dict[str, Tensor], *, where: str) -> str:
    """Loads what fits; returns what there is to say of it, empty where every tensor fitted as it was."""
    fitted = fit(tensors, backbone, where=where)
    backbone.load_state_dict(fitted.tensors, strict=False)
    said = list(fitted.notes)
    if fitted.missing or fitted.unexpected:
        sys.stderr.write(f"{where}: {fitted.share_loaded:.1%} of the network loaded; {fitted.listing()}\n")
        said.append(
            f"{fitted.share_loaded:.1%} of the network loaded, {len(fitted.missing)} tensors missing, "
            f"{len(fitted.unexpected)} not expected"
        )
    return "".join(f", {note}" for note in said)
