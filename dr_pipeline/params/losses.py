"""The registry of training losses. It holds names and import paths only, so that params.yaml is read without torch.

To add a loss, write one subclass of `models.losses.loss.Loss` and add one line to LOSSES. The code version of the
stages follows these references as imports.
"""

from pydantic_core import PydanticCustomError

# name in params.yaml → "module:class" of its implementation
LOSSES: dict[str, str] = {
    "cross_entropy": "dr_pipeline.models.losses.softmax:CrossEntropy",
    "focal": "dr_pipeline.models.losses.softmax:Focal",
    "regression": "dr_pipeline.models.losses.regression:Regression",
    "corn": "dr_pipeline.models.losses.corn:Corn",
    "coral": "dr_pipeline.models.losses.coral:Coral",
    "soft_ordinal": "dr_pipeline.models.losses.softmax:SoftOrdinal",
    "soft_kappa": "dr_pipeline.models.losses.softmax:SoftKappa",
}


def registered_loss(name: str) -> str:
    """Validates the name of a loss, for pydantic.

    Raises:
        PydanticCustomError: No loss of this name is registered.
    """
    if name not in LOSSES:
        *first, last = map(repr, LOSSES)
        raise PydanticCustomError("unknown_loss", "Input should be {names}", {"names": f"{', '.join(first)} or {last}"})
    return name
