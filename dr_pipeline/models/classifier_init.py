"""Where the classifier of an untrained grader begins: it sees nothing yet, and says what is known without looking."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from dr_pipeline.models.classifier import classifier_names
from dr_pipeline.models.grader import Grader


@torch.no_grad()
def start_classifier(grader: Grader, grades: Sequence[int]) -> None:
    """Sets the layer that gives the outputs, in place: weights 0, biases by the loss.

    Weights of 0 are BiT's and ViT's for fine-tuning (Kolesnikov et al., ECCV 2020; Dosovitskiy et al., ICLR 2021). timm
    draws EfficientNet's within 1/√outputs, which is meant for a thousand: on published features the five logits of
    EfficientNet-Lite0 then have a standard deviation of three to six, and a short fine-tuning spends its epochs on
    forgetting them.

    Biases are 0 where each grade or step has an output of its own. Other heads start at the class prior (Lin et al.,
    ICCV 2017, section 4.1): see `Head.initialise`. Weights for rare grades do not enter it.

    Args:
        grader: Untrained. Called before weights are loaded, so that those of a finished classifier count.
        grades: Of the training photographs; none leaves the class prior out.
    """
    bias = grader.head.initialise(grades) if grades else 0.0
    for layer in _last_layers(grader.backbone):
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, bias)


def _last_layers(backbone: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """Each layer that gives outputs; networks that were distilled have two, and average them."""
    for name in classifier_names(backbone):
        layers = [one for one in backbone.get_submodule(name).modules() if isinstance(one, nn.Linear | nn.Conv2d)]
        yield from layers[-1:]
