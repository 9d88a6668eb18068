"""Reads a checkpoint to named tensors: safetensors (whole or sharded) or a torch file, never running code."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_file
from dr_pipeline.models.weights.torch_files import read_torch

NOTES = "conversion"  # the entry of a safetensors file's metadata that `models convert` writes
INDEX = ".safetensors.index.json"


def checkpoint_files(path: Path) -> tuple[Path, ...]:
    """The files that a checkpoint consists of.

    Args:
        path: A file, an index of shards (`….safetensors.index.json`) or a folder that holds one such index; links
            are followed.

    Returns:
        The one file; or the index, then its shards by name.

    Raises:
        ParamsError: There is no such file.
        DataError: The index cannot be read, names files elsewhere, or a shard is not beside it.
    """
    real = path.resolve()  # `data/weights` is a link to the file; shards lie beside the target
    if real.is_dir():
        indices = sorted(real.glob(f"*{INDEX}"))
        if len(indices) != 1:
            raise ParamsError(
                f"the folder holds {len(indices)} indices of shards (*{INDEX}), expected one",
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
    if not real.name.endswith(INDEX):
        return (real,)
    shards = tuple(real.parent / name for name in sorted(set(_weight_map(real).values())))
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(shards)} shards are missing (first: {absent[0]})",
            where=str(real),
            todo="put the shards beside their index",
        )
    return (real, *shards)


def checkpoint_sha256(files: tuple[Path, ...]) -> str:
    """The hash that identifies a checkpoint, in hexadecimal.

    For one file its own; for shards that of the listing which `sha256sum INDEX SHARD…` prints (shards by name), so
    that `sha256sum … | sha256sum` gives it in a shell, and no shard can be exchanged.
    """
    if len(files) == 1:
        return sha256_file(files[0])
    listing = "".join(f"{sha256_file(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def read_tensors(files: tuple[Path, ...]) -> dict[str, Tensor]:
    """Named tensors of a checkpoint, as they are stored.

    Args:
        files: From checkpoint_files.

    Returns:
        Name → tensor on the CPU. Of a training checkpoint, the first of torch_files.SUB_DICTIONARIES that it holds.

    Raises:
        DataError: Not a weights file, one that asks to run code, shards that differ from their index, or a file
            with something else than named tensors.
    """
    if len(files) > 1:
        return _read_shards(files[0])
    return _read_safetensors(files[0]) if _is_safetensors(files[0]) else read_torch(files[0])


def stored_notes(path: Path) -> tuple[str, ...]:
    """What a conversion changed, one phrase each, as the metadata of a safetensors file say; empty for any other.

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
    return tuple(filter(None, metadata.get(NOTES, "").split("\n")))


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its content: a file in a cache is named by its hash."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"  # the header's length in eight bytes, then JSON


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)  # mapped into memory, not read at once
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"not a weights file: {error}", where=str(path)) from None


def _read_shards(index: Path) -> dict[str, Tensor]:
    placed = _weight_map(index)
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(placed.values())):
        held = _read_safetensors(index.parent / shard)
        expected = {name for name, file in placed.items() if file == shard}
        if different := sorted(expected ^ set(held)):
            raise DataError(
                f"{len(different)} tensors of {shard} differ from the index (first: {different[0]})",
                where=str(index),
                todo="fetch the index and all shards of one version again",
            )
        tensors |= held
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor name → shard's file name, of the layout that Hugging Face's libraries write."""
    try:
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise DataError(f"not an index of shards: {error!r}", where=str(index)) from None
    if not isinstance(placed, dict) or not placed or not all(isinstance(file, str) for file in placed.values()):
        raise DataError("not an index of shards: its weight_map names no files", where=str(index))
    for file in placed.values():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise DataError(f"refused: the index names {file!r}, not a safetensors file beside it", where=str(index))
    return placed
