"""Checkpoint of an unfinished training: written after each epoch, resumed only with equal inputs and code."""

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from dr_pipeline.errors import DataError, EnvironmentProblem, GateError
from dr_pipeline.files import atomic_write
from dr_pipeline.logs import logger
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.params.candidate import Candidate

_KEY_DIGITS = 8


@dataclass(frozen=True)
class BestWeights:
    """The saved weights of the best epoch that a stopped training finished."""

    path: Path
    epoch: int
    qwk: float
    num_epochs: int


class Checkpoint:
    """The last finished epoch of one training, in the scratch folder.

    Args:
        folder: Of this training only.
        key: Hash of everything the training depends on; a checkpoint with another key is ignored.

    Attributes:
        path: The file.
        history: Rows of the finished epochs, as last saved or loaded.
    """

    def __init__(self, folder: Path, key: str) -> None:
        # the key is part of the name: the best of a failed training survives a restart with a lower learning rate
        self.path, self._best = folder / "last.pt", folder / f"best-{key[:_KEY_DIGITS]}.safetensors"
        self.history: list[dict[str, Any]] = []
        self._key = key

    def save(self, state: dict[str, Any]) -> None:
        """Writes tensors and plain values; the previous checkpoint survives a failure.

        Args:
            state: `history`, `best` (the epoch), `best_weights`, and what is needed to resume.

        Raises:
            EnvironmentProblem: The disk is full or cannot be written to.
        """
        buffer = io.BytesIO()
        torch.save({"key": self._key, **state}, buffer)
        content = buffer.getbuffer()
        try:
            with atomic_write(self.path) as stream:
                stream.write(content)
        except OSError as error:
            previous = "the previous one is intact" if self.path.is_file() else "there is no previous one"
            raise EnvironmentProblem(
                f"the checkpoint cannot be written: {error.strerror or error}; {previous}",
                where=str(self.path),
                todo=f"free {2 * len(content) / 1e6:.0f} MB and start again: it resumes after the last saved epoch",
            ) from error
        self.history = state["history"]

    def load(self) -> dict[str, Any] | None:
        """The state to resume from, or None where there is none for this key.

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
                todo="remove the file; training restarts from scratch",
            ) from None
        if not isinstance(state, dict) or state.get("key") != self._key:
            logger.warning(
                "%s: written with other parameters, data, code or libraries; restarting from scratch", self.path
            )
            return None
        self.history = state["history"]
        return state

    def save_best(self) -> BestWeights | None:
        """Writes the best epoch's weights beside the checkpoint, where a training with another key does not touch them.

        Returns:
            What was written; None where no epoch has finished.
        """
        state = self.load()
        if state is None:
            return None
        best = state["history"][state["best"]]
        write_tensors(state["best_weights"], self._best)
        return BestWeights(self._best, best["epoch"], best["validation_qwk"], len(state["history"]))

    def remove(self) -> None:
        """Removes it and its best weights, once the training's outputs are written.

        Best weights of a training with another key stay: no output holds them.
        """
        self.path.unlink(missing_ok=True)
        self._best.unlink(missing_ok=True)


@contextmanager
def save_best_when_stopped(
    fabric: Fabric, checkpoint: Checkpoint, candidate: Candidate, stop_hint: str
) -> Iterator[None]:
    """Saves the best finished epoch apart when the block is interrupted or diverges, and reports where.

    The checkpoint alone would not preserve it: the next training with other parameters overwrites it.

    Args:
        fabric: The first process writes, and reports an interruption.
        checkpoint: Of the finished epochs.
        candidate: Its schedule.
        stop_hint: How to finish with the epochs that there are; empty where that is not possible.

    Raises:
        KeyboardInterrupt: After a message on standard error: what is saved, how to resume, how to finish here.
        GateError: The block's own, of a loss that is not finite, with the same information; on each process alike.
    """
    try:
        yield
    except KeyboardInterrupt:
        if fabric.is_global_zero:
            logger.warning("\n%s", _interrupted(checkpoint.save_best(), candidate, stop_hint))
        raise
    except GateError as error:
        # all wait for the first: once another process has ended, the launcher ends that one too, even while it writes
        best = fabric.broadcast(checkpoint.save_best() if fabric.is_global_zero else None)
        if best is None:
            raise
        raise _diverged(error, best, stop_hint) from error


def _interrupted(best: BestWeights | None, candidate: Candidate, stop_hint: str) -> str:
    if best is None:
        return "interrupted before the first epoch had finished: nothing is saved"
    return (
        f"interrupted after epoch {best.num_epochs} of {candidate.epochs}; the best is epoch {best.epoch + 1}, "
        f"validation QWK {best.qwk:.3f}\n"
        f"  saved: {best.path}\n"
        "  to resume: run the same command again" + (f"\n  to stop here: {stop_hint}" if stop_hint else "")
    )


def _diverged(error: GateError, best: BestWeights, stop_hint: str) -> GateError:
    instead = f"; or change nothing and, to finish with the epochs so far, {stop_hint}" if stop_hint else ""
    return GateError(
        error.what,
        where=f"{best.path} holds the best of {best.num_epochs} finished epochs: epoch {best.epoch + 1}, validation "
        f"QWK {best.qwk:.3f}",
        todo=f"{error.todo}: training then restarts from scratch, and that file stays{instead}",
    )
