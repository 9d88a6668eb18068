"""Training losses. Each defines its head (outputs → logits) and what a photograph costs for each grade."""

import importlib
from typing import cast

from dr_pipeline.models.losses.loss import Loss
from dr_pipeline.params.losses import LOSSES


def loss_class(name: str) -> type[Loss]:
    """Returns the implementation of a registered loss.

    Args:
        name: A key of `params.losses.LOSSES`.

    Raises:
        KeyError: No loss of this name is registered.
    """
    module, _, attribute = LOSSES[name].partition(":")
    return cast("type[Loss]", getattr(importlib.import_module(module), attribute))
