"""Batch normalisation over the whole batch where several GPUs share it."""

from typing import cast

from timm.layers import convert_sync_batchnorm

from dr_pipeline.models.grader import Grader


def synchronise_batch_norm(grader: Grader) -> Grader:
    """Makes every BatchNorm take its statistics over all processes' parts of a batch.

    timm's converter, not torch's: torch's would lose the activation that timm's BatchNormAct2d holds. The names in
    the state dict stay.
    """
    return cast("Grader", convert_sync_batchnorm(grader))
