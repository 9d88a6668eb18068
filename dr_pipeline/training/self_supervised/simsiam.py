"""SimSiam: the features of one view of a photograph predict those of another (Chen and He, CVPR 2021).

It needs no negative pairs and no large batch, two things that a clinic's photographs lack: the background of two
healthy eyes is alike, and a CPU or a small GPU holds a few dozen photographs. Masked autoencoders are made for
transformers; convolutions see through the mask's border (Tian et al., ICLR 2023, "SparK", needs sparse ones). BYOL and
DINO keep a second, averaged network. Weights that are continued, not random, are also what keeps small networks from
partial collapse (Li, Efros and Pathak, ECCV 2022, arXiv:2209.15007).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dr_pipeline.models.grader import Grader

WIDTH = 512  # of the projections; the paper's 2048 are for a million photographs
_BOTTLENECK = WIDTH // 4  # of the predictor, as in the paper


class SimSiam(nn.Module):
    """An encoder with a projector and a predictor; only the encoder is kept afterwards.

    Attributes:
        grader: Its backbone without the classifier is the encoder.
        projector: Features (N, D) → projections (N, WIDTH).
        output_norm: Batch normalisation of the projections.
        predictor: Projections of one view → projections of the other.

    Args:
        grader: As created by create_grader; its normalisation is used, its classifier is not.
        input_px: S, the side of a view.
    """

    def __init__(self, grader: Grader, *, input_px: int) -> None:
        super().__init__()
        self.grader = grader
        with torch.no_grad():  # timm has no one name for D that holds for all networks
            num_features = grader.eval().features(torch.zeros(1, input_px, input_px, 3, dtype=torch.uint8)).shape[1]
        self.projector = nn.Sequential(
            *_hidden(num_features, WIDTH),
            *_hidden(WIDTH, WIDTH),
            nn.Linear(WIDTH, WIDTH, bias=False),
        )
        self.output_norm = nn.BatchNorm1d(WIDTH, affine=False)
        self.predictor = nn.Sequential(*_hidden(WIDTH, _BOTTLENECK), nn.Linear(_BOTTLENECK, WIDTH))

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and spread of a batch.

        Args:
            views: uint8 RGB (N, 2, S, S, 3), two views of each photograph; N at least 2.

        Returns:
            The mean negative cosine similarity, from −1 to 1, and the spread of the first views' projections before
            their normalisation, which would scale any remaining difference up to 1; scalars.
        """
        features = self.grader.features(torch.cat([views[:, 0], views[:, 1]]))
        projected = self.projector(features)
        projections = self.output_norm(projected)
        first, second = projections.chunk(2)
        predicted_first, predicted_second = self.predictor(projections).chunk(2)
        loss = (_dissimilarity(predicted_first, second) + _dissimilarity(predicted_second, first)) / 2
        return loss, spread(projected.detach()[: len(views)])


def spread(projections: Tensor) -> Tensor:
    """Standard deviation of vectors (N, D) of length 1, times √D: 1 if they differ in every direction, 0 if all equal.

    As in the paper's figure 2. Vectors that differ in a few directions only (partial collapse) are not detected.
    """
    of_length_1 = functional.normalize(projections.float(), dim=1)
    return of_length_1.std(dim=0).mean() * math.sqrt(of_length_1.shape[1])


def _dissimilarity(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean negative cosine. No gradient reaches the target: without that, equal outputs are the trivial solution."""
    return -functional.cosine_similarity(predicted.float(), target.detach().float()).mean()


def _hidden(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
