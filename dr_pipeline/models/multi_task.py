"""One encoder under two tasks: a segmenter of lesions, and a grader that shares the encoder's parameters with it."""

from torch import Tensor, nn

from dr_pipeline.models.grader import Grader
from dr_pipeline.models.segmenter import Segmenter


class MultiTaskNetwork(nn.Module):
    """A segmenter, with or without a grader on the same encoder.

    The parameters are shared (Caruana 1997), the running statistics of batch normalisation are not: tiles of a canvas
    and whole photographs differ in theirs, as domains do (Chang et al., CVPR 2019). So each half is a whole network,
    which is written, read and run without the other.

    Attributes:
        segmenter: Tiles → logits of the kinds.
        grader: Photographs → outputs of a timm classifier; None: lesions alone.
    """

    def __init__(self, segmenter: Segmenter, grader: Grader | None = None) -> None:
        """Joins the two; the grader's encoder takes the segmenter's parameters.

        Args:
            segmenter: A network on a timm encoder.
            grader: Of the same timm network.
        """
        super().__init__()
        self.segmenter, self.grader = segmenter, grader
        if grader is not None:
            for name, parameter in segmenter.encoder.named_parameters():
                parent, _, leaf = name.rpartition(".")
                setattr(grader.backbone.get_submodule(parent), leaf, parameter)

    def forward(self, tiles: Tensor, photographs: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """uint8 RGB (N, H, W, 3) each → logits (N, kinds, H, W), and the grader's outputs (M, grades)."""
        outputs = None if photographs is None or self.grader is None else self.grader.outputs(photographs)
        return self.segmenter(tiles), outputs
