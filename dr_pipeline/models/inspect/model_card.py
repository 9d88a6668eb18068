"""What a grader on one timm model expects and costs: computed on the meta device, without weights or a hub."""

from dataclasses import dataclass

import torch

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import Normalisation, create_grader
from dr_pipeline.models.inspect.complexity import Complexity, measure_complexity
from dr_pipeline.models.timm_catalogue import PretrainedInfo, list_models, pretrained_info
from dr_pipeline.models.weights.packages import known_reference

# Upper bounds in GMACs per photograph. A coarse guide for choosing candidates; the stage `latency` measures.
LATENCY_CLASSES = (("light", 1.0), ("medium", 5.0), ("heavy", 20.0), ("very heavy", float("inf")))

# The retina fills the canvas to its rim: the centre crop of ImageNet evaluations would cut off lesions.
CROP_PCT = 1.0


@dataclass(frozen=True)
class ModelCard:
    """A grader on one timm backbone: what its weights expect, and its cost per photograph at `input_px`."""

    model: str
    expects: PretrainedInfo
    input_px: int
    cost: Complexity

    def describe(self, *, batch_size: int) -> str:
        """The card as lines of text, with the memory of training in batches of `batch_size`."""
        expects, cost = self.expects, self.cost
        bounds = ", ".join(f"{name} < {bound:g}" for name, bound in LATENCY_CLASSES[:-1])
        rows = {
            "model": self.model,
            "weights": f"{expects.weights or 'none published'}; licence {expects.licence}"
            + (f"; by pip: {package.partition('#')[0]}" if (package := known_reference(self.model)) else ""),
            "expects": f"{expects.input_px[0]}×{expects.input_px[1]} px, "
            f"{Normalisation(expects.mean, expects.std)}, {expects.interpolation}",
            "crop_pct": f"{CROP_PCT:.1f} here, so that no retina is cut off "
            f"({expects.crop_pct:g} in timm's own figures)",
            "classifier": f"{', '.join(expects.classifier) or 'none'}; replaced for five grades",
            "parameters": f"{cost.parameters / 1e6:.2f} M with five logits",
            "GMACs": f"{cost.total_macs / 1e9:.3f} at {self.input_px} px: {cost.layer_macs / 1e9:.3f} in convolution "
            f"and linear layers, {(cost.total_macs - cost.layer_macs) / 1e9:.3f} in other matrix products",
            "activations": f"{cost.activations / 1e6:.2f} M outputs of convolution and linear layers",
            "latency": f"{latency_class(cost.total_macs)}, by GMACs alone ({bounds}); the stage `latency` measures",
            "training": f"about {cost.training_bytes(batch_size) / 2**30:.2f} GiB for a batch of {batch_size}: "
            f"16 bytes × parameters (weight, gradient, AdamW's two moments) + {batch_size} × "
            f"{cost.saved_bytes / 2**20:.1f} MiB stored for the backward pass; float32, without workspace",
        }
        return "\n".join(f"{label:11} {text}" for label, text in rows.items())


def model_card(model: str, *, input_px: int | None = None) -> ModelCard:
    """Measures a grader on `model` as it is trained here: five logits and square input.

    Args:
        model: A timm name, with or without a tag.
        input_px: Side of the input; None takes the height that the weights expect.

    Raises:
        ParamsError: The name is unknown, or the network cannot take this input.
    """
    expects = pretrained_info(model)
    side = input_px or expects.input_px[0]
    try:
        with torch.device("meta"):
            grader = create_grader(model, input_px=side, drop_rate=0.0, drop_path_rate=0.0)
            cost = measure_complexity(grader, torch.empty(1, side, side, 3, dtype=torch.uint8))
    except (AssertionError, NotImplementedError, RuntimeError, ValueError) as error:  # timm has no type of its own
        raise ParamsError(
            f"{model} cannot be run at {side} px: {error or type(error).__name__}",
            todo=f"try the {expects.input_px[0]} px that its weights expect",
        ) from error
    return ModelCard(model, expects, side, cost)


def latency_class(macs: int) -> str:
    """The class by multiply-accumulates alone; depthwise networks and large canvases are slower than it suggests."""
    return next(name for name, bound in LATENCY_CLASSES if macs < bound * 1e9)


def describe_models(pattern: str, *, pretrained: bool) -> tuple[str, ...]:
    """One line per model that matches `pattern`: name, input, licence, and whether it has published weights.

    Raises:
        ParamsError: As list_models.
    """
    names = list_models(pattern, pretrained=pretrained)
    width = max(map(len, names))
    lines = []
    for name in names:
        expects = pretrained_info(name)
        height, across = expects.input_px
        note = "" if expects.weights else "  no published weights"
        lines.append(f"{name:{width}}  {height}×{across} px  {expects.licence}{note}")
    return tuple(lines)
