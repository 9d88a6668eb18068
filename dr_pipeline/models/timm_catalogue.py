"""timm's models by name, and what their published weights expect. Nothing here contacts the hub.

A name is an architecture, optionally followed by a dot and the tag of its weights, such as `efficientnet_b3.ra2_in1k`.
"""

import difflib
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

import timm
from timm.models import PretrainedCfg, get_deprecated_models, get_pretrained_cfg

from dr_pipeline.errors import ParamsError

NOT_STATED = "not stated by timm"
_MIN_SIMILARITY = 0.4  # difflib's ratio, for names offered in messages


@dataclass(frozen=True)
class PretrainedInfo:
    """What timm's configuration of a name states about its weights.

    Attributes:
        weights: The full name with its tag; empty where none are published.
        input_px: Height and width.
        mean: Of red, green and blue, for values in 0 … 1.
        std: As well.
        interpolation: Of the resizing before the published figures.
        crop_pct: Centre crop of the published figures; this pipeline does not crop.
        classifier: Names of the layers that are replaced for five grades; empty for encoders.
        licence: Or NOT_STATED.
    """

    weights: str
    input_px: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    classifier: tuple[str, ...]
    licence: str


def list_models(pattern: str, *, pretrained: bool) -> tuple[str, ...]:
    """Names that contain `pattern`, or match it if it has wildcards (`*`, `?`, `[…]`).

    Args:
        pattern: Empty for all.
        pretrained: Only published weights, one name with its tag for each set.

    Raises:
        ParamsError: Nothing matches; the closest names are given.
    """
    known = timm.list_models(pretrained=pretrained)
    glob = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    matches = tuple(name for name in known if fnmatch.fnmatchcase(name, glob))
    if not matches:
        kind = "model with published weights" if pretrained else "model"
        raise ParamsError(f"timm has no {kind} like {pattern!r}", todo=_closest(pattern.strip("*"), known))
    return matches


def pretrained_info(model: str) -> PretrainedInfo:
    """What the weights of `model` expect; without a tag, those of timm's default tag.

    Raises:
        ParamsError: As `timm_config`.
    """
    config = timm_config(model)
    classifier = config.classifier or ()
    is_published = bool(config.url or config.hf_hub_id)
    return PretrainedInfo(
        weights=".".join(filter(None, (config.architecture, config.tag))) if is_published else "",
        input_px=(config.input_size[1], config.input_size[2]),
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation=config.interpolation,
        crop_pct=config.crop_pct,
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        licence=config.license or NOT_STATED,
    )


def timm_config(model: str) -> PretrainedCfg:
    """Timm's own configuration of a name; without a tag, that of its default tag.

    Raises:
        ParamsError: timm has no such architecture (the closest are given) or no such tag of it (all are given, the
            closest first).
    """
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        raise ParamsError(f"timm has no model {model!r}", todo=_closest(architecture, timm.list_models()))
    try:
        config = get_pretrained_cfg(model)
    except RuntimeError:  # raised by timm for an unknown tag
        config = None
    if config is None:
        raise ParamsError(f"timm has no weights {model!r}", todo=_known_tags(architecture, tag))
    return config


def require_published(model: str) -> None:
    """Raises ParamsError, with similar names that have some, if timm publishes no weights for a known name."""
    if timm_config(model).has_weights:
        return
    architecture = model.partition(".")[0]
    published = timm.list_pretrained()
    tagged = [name for name in published if name.partition(".")[0] == architecture]
    alternatives = ", ".join(tagged or difflib.get_close_matches(model, published, n=5, cutoff=_MIN_SIMILARITY))
    raise ParamsError(
        f"timm publishes no weights for {model!r}",
        todo=(f"name a model that has some: {alternatives}; or " if alternatives else "")
        + "set weights: file:PATH, bundle:PATH or none",
    )


def _closest(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=_MIN_SIMILARITY)
    return f"closest: {', '.join(matches) or 'none'}"


def _known_tags(architecture: str, tag: str) -> str:
    # timm still creates networks under deprecated names, but no longer states what their weights expect
    if current := get_deprecated_models().get(architecture):
        return f"timm renamed it to {current}"
    names = timm.list_models(f"{architecture}.*", include_tags=True)
    by_tag = {name.partition(".")[2]: name for name in names}
    closest = difflib.get_close_matches(tag, by_tag, n=max(len(by_tag), 1), cutoff=0.0)
    if closest:
        return f"choose from: {', '.join(by_tag[match] for match in closest)}; or {architecture} for timm's default"
    return f"write {architecture}, which has no tags"
