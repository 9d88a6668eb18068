"""The networks that a plan chooses from, and what is proposed for each regardless of the data."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["convolutional", "transformer"]


@dataclass(frozen=True)
class Network:
    """One network that a plan may propose.

    Attributes:
        name: The candidate's name in params.yaml.
        model: The timm name.
        family: For `deployment.families`, as `models.grader.family` gives it.
        kind: Decides learning rate and layer decay.
        min_photographs: Training photographs from which it is proposed: our rule of thumb, about 1,000 for each five
            million parameters above the small ones, not a measurement. Of Lite1 and Lite2: on 409 photographs they were
            no better than Lite0, QWK -0.006 (-0.039 to 0.027) and -0.008 (-0.038 to 0.023), nested five folds of IDRiD.
        own_px: The input side that it requires; 0 where any is possible.
        drop_rate: As in the recipe eyepacs.
        drop_path_rate: The same.
    """

    name: str
    model: str
    family: str
    kind: Kind
    min_photographs: int
    own_px: int
    drop_rate: float
    drop_path_rate: float


# From the lightest to the heaviest; few photographs or a short time budget select the first ones.
NETWORKS = (
    Network("lite0", "tf_efficientnet_lite0", "efficientnet", "convolutional", 0, 0, 0.1, 0.0),
    Network("lite1", "tf_efficientnet_lite1", "efficientnet", "convolutional", 1_000, 0, 0.2, 0.0),
    Network("lite2", "tf_efficientnet_lite2", "efficientnet", "convolutional", 1_000, 0, 0.2, 0.0),
    Network("b0", "efficientnet_b0", "efficientnet", "convolutional", 0, 0, 0.2, 0.1),
    Network("b3", "efficientnet_b3", "efficientnet", "convolutional", 2_000, 0, 0.3, 0.2),
    Network("resnet50", "resnet50", "resnet", "convolutional", 4_000, 0, 0.0, 0.0),
    # A vision transformer's position embeddings are trained for one side.
    Network("vit_b16", "vit_base_patch16_224", "vit", "transformer", 8_000, 224, 0.0, 0.1),
)
