"""Unfinished training on disk: written whole at each epoch's end, resumed only where nothing that matters changed."""

import io
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dr_pipeline.errors import DataError, EnvironmentProblem
from dr_pipeline.files import atomic_write
from dr_pipeline.models.weights.checkpoint_files import write_tensors

_KEY_DIGITS = 8


@dataclass(frozen=True)
class Kept:
    """The best of the epochs that a stopped training finished."""

    path: Path
    epoch: int
    qwk: float
    num_epochs: int


class Checkpoint:
    """The last finished epoch of one training, in the scratch folder.

    Args:
        folder: Of this training alone.
        key: Hash of everything the training depends on; a checkpoint with another key is left aside.

    Attributes:
        path: The file.
        history: Rows of the finished epochs, as saved or loaded last.
    """

    def __init__(self, folder: Path, key: str) -> None:
        # the best's name tells its key: who lowers the learning rate after a failure still has the former best
        self.path, self._best = folder / "last.pt", folder / f"best-{key[:_KEY_DIGITS]}.safetensors"
        self.history: list[dict[str, Any]] = []
        self._key = key

    def save(self, state: dict[str, Any]) -> None:
        """Writes tensors and plain values; the former checkpoint survives a failure.

        Args:
            state: `history`, `best` (the epoch), `best_weights`, and what else is needed to go on.

        Raises:
            EnvironmentProblem: The disk is full or refuses to be written.
        """
        buffer = io.BytesIO()
        torch.save({"key": self._key, **state}, buffer)
        content = buffer.getbuffer()
        try:
            with atomic_write(self.path) as stream:
                stream.write(content)
        except OSError as error:
            kept = "the last one that was saved is whole" if self.path.is_file() else "none was saved before"
            raise EnvironmentProblem(
                f"the checkpoint cannot be written: {error.strerror or error}; {kept}",
                where=str(self.path),
                todo=f"free {2 * len(content) / 1e6:.0f} MB and start again: training goes on at the last saved epoch",
            ) from error
        self.history = state["history"]

    def load(self) -> dict[str, Any] | None:
        """The state to go on from, or None where there is none for this key.

        Raises:
            DataError: The file is damaged, or holds more than tensors and plain values.
        """
        if not self.path.is_file():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"not a checkpoint of tensors and plain values: {reason}",
                where=str(self.path),
                todo="remove the file; training starts anew",
            ) from None
        if not isinstance(state, dict) or state.get("key") != self._key:
            sys.stderr.write(f"{self.path}: of other parameters, data, code or libraries; training starts anew\n")
            return None
        self.history = state["history"]
        return state

    def keep_best(self) -> Kept | None:
        """Writes the best epoch's weights beside the checkpoint, where no training with another key touches them.

        Returns:
            What was written; None where no epoch is finished.
        """
        state = self.load()
        if state is None:
            return None
        best = state["history"][state["best"]]
        write_tensors(state["best_weights"], self._best)
        return Kept(self._best, best["epoch"], best["validation_qwk"], len(state["history"]))

    def remove(self) -> None:
        """Forgets it and its best weights beside it, once the training's outputs are written.

        Weights that were kept of a training with another key stay: no output holds them.
        """
        self.path.unlink(missing_ok=True)
        self._best.unlink(missing_ok=True)
