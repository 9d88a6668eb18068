"""What timm offers: names, what their weights expect, and what a grader on each would cost. No hub is asked."""

import difflib
import fnmatch
from dataclasses import dataclass

import timm
import torch

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.inspect.complexity import Complexity, measure
from dr_pipeline.models.timm_names import known_config

# Upper bounds in GMACs of one photograph. A coarse guide for choosing candidates; the stage `latency` measures.
LATENCY_CLASSES = (("light", 1.0), ("medium", 5.0), ("heavy", 20.0), ("very heavy", float("inf")))

# A retina fills the canvas to its rim: a centre crop, which ImageNet figures are made with, would cut lesions off.
CROP_PCT = 1.0

NOT_STATED = "not stated by timm"


@dataclass(frozen=True)
class Expectations:
    """What timm's configuration of a name says of its weights."""

    weights: str  # the full name with its tag; empty where none are published
    input_px: tuple[int, int]  # height, width
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float  # of the published figures; we use CROP_PCT
    classifier: tuple[str, ...]  # layers that are made anew for five grades
    licence: str


@dataclass(frozen=True)
class ModelCard:
    """A grader on one timm backbone: what its weights expect, and its cost for one photograph."""

    model: str
    expects: Expectations
    input_px: int  # the side that the cost was counted at
    cost: Complexity


def names(pattern: str, *, pretrained: bool) -> tuple[str, ...]:
    """Names that hold `pattern`, or match it where it has wildcards (`*`, `?`, `[…]`).

    Args:
        pattern: Empty for all.
        pretrained: Only those with published weights, one name for each set of weights, with its tag.

    Raises:
        ParamsError: Nothing matches (the closest names are given).
    """
    known = timm.list_models(pretrained=pretrained)
    wanted = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    found = tuple(name for name in known if fnmatch.fnmatchcase(name, wanted))
    if not found:
        near = difflib.get_close_matches(pattern.strip("*"), known, n=3, cutoff=0.4)
        kind = "model with published weights" if pretrained else "model"
        raise ParamsError(f"timm has no {kind} like {pattern!r}", todo=f"closest: {', '.join(near) or 'none'}")
    return found


def expectations(model: str) -> Expectations:
    """What the weights of `model` expect; without a tag, those that timm takes by default.

    Raises:
        ParamsError: timm knows no such architecture, or no such tag of it (the closest or all names are given).
    """
    config = known_config(model)
    classifier = config.classifier or ()
    published = bool(config.url or config.hf_hub_id)
    return Expectations(
        weights=".".join(filter(None, (config.architecture, config.tag))) if published else "",
        input_px=(config.input_size[1], config.input_size[2]),
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation=config.interpolation,
        crop_pct=config.crop_pct,
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        licence=config.license or NOT_STATED,
    )


def model_card(model: str, *, input_px: int | None = None) -> ModelCard:
    """Counts a grader on `model`, on the meta device: as it is trained here, five logits and square input.

    Args:
        model: A timm name, with or without a tag.
        input_px: Side of the input; None takes the height that the weights expect.

    Raises:
        ParamsError: The name is unknown, or the network cannot take this input.
    """
    expects = expectations(model)
    side = input_px or expects.input_px[0]
    try:
        with torch.device("meta"):
            grader = create_grader(model, input_px=side, drop_rate=0.0, drop_path_rate=0.0)
            cost = measure(grader, torch.empty(1, side, side, 3, dtype=torch.uint8))
    except (AssertionError, NotImplementedError, RuntimeError, ValueError) as error:  # timm has no type of its own
        raise ParamsError(
            f"{model} cannot be run at {side} px: {error or type(error).__name__}",
            todo=f"try the {expects.input_px[0]} px that its weights expect",
        ) from error
    return ModelCard(model, expects, side, cost)


def latency_class(macs: int) -> str:
    """The class by multiply-accumulates alone; depthwise networks and large canvases are slower than it says."""
    return next(name for name, bound in LATENCY_CLASSES if macs < bound * 1e9)
