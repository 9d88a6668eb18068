"""A candidate's own networks as the teacher of the one that is kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.ensemble import Ensemble, EnsembleGrader, Weighted
from dr_pipeline.models.grader import Grader
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.training import Training
from dr_pipeline.training.data.teacher import SEEDS
from dr_pipeline.training.predict import evaluation_batch, predict
from dr_pipeline.training.trainer import TrainingData


def learns_from_seeds(candidate: Candidate, params: Training, *, where: str) -> bool:
    """Whether a candidate's networks only teach another one.

    Raises:
        ParamsError: There is one network only.
    """
    if params.distillation.teacher != SEEDS:
        return False
    if candidate.ensemble.seeds < 2:
        raise ParamsError(
            "training.distillation.teacher is seeds, and there is one",
            where=where,
            todo="set ensemble.seeds to 2 or more, or the teacher to none",
        )
    return True


def with_teacher(data: TrainingData, graders: Sequence[nn.Module], candidate: Candidate) -> TrainingData:
    """The photographs with the logarithm of the networks' mean probabilities, on photographs as scoring sees them."""
    teacher = EnsembleGrader(Ensemble(graders, ("identity",), Weighted.uniform(len(graders))))
    image_ids = [row.image_id for row in data.train_set]
    logits = predict(
        cast("Grader", teacher), data.store, image_ids, candidate.input_px, batch=evaluation_batch(candidate)
    )
    return replace(data, teacher=torch.from_numpy(logits))
