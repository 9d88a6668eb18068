"""Run by torchrun: what one of several processes sees and computes, as JSON and tensors in a folder."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from dr_pipeline.training import loop
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.canvas_dataset import BatchLoader
from dr_pipeline.training.data.sampler import EpochBatchSampler
from dr_pipeline.training.fabric import make_fabric
from dr_pipeline.training.objectives import GradingLoss
from dr_pipeline.training.predict import evaluate
from tests.factories.training import CANDIDATE, PARAMS, Small, grader_for, photographs, section, train

ONE_BATCH = CANDIDATE.model_copy(update={"batch_photographs": 41, "epochs": 1, "drop_rate": 0.0})

GRADIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"accumulation": 3},
    "recomputed": {"recomputed": True},
}


def first_gradients(folder: Path, *, accumulation: int = 1, recomputed: bool = False) -> dict[str, torch.Tensor]:
    """Of one float64 step over all photographs, with batch normalisation's statistics held; by rank 0's names.

    Args:
        folder: For the checkpoint.
        accumulation: Parts that a process computes one after another.
        recomputed: Of timm's network with gradient checkpointing, else of a small one.
    """
    fabric = make_fabric("64-true", CANDIDATE.fine_tuning)
    seen: dict[str, torch.Tensor] = {}

    def note(model: torch.nn.Module, *_args: object, **_named: object) -> None:
        seen.update({name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters()})

    fabric.clip_gradients = note
    held, loop.freeze_batch_norm_statistics = loop.freeze_batch_norm_statistics, torch.nn.Module.eval
    candidate = section(ONE_BATCH, "memory", accumulation=accumulation, gradient_checkpointing=recomputed)
    train(folder, grader_for(candidate) if recomputed else None, fabric=fabric, candidate=candidate)
    loop.freeze_batch_norm_statistics = held
    return seen


def figures() -> tuple[float, float]:
    """Loss and QWK of an untrained network on 20 photographs in batches of 3."""
    fabric = make_fabric("32-true", CANDIDATE.fine_tuning)
    data = photographs(range(100, 120), augmented=False)
    order = EpochBatchSampler(
        data.grades.tolist(), 3, shuffle=False, seed=0, rank=fabric.global_rank, world_size=fabric.world_size
    )
    objective = GradingLoss(PARAMS.objective, torch.ones(5))
    return evaluate(fabric, Small(), BatchLoader(data, order, 0), data, objective)


def seen_positions(folder: Path) -> list[list[int]]:
    """Of each epoch, in a training with layers that are frozen first."""
    fine_tuning = section(CANDIDATE, "fine_tuning", frozen_epochs=1, thaw_epochs=1)
    candidate = fine_tuning.model_copy(update={"epochs": 2})
    epochs: list[list[int]] = []

    class Noting(loop.BatchBuilder):
        def build(self, images: torch.Tensor, positions: torch.Tensor, *, seed: int) -> object:
            epochs[-1] += positions.tolist()
            return super().build(images, positions, seed=seed)

    def unfreeze(grader: object, *, epoch: int, fine_tuning: object) -> None:
        epochs.append([])
        original(grader, epoch=epoch, fine_tuning=fine_tuning)

    original, loop.unfreeze_blocks, loop.BatchBuilder = loop.unfreeze_blocks, unfreeze, Noting  # type: ignore[misc]
    fabric = make_fabric("32-true", candidate.fine_tuning)
    train(folder, grader_for(candidate), fabric=fabric, candidate=candidate)
    return epochs


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Running statistics included, which each process takes from photographs of its own."""
    fabric = make_fabric("32-true", CANDIDATE.fine_tuning)
    return train(folder, fabric=fabric, candidate=CANDIDATE.model_copy(update={"epochs": 1})).weights


def best(folder: Path) -> dict[str, torch.Tensor]:
    """The best weights of a finished training, of which only the first process finds the checkpoint."""
    fabric = make_fabric("32-true", CANDIDATE.fine_tuning)
    checkpoint = Checkpoint(folder if fabric.is_global_zero else folder / "elsewhere", "key")
    return train(folder, fabric=fabric, checkpoint=checkpoint, take_best=True).weights


if __name__ == "__main__":
    out = Path(sys.argv[1])
    rank = make_fabric("32-true", CANDIDATE.fine_tuning).global_rank
    for name, how in GRADIENTS.items():
        torch.save(first_gradients(out / f"gradients-{name}", **how), out / f"gradients-{name}-{rank}.pt")
    torch.save(weights(out / "weights"), out / f"weights-{rank}.pt")
    torch.save(best(out / "weights"), out / f"best-{rank}.pt")
    facts = {"figures": figures(), "positions": seen_positions(out / "frozen")}
    (out / f"rank-{rank}.json").write_text(json.dumps(facts))
    torch.distributed.destroy_process_group()
