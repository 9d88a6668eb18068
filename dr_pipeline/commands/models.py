"""Lists timm's models, or shows what one expects and costs.

`list` names what `model:` in params.yaml may hold; `show` counts a grader on one of them. Neither asks a hub nor needs
weights. GMACs are 10⁹ multiply-accumulates for one photograph.
"""

import argparse
from typing import TYPE_CHECKING

from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.models.catalogue import ModelCard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the two actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | show")
    listing = actions.add_parser("list", help="names, input and licence of the models that match")
    listing.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="part of a name, or with * and ?")
    listing.add_argument("--pretrained", action="store_true", help="only published weights, with their tags")
    show = actions.add_parser("show", help="what one model's weights expect, and its cost")
    show.add_argument("name", metavar="NAME", help="a timm name, such as efficientnet_b3.ra2_in1k")
    show.add_argument("--px", type=_at_least_one, metavar="N", help="side of the input (default: what it expects)")
    show.add_argument("--batch", type=_at_least_one, default=16, metavar="N", help="photographs in a batch (16)")


def run(args: argparse.Namespace) -> Outcome:
    """Lists or shows.

    Raises:
        ParamsError: No such model; the closest names are given.
    """
    if args.action == "list":
        return _list(args.pattern, pretrained=args.pretrained)
    from dr_pipeline.models.catalogue import model_card

    card = model_card(args.name, input_px=args.px)
    return Outcome(wrote=(), headline="\n".join(_lines(card, args.batch)), next_command="")


def _list(pattern: str, *, pretrained: bool) -> Outcome:
    from dr_pipeline.models.catalogue import expectations, names

    found = names(pattern, pretrained=pretrained)
    width = max(map(len, found))
    rows = []
    for name in found:
        expects = expectations(name)
        published = "" if expects.weights else "  no published weights"
        height, across = expects.input_px
        rows.append(f"{name:{width}}  {height}×{across} px  {expects.licence}{published}")
    kind = "sets of weights" if pretrained else "models"
    return Outcome(
        wrote=(),
        headline="\n".join([*rows, f"{len(found)} {kind}"]),
        next_command=f"dr-pipeline models show {found[0]}",
    )


def _lines(card: "ModelCard", batch: int) -> list[str]:
    from dr_pipeline.models.catalogue import CROP_PCT, LATENCY_CLASSES, latency_class

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


def _at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)
