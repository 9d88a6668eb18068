"""Training losses. Each defines its head (outputs → logits) and what a photograph costs for each grade."""

import importlib
from typing import cast

# The built-in losses. They are loaded by name; the imports put them into the code version of the stages.
from dr_pipeline.models.losses import coral, corn, regression, softmax  # noqa: F401
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
