"""The loss of a batch of tiles: Tversky's index and the focal loss, over what was annotated alone."""

from collections.abc import Sequence

import torch
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor, nn

from dr_pipeline.errors import DataError

# Pixels, about the area of a microaneurysm, added to both sides of the index: so a batch without the kind, in which a
# network finds a few pixels, costs little and not everything.
_SMOOTH_PX = 50.0


class LesionLoss(nn.Module):
    """Mean over kinds of (1 - Tversky index) + weight × focal loss.

    The index (Salehi et al. 2017, arXiv:1706.05721) is of all tiles of the batch together, since many tiles show no
    lesion of a kind; 0.5 for false positives makes it Dice. The focal loss (Lin et al. 2017, arXiv:1708.02002) is
    summed over pixels and divided by the number that show the kind, as there by the number of objects: as a mean over
    pixels it drove every probability of microaneurysms, a thousandth of a tile, to zero. The divisor is no less than
    that number is in the mean: divided by its own few pixels, a batch without discs weighed hundreds of times as much
    as one with a disc, and the network learned to be unsure (detectron2's RetinaNet averages for the same reason). A
    kind that was not annotated in a tile's photograph adds nothing for that tile: it may be there.

    Args:
        mean_pixels: By kind, how many pixels of a batch show it in the mean.
        false_positives: Weight of false positives in the index; false negatives have the rest.
        focal_gamma: Of the focal loss; 0 is cross-entropy.
        focal_weight: Of the focal loss.
    """

    def __init__(
        self, mean_pixels: Sequence[float], *, false_positives: float, focal_gamma: float, focal_weight: float
    ) -> None:
        super().__init__()
        self._least_divisors = [max(pixels, _SMOOTH_PX) for pixels in mean_pixels]
        self._overlap = TverskyLoss(
            sigmoid=True,
            alpha=false_positives,
            beta=1 - false_positives,
            batch=True,
            smooth_nr=_SMOOTH_PX,
            smooth_dr=_SMOOTH_PX,
        )
        self._focal, self._focal_weight = FocalLoss(gamma=focal_gamma, reduction="none"), focal_weight

    def forward(self, logits: Tensor, shown: Tensor, labelled: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            logits: float (N, kinds, H, W).
            shown: Of the same shape, 0 or 1.
            labelled: bool (N, kinds).

        Raises:
            DataError: No kind was annotated in any of these photographs.
        """
        losses = []
        for kind in range(logits.shape[1]):
            rows = labelled[:, kind]
            if rows.any():
                found, truth = logits[rows, kind : kind + 1].float(), shown[rows, kind : kind + 1].float()
                focal = self._focal(found, truth).sum() / truth.sum().clamp(min=self._least_divisors[kind])
                losses.append(self._overlap(found, truth) + self._focal_weight * focal)
        if not losses:
            raise DataError(
                "no kind of lesion was annotated in the photographs of a batch",
                where="the column `labelled` of the store of lesion canvases",
                todo="leave photographs without annotations out of the data set",
            )
        return torch.stack(losses).mean()
