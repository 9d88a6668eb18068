"""Reads torch files (`.pth`, `.pt`, `.bin`) to named tensors, never running the code that a pickle may ask for."""

import argparse
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dr_pipeline.errors import DataError

# The order in which a training checkpoint's sub-dictionaries are looked for. Averaged weights (EMA) come first: they
# are what was evaluated and published. The names are those of timm, DeiT/ConvNeXt, Lightning and plain torch scripts.
SUB_DICTIONARIES = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
)
_DEPTH = 4  # sub-dictionaries in sub-dictionaries; a pickle may even hold itself


def read_torch(path: Path) -> dict[str, Tensor]:
    """Named tensors of a torch file; of a training checkpoint, the first of SUB_DICTIONARIES that it holds.

    Raises:
        DataError: Not a weights file, one that asks to run code, or one with something else than named tensors.
    """
    try:
        # timm's own training script stores its arguments as a Namespace: values only, nothing that runs
        with torch.serialization.safe_globals([argparse.Namespace]):
            # only the zip layout (torch ≥ 1.6) can be mapped into memory
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a broken pickle raises a dozen types; all mean the same to the user
        if asked := _code_asked_for(path, error):
            raise DataError(
                f"refused: the file asks to run code when it is read ({', '.join(asked)})",
                where=str(path),
                todo="convert it to safetensors",
            ) from None
        raise DataError(
            f"not a weights file: {_reason(error)}",
            where=str(path),
            todo="fetch it again, or convert it to safetensors",
        ) from None
    return _chosen(loaded, path)


def _code_asked_for(path: Path, error: Exception) -> list[str]:
    """Names outside torch's list of harmless ones that a torch file would call; empty where none can be told."""
    try:  # all of them; only of the zip layout
        return sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - {"argparse.Namespace"})
    except Exception:  # the older layout, or too broken to be taken apart: the one that torch stopped at, if any
        return re.findall(r"GLOBAL (\S+) was not an allowed", str(error))


def _reason(error: Exception) -> str:
    """The first line; where torch wraps it in advice to allow code, the line that says what it met."""
    met = re.search(r"WeightsUnpickler error: *(.*)", str(error))
    said = met[1] if met else "" if "weights_only" in str(error) else str(error).partition("\n")[0]
    return ": ".join(filter(None, [type(error).__name__, said]))


def _chosen(loaded: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(_DEPTH):
        if isinstance(loaded, Mapping) and (name := _sub_dictionary(loaded)):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not loaded:
        raise DataError(
            f"holds no named tensors, but {_kinds([loaded])}", where=str(path), todo="convert it to safetensors"
        )
    if others := [str(name) for name, value in loaded.items() if not isinstance(value, Tensor)]:
        raise DataError(
            f"holds something else than named tensors: {len(others)} of {len(loaded)} entries (first: {others[0]}; "
            f"{_kinds(loaded.values())})",
            where=str(path),
            todo=f"convert it to safetensors; weights are looked for under {', '.join(SUB_DICTIONARIES)}",
        )
    return {str(name): tensor for name, tensor in loaded.items()}


def _sub_dictionary(loaded: Mapping[str, Any]) -> str:
    return next((name for name in SUB_DICTIONARIES if isinstance(loaded.get(name), Mapping) and loaded[name]), "")


def _kinds(values: Iterable[object]) -> str:
    return "kinds: " + ", ".join(sorted({type(value).__name__ for value in values}))
