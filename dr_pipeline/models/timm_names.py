"""timm's names: an architecture, and after a dot the tag of its weights; a wrong one is answered with the closest."""

import difflib

import timm
from timm.models import PretrainedCfg, get_deprecated_models, get_pretrained_cfg

from dr_pipeline.errors import ParamsError

_SHOWN = 5
_LEAST_LIKENESS = 0.4  # of the names that are offered, by difflib's ratio


def known_config(model: str) -> PretrainedCfg:
    """What timm says of a name's weights; without a tag, of those that it takes by default.

    Raises:
        ParamsError: timm knows no such architecture, or no such tag of it (the known ones are given, closest first).
    """
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=_LEAST_LIKENESS)
        raise ParamsError(f"timm knows no model {model!r}", todo=f"closest: {', '.join(near) or 'none'}")
    try:
        config = get_pretrained_cfg(model)
    except RuntimeError:  # timm's word for a tag that it does not know
        config = None
    if config is None:
        raise ParamsError(f"timm knows no weights {model!r}", todo=_known_tags(architecture, tag))
    return config


def require_published(model: str) -> None:
    """Raises ParamsError, with names like it that have some, where timm publishes no weights of a known name."""
    if known_config(model).has_weights:
        return
    architecture = model.partition(".")[0]
    published = timm.list_pretrained()
    tagged = [name for name in published if name.partition(".")[0] == architecture]
    near = difflib.get_close_matches(model, published, n=_SHOWN, cutoff=_LEAST_LIKENESS)
    some = ", ".join(tagged or near)
    raise ParamsError(
        f"timm publishes no weights for {model!r}",
        todo=(f"name a model that has some: {some}; or " if some else "")
        + "set weights: file:PATH, bundle:PATH or none",
    )


def _known_tags(architecture: str, tag: str) -> str:
    # a former name still makes a network, but nothing says any more what its weights expect
    if current := get_deprecated_models().get(architecture):
        return f"timm calls it {current} now"
    names = timm.list_models(f"{architecture}.*", include_tags=True)
    by_tag = {name.partition(".")[2]: name for name in names}
    closest = difflib.get_close_matches(tag, by_tag, n=max(len(by_tag), 1), cutoff=0.0)
    if closest:
        return f"choose from: {', '.join(by_tag[one] for one in closest)}; or {architecture} for timm's default"
    return f"write {architecture}, which has no tags"
