"""Unfinished training on disk: written whole at each epoch's end, resumed only where nothing that matters changed."""

import io
import sys
from pathlib import Path
from typing import Any

import torch

from dr_pipeline.files import atomic_write


class Checkpoint:
    """The last finished epoch of one training, in the scratch folder.

    Args:
        folder: Of this training alone.
        key: Hash of everything the training depends on; a checkpoint with another key is left aside.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / "last.pt"
        self._key = key

    def save(self, state: dict[str, Any]) -> None:
        """Writes tensors and plain values; the former checkpoint survives a failure."""
        buffer = io.BytesIO()
        torch.save({"key": self._key, **state}, buffer)
        with atomic_write(self._path) as stream:
            stream.write(buffer.getbuffer())

    def load(self) -> dict[str, Any] | None:
        """The state to go on from, or None where there is none for this key."""
        if not self._path.is_file():
            return None
        state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        if state["key"] != self._key:
            sys.stderr.write(f"{self._path}: of other parameters or data; training starts anew\n")
            return None
        return state

    def remove(self) -> None:
        """Forgets it, once the training is whole."""
        self._path.unlink(missing_ok=True)
