"""Checkpoint files ↔ named tensors: safetensors (whole or sharded) and torch files. Code in a pickle never runs."""

import argparse
import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import atomic_write, sha256_file
from dr_pipeline.folder_rules import is_system_name

INDEX_SUFFIX = ".safetensors.index.json"
# Where timm, DeiT/ConvNeXt, Lightning and plain torch scripts keep the state dict of a training checkpoint. Averaged
# weights (EMA) come first: they are the ones that were evaluated and published.
STATE_DICT_KEYS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
)
_MAX_DEPTH = 4  # of nested dictionaries; a pickle may even contain itself
_NOTES = "conversion"  # metadata entry of a safetensors file that `models convert` wrote


def checkpoint_files(path: Path) -> tuple[Path, ...]:
    """The files of a checkpoint.

    Args:
        path: A file, an index of shards (`….safetensors.index.json`) or a folder with one such index; links are
            followed.

    Returns:
        The one file; or the index, then its shards by name.

    Raises:
        ParamsError: There is no such file.
        DataError: The index cannot be read, names files elsewhere, or a shard is not beside it.
    """
    real = path.resolve()  # `data/weights` is a link to the file; shards lie beside the target
    if real.is_dir():
        indices = sorted(index for index in real.glob(f"*{INDEX_SUFFIX}") if not is_system_name(index.name))
        if len(indices) != 1:
            raise ParamsError(
                f"the folder holds {len(indices)} indices of shards (*{INDEX_SUFFIX}), expected one",
                where=str(path),
                todo="name the weights file itself",
            )
        real = indices[0]
    if not real.is_file():
        raise ParamsError(
            "the weights are missing",
            where=str(path),
            todo="check the path, or give them with `dr-pipeline recipe … --weights PATH`",
        )
    if not real.name.endswith(INDEX_SUFFIX):
        return (real,)
    shards = tuple(real.parent / name for name in sorted(set(_weight_map(real).values())))
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise DataError(
            f"{len(missing)} of {len(shards)} shards are missing (first: {missing[0]})",
            where=str(real),
            todo="put the shards beside their index",
        )
    return (real, *shards)


def checkpoint_sha256(files: tuple[Path, ...]) -> str:
    """The hash that identifies a checkpoint, in hexadecimal.

    Of one file its own; of shards that of the output of `sha256sum INDEX SHARD…` (shards by name), so that
    `sha256sum … | sha256sum` reproduces it in a shell and no shard can be exchanged.
    """
    if len(files) == 1:
        return sha256_file(files[0])
    listing = "".join(f"{sha256_file(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def read_tensors(files: tuple[Path, ...]) -> dict[str, Tensor]:
    """Named tensors of a checkpoint, as stored, on the CPU.

    Args:
        files: From checkpoint_files. Of a torch training checkpoint the first of STATE_DICT_KEYS is read.

    Raises:
        DataError: Not a weights file, a pickle that would run code, shards that differ from their index, or a file with
            anything but named tensors.
    """
    if len(files) > 1:
        return _read_shards(files[0])
    return _read_safetensors(files[0]) if _is_safetensors(files[0]) else _read_torch(files[0])


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, notes: Sequence[str] = ()) -> None:
    """Writes named tensors as safetensors, atomically; `notes` are stored in its metadata."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as stream:
        stream.write(save(contiguous, {_NOTES: "\n".join(notes)} if notes else None))


def conversion_notes(path: Path) -> tuple[str, ...]:
    """The changes that a conversion made, from the metadata of a safetensors file; empty for any other file.

    Raises:
        DataError: The file cannot be read.
    """
    if not _is_safetensors(path):
        return ()
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(f"not a weights file: {error}", where=str(path)) from None
    return tuple(filter(None, metadata.get(_NOTES, "").split("\n")))


def _is_safetensors(path: Path) -> bool:
    """By its name or its content: files in a cache are named by their hash."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"  # the header's length in eight bytes, then JSON


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)  # memory-mapped
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"not a weights file: {error}", where=str(path)) from None


def _read_shards(index: Path) -> dict[str, Tensor]:
    weight_map = _weight_map(index)
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        stored = _read_safetensors(index.parent / shard)
        expected = {name for name, file in weight_map.items() if file == shard}
        if different := sorted(expected ^ set(stored)):
            raise DataError(
                f"{len(different)} tensors of {shard} differ from the index (first: {different[0]})",
                where=str(index),
                todo="download the index and all shards of one version again",
            )
        tensors |= stored
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor name → file name of its shard, as Hugging Face's libraries write it."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise DataError(f"not an index of shards: {error!r}", where=str(index)) from None
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(f, str) for f in weight_map.values()):
        raise DataError("not an index of shards: its weight_map names no files", where=str(index))
    for file in weight_map.values():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise DataError(f"refused: the index names {file!r}, not a safetensors file beside it", where=str(index))
    return weight_map


def _read_torch(path: Path) -> dict[str, Tensor]:
    """Named tensors of a torch file (`.pth`, `.pt`, `.bin`)."""
    try:
        # timm's training script stores its arguments as a Namespace, which holds values only
        with torch.serialization.safe_globals([argparse.Namespace]):
            # only the zip layout (torch ≥ 1.6) can be memory-mapped
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a broken pickle raises a dozen types; all mean the same to the user
        if unsafe := _unsafe_globals(path, error):
            raise DataError(
                f"refused: reading the file would run code ({', '.join(unsafe)})",
                where=str(path),
                todo="convert it to safetensors",
            ) from None
        raise DataError(
            f"not a weights file: {_reason(error)}",
            where=str(path),
            todo="download it again, or convert it to safetensors",
        ) from None
    return _state_dict(content, path)


def _unsafe_globals(path: Path, error: Exception) -> list[str]:
    """Names outside torch's allow-list that a torch file would call; empty if none can be determined."""
    try:  # all of them; zip layout only
        return sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - {"argparse.Namespace"})
    except Exception:  # the older layout, or a broken file: the name at which torch stopped, if any
        return re.findall(r"GLOBAL (\S+) was not an allowed", str(error))


def _reason(error: Exception) -> str:
    """The first line; where torch wraps it in advice on allowing code, the line with the cause."""
    cause = re.search(r"WeightsUnpickler error: *(.*)", str(error))
    line = cause[1] if cause else "" if "weights_only" in str(error) else str(error).partition("\n")[0]
    return ": ".join(filter(None, [type(error).__name__, line]))


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(_MAX_DEPTH):
        if not isinstance(content, Mapping):
            break
        nested = (content[key] for key in STATE_DICT_KEYS if isinstance(content.get(key), Mapping) and content[key])
        content = next(nested, content)
    if not isinstance(content, Mapping) or not content:
        raise DataError(
            f"contains no named tensors, but {_types([content])}", where=str(path), todo="convert it to safetensors"
        )
    if others := [str(name) for name, value in content.items() if not isinstance(value, Tensor)]:
        raise DataError(
            f"contains other entries than named tensors: {len(others)} of {len(content)} (first: {others[0]}; "
            f"{_types(content.values())})",
            where=str(path),
            todo=f"convert it to safetensors; weights are looked up under {', '.join(STATE_DICT_KEYS)}",
        )
    if unreadable := [str(name) for name, tensor in content.items() if not _has_numbers(tensor)]:
        raise DataError(
            f"{len(unreadable)} of {len(content)} tensors are sparse, quantised or without numbers (first: "
            f"{unreadable[0]})",
            where=str(path),
            todo="save the network's plain state_dict: dense tensors, on a device other than `meta`",
        )
    return {str(name): tensor for name, tensor in content.items()}


def _has_numbers(tensor: Tensor) -> bool:
    """A plain array of numbers: no sparse tensor, none of torch's quantised ones, none of the device `meta`."""
    return tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized


def _types(values: Iterable[object]) -> str:
    return "types: " + ", ".join(sorted({type(value).__name__ for value in values}))
