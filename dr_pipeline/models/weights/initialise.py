"""Initial weights of a grader: none, timm's published ones, those of an installed package, a file, or a bundle.

Reading order: packages (name → file), checkpoint_files and trained_weights (files → named tensors), match_state_dict
(named tensors → the state dict of this network), and here.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
from torch import Tensor

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.logs import logger
from dr_pipeline.models.channels import RGB
from dr_pipeline.models.grader import Grader, normalisation
from dr_pipeline.models.timm_catalogue import require_published
from dr_pipeline.models.weights.checkpoint_files import (
    checkpoint_files,
    checkpoint_sha256,
    conversion_notes,
    read_tensors,
)
from dr_pipeline.models.weights.match_state_dict import match_state_dict
from dr_pipeline.models.weights.packages import PACKAGE, find_installed_weights, known_reference
from dr_pipeline.models.weights.pins import split_pin
from dr_pipeline.models.weights.trained_weights import load_classifier, read_bundle_weights
from dr_pipeline.params.candidate import Channel

_MAX_REASON = 160  # characters
# In error messages of the hub's client: addresses and hosts, which may be a company's own, and access tokens.
_CONFIDENTIAL = re.compile(
    r"""\w+://[^\s'",)]*\w|(?<=host=)['"]?[^'",\s)]+['"]?|(?<=resolve ')[^']+|\bhf_\w+|(?<=Bearer )\S+"""
)


def initialise_weights(grader: Grader, *, model: str, weights: str) -> str:
    """Loads the initial weights of a grader's backbone.

    Missing and unexpected tensors are logged and counted in the returned line.

    Args:
        grader: Created by create_grader for `model`.
        model: The timm name, whose published weights `timm` selects.
        weights: `none`, `timm`, `package:NAME` or `file:PATH` with an optional `#sha256`, or `bundle:PATH` with an
            optional `#id`. A file is a safetensors file, a torch file, or the index of sharded safetensors (or its
            folder; then the hash is that of checkpoint_sha256), taken as weights of an RGB network if it has three
            input channels. Every tensor of a package must fit. Of a bundle the classifier is loaded too if it fits.

    Returns:
        One line on the source of the weights and the changes made, for reports.

    Raises:
        ParamsError: timm publishes no weights for this name, the hub cannot be reached, the package, file or bundle is
            missing or has another hash or id, or the bundle's network expects another normalisation than `model`.
        DataError: The file does not contain weights of this architecture, or that of a package not all of them.
        BundleError: The bundle's weights were altered.
    """
    if weights == "none":
        return "none (random initialisation)"
    if weights == "timm":
        return _from_hub(grader, model)
    if weights.startswith(PACKAGE):
        return _from_package(grader, weights)
    if weights.startswith("bundle:"):
        return _from_bundle(grader, model, weights)
    path, expected = split_pin(weights.removeprefix("file:"))
    return _from_file(grader, Path(path), expected)


def unpinned_sources(*sources: str) -> list[str]:
    """Those of `package:NAME`, `file:PATH` and `bundle:PATH` without a hash or id, in the given order."""
    kinds = (PACKAGE, "file:", "bundle:")
    return [source for source in sources if source.startswith(kinds) and not split_pin(source)[1]]


def _from_hub(grader: Grader, model: str) -> str:
    require_published(model)
    try:
        source = timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises dozens of types; all mean the same to the user
        package = known_reference(model)
        raise ParamsError(
            f"timm's weights for {model!r} cannot be downloaded: {_reason(error)}",
            todo=f"set weights: {f'{package} (by pip), ' if package else ''}file:PATH (a local weights file), "
            "bundle:PATH (a finished bundle) or none in params.yaml; or set HF_HOME to a cache that holds them, and "
            "HF_HUB_OFFLINE=1",
        ) from error
    return f"timm, {model}" + _load(grader, source.state_dict(), where=f"timm hub, {model}")


def _reason(error: Exception) -> str:
    """The error's type and its first line, shortened, without addresses and tokens."""
    line = _CONFIDENTIAL.sub("…", str(error).strip().partition("\n")[0])
    if len(line) > _MAX_REASON:
        line = f"{line[:_MAX_REASON]}…"
    return ": ".join(filter(None, [type(error).__name__, line]))


def _from_package(grader: Grader, weights: str) -> str:
    package = find_installed_weights(weights)
    where = f"package {package.name}, {package.path.name}"
    changes = _load(grader, read_tensors((package.path,)), where=where, complete=True)
    return package.description + changes


def _from_file(grader: Grader, path: Path, expected: str) -> str:
    files = checkpoint_files(path)
    sha256 = checkpoint_sha256(files)
    if expected and sha256 != expected:  # checked before the file is parsed
        raise ParamsError(
            f"sha256 is {sha256}, expected {expected}", where=str(path), todo="download the weights again"
        )
    notes = "".join(f", {note}" for note in conversion_notes(files[0]))
    return f"file {files[0].name}, sha256 {sha256}{notes}" + _load(grader, read_tensors(files), where=str(path))


def _from_bundle(grader: Grader, model: str, weights: str) -> str:
    source = read_bundle_weights(weights)
    # compared for RGB: the channels may differ, match_state_dict adapts them
    theirs, ours = normalisation(source.model), normalisation(model)
    if theirs != ours:  # the tensors would fit, but see other values than in training
        raise ParamsError(
            f"the bundle's network {source.model} was trained with {theirs}; {model} takes {ours}",
            where=source.where,
            todo=f"set model: {source.model} in params.yaml",
        )
    changes = _load(grader, source.tensors, where=source.where, source_channels=source.channels)
    classifier = "included" if load_classifier(grader, source.tensors) else "reinitialised"
    return f"bundle {source.bundle_id}{changes}, classifier {classifier}"


def _load(
    grader: Grader,
    tensors: Mapping[str, Tensor],
    *,
    where: str,
    source_channels: Sequence[Channel] = RGB,
    complete: bool = False,
) -> str:
    """Loads what fits; returns the changes, each after a comma, empty if every tensor was loaded as stored.

    With `complete`, a missing or unexpected tensor is a DataError.
    """
    match = match_state_dict(
        tensors, grader.backbone, where=where, channels=grader.channels, source_channels=source_channels
    )
    if complete and match.summary():
        raise DataError(
            f"not exactly the tensors of this network: {match.summary()}",
            where=where,
            todo="name the model of these weights in params.yaml",
        )
    grader.backbone.load_state_dict(match.tensors, strict=False)
    changes = list(match.notes)
    if match.missing or match.unexpected:
        logger.warning("%s: %.1f%% of the network loaded; %s", where, 100 * match.loaded_fraction, match.summary())
        changes.append(
            f"{match.loaded_fraction:.1%} of the network loaded, {len(match.missing)} tensors missing, "
            f"{len(match.unexpected)} not expected"
        )
    return "".join(f", {change}" for change in changes)
