"""The actions `list` and `show` of `dr-pipeline models`: timm's catalogue. No hub is asked."""

import argparse
from typing import TYPE_CHECKING

from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.models.inspect.catalogue import ModelCard


def show(args: argparse.Namespace) -> Outcome:
    """One model's card.

    Raises:
        ParamsError: No such model; the closest names are given.
    """
    from dr_pipeline.models.inspect.catalogue import model_card

    card = model_card(args.name, input_px=args.px)
    return Outcome(wrote=(), headline="\n".join(_lines(card, args.batch)), next_command="")


def list_names(args: argparse.Namespace) -> Outcome:
    """Names that match.

    Raises:
        ParamsError: No such model; the closest names are given.
    """
    from dr_pipeline.models.inspect.catalogue import expectations, names

    found = names(args.pattern, pretrained=args.pretrained)
    width = max(map(len, found))
    rows = []
    for name in found:
        expects = expectations(name)
        published = "" if expects.weights else "  no published weights"
        height, across = expects.input_px
        rows.append(f"{name:{width}}  {height}×{across} px  {expects.licence}{published}")
    kind = "sets of weights" if args.pretrained else "models"
    return Outcome(
        wrote=(),
        headline="\n".join([*rows, f"{len(found)} {kind}"]),
        next_command=f"dr-pipeline models show {found[0]}",
    )


def _lines(card: "ModelCard", batch: int) -> list[str]:
    from dr_pipeline.models.inspect.catalogue import CROP_PCT, LATENCY_CLASSES, latency_class

    expects, cost = card.expects, card.cost
    outside = cost.total_macs - cost.layer_macs
    bounds = ", ".join(f"{name} < {bound:g}" for name, bound in LATENCY_CLASSES[:-1])
    rows = {
        "model": card.model,
        "weights": f"{expects.weights or 'none published'}; licence {expects.licence}",
        "expects": f"{expects.input_px[0]}×{expects.input_px[1]} px, mean {_triple(expects.mean)}, "
        f"std {_triple(expects.std)}, {expects.interpolation}",
        "crop_pct": f"{CROP_PCT:.1f} here, so that no retina is cut off ({expects.crop_pct:g} in timm's own figures)",
        "classifier": f"{', '.join(expects.classifier) or 'none'}; made anew for five grades",
        "parameters": f"{cost.parameters / 1e6:.2f} M with five logits",
        "GMACs": f"{cost.total_macs / 1e9:.3f} at {card.input_px} px: {cost.layer_macs / 1e9:.3f} in convolution and "
        f"linear layers, {outside / 1e9:.3f} in other matrix products",
        "activations": f"{cost.activations / 1e6:.2f} M numbers out of convolution and linear layers",
        "latency": f"{latency_class(cost.total_macs)}, by GMACs alone ({bounds}); the stage `latency` measures",
        "training": f"about {_gib(cost.training_bytes(batch))} for a batch of {batch}: 16 bytes × parameters (weight, "
        f"gradient, AdamW's two moments) + {batch} × {cost.saved_bytes / 2**20:.1f} MiB kept for the backward pass; "
        "float32, without workspace",
    }
    return [f"{label:11} {text}" for label, text in rows.items()]


def _triple(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
