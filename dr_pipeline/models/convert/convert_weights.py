"""Converts weights of another file format or framework for one timm network."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.convert.foreign_files import dequantise, read_arrays, read_onnx
from dr_pipeline.models.convert.torch_layout import NameRule, rename_tensors, to_torch_layout
from dr_pipeline.models.convert.unfold_batch_norm import unfold_batch_norm
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.timm_catalogue import pretrained_info
from dr_pipeline.models.weights.checkpoint_files import (
    checkpoint_files,
    checkpoint_sha256,
    read_tensors,
    write_tensors,
)
from dr_pipeline.models.weights.match_state_dict import first_names, match_state_dict, strip_prefix, strip_prefixes


@dataclass(frozen=True)
class ConvertedWeights:
    """Tensors by timm's names, without the classifier, and notes on the changes, one phrase each."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def convert_file(source: Path, out: Path, *, model: str, rules: tuple[NameRule, ...] = ()) -> ConvertedWeights:
    """Converts weights into a safetensors file with the notes in its metadata.

    Args:
        source: As convert_weights.
        out: The file to write.
        model: The timm name.
        rules: From read_name_map.

    Raises:
        ParamsError: The name of `out` does not end in .safetensors, or as convert_weights.
        DataError: As convert_weights.
    """
    if out.suffix != ".safetensors":
        raise ParamsError(f"{out.name} is not the name of a .safetensors file", todo="choose another name")
    converted = convert_weights(source, model=model, rules=rules)
    write_tensors(converted.tensors, out, notes=converted.notes)
    return converted


def convert_weights(source: Path, *, model: str, rules: tuple[NameRule, ...] = ()) -> ConvertedWeights:
    """Reads weights and matches them to a network; every tensor but the classifier's must be present.

    Args:
        source: A safetensors file (or index of shards), a torch file, an `.onnx` graph or an `.npz` of arrays.
        model: The timm name.
        rules: From read_name_map.

    Raises:
        DataError: The file cannot be read, or does not contain this network.
        ParamsError: timm has no such model, or there is no such file.
    """
    files = checkpoint_files(source)
    tensors, notes = _read(files)
    input_px = pretrained_info(model).input_px[0]
    backbone = create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0).backbone
    changes = [f"converted from {files[0].name}, sha256 {checkpoint_sha256(files)}", *notes]
    tensors, notes = dequantise(tensors)
    changes += notes
    tensors, notes = rename_tensors(tensors, rules, where=str(source))
    changes += notes
    own = backbone.state_dict()
    tensors = strip_prefixes(tensors, own, str(source))
    if unknown := [rule.name for rule in rules if rule.name and strip_prefix(rule.name, own) not in own]:
        raise DataError(
            f"the name map gives {len(unknown)} names that {model} does not have: {first_names(unknown)}",
            todo="compare with `dr-pipeline models show`, or timm's state_dict",
        )
    shapes = {name: t.shape for name, t in own.items() if not name.startswith(classifier_prefixes(backbone))}
    layouts = {strip_prefix(rule.name, own): rule.layout for rule in rules if rule.layout}
    tensors, notes = to_torch_layout(tensors, shapes, layouts)
    changes += notes
    tensors, notes = unfold_batch_norm(tensors, backbone, input_px=input_px)
    changes += notes
    # a graph does not distinguish a layer without a bias from one whose bias is zeros
    tensors = {name: t for name, t in tensors.items() if name in own or not name.endswith(".bias") or t.any()}
    match = match_state_dict(tensors, backbone, where=str(source))
    if match.missing:
        raise DataError(
            f"{len(match.missing)} tensors of {model} are missing: {first_names(match.missing)}; "
            f"not used: {first_names(match.unexpected) or 'none'}",
            where=str(source),
            todo="map their names in a table with the columns from,to,transpose and give it with --names",
        )
    if match.unexpected:
        changes.append(f"{len(match.unexpected)} tensors not used: {first_names(match.unexpected)}")
    return ConvertedWeights(match.tensors, (*changes, *match.notes))


def _read(files: tuple[Path, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if files[0].suffix == ".onnx":
        return read_onnx(files[0])
    if files[0].suffix == ".npz":
        return read_arrays(files[0]), ()
    return read_tensors(files), ()
