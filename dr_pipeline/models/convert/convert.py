"""Weights of another file format or framework, made into a safetensors file for one timm network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dr_pipeline.errors import DataError
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.convert.dequantise import dequantised
from dr_pipeline.models.convert.kernel_layouts import turned
from dr_pipeline.models.convert.name_map import Rule, renamed
from dr_pipeline.models.convert.onnx_tensors import read_onnx
from dr_pipeline.models.convert.unfold_batch_norm import unfolded
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.inspect.catalogue import expectations
from dr_pipeline.models.weights.checkpoint_files import checkpoint_files, checkpoint_sha256, read_tensors
from dr_pipeline.models.weights.match import fit, listed, plain_name, under_own_names


@dataclass(frozen=True)
class Converted:
    """Weights by timm's names, without a classifier, and what was changed on the way, one phrase each."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def convert(source: Path, *, model: str, rules: tuple[Rule, ...]) -> Converted:
    """Reads weights and fits them to a network; every tensor but the classifier's must be there.

    Args:
        source: A safetensors file (or index of shards), a torch file, an `.onnx` graph or an `.npz` of arrays.
        model: The timm name.
        rules: From a name map; empty for none.

    Raises:
        DataError: The file cannot be read, or does not hold this network.
        ParamsError: timm knows no such model, or there is no such file.
    """
    files = checkpoint_files(source)
    tensors, notes = _read(files)
    input_px = expectations(model).input_px[0]
    backbone = create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0).backbone
    steps = [f"converted from {files[0].name}, sha256 {checkpoint_sha256(files)}", *notes]
    tensors, notes = dequantised(tensors)
    steps += notes
    tensors, notes = renamed(tensors, rules, where=str(source))
    steps += notes
    own = backbone.state_dict()
    tensors = under_own_names(tensors, own, str(source))
    body = {name: t.shape for name, t in own.items() if not name.startswith(classifier_prefixes(backbone))}
    if unknown := [rule.name for rule in rules if rule.name and plain_name(rule.name, own) not in own]:
        raise DataError(
            f"the name map gives {len(unknown)} names that {model} does not have: {listed(unknown)}",
            todo="compare with `dr-pipeline models show`, or timm's state_dict",
        )
    tensors, notes = turned(tensors, body, {plain_name(rule.name, own): rule.layout for rule in rules if rule.layout})
    steps += notes
    tensors, notes = unfolded(tensors, backbone, input_px=input_px)
    steps += notes
    # a graph does not tell a layer without a bias from one whose bias is zeros
    tensors = {name: t for name, t in tensors.items() if name in own or not name.endswith(".bias") or t.any()}
    fitted = fit(tensors, backbone, where=str(source))
    if fitted.missing:
        raise DataError(
            f"{len(fitted.missing)} tensors of {model} are missing: {listed(fitted.missing)}; "
            f"not used: {listed(fitted.unexpected) or 'none'}",
            where=str(source),
            todo="name them in a table with the columns from,to,transpose and give it with --names",
        )
    if fitted.unexpected:
        steps.append(f"{len(fitted.unexpected)} tensors not used: {listed(fitted.unexpected)}")
    return Converted(fitted.tensors, (*steps, *fitted.notes))


def _read(files: tuple[Path, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if files[0].suffix == ".onnx":
        return read_onnx(files[0])
    if files[0].suffix == ".npz":
        return _read_arrays(files[0]), ()
    return read_tensors(files), ()


def _read_arrays(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: torch.from_numpy(stored[name]) for name in stored.files}
    except Exception as error:  # numpy and zipfile raise a dozen types; all mean the same to the user
        raise DataError(f"not an .npz of arrays: {type(error).__name__}: {error}", where=str(path)) from None
