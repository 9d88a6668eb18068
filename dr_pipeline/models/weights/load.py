"""A network's first weights, loaded so that they cannot mislead: no pickles, every tensor accounted for.

Read in this order: checkpoint_files, torch_files, bundle_weights (files → named tensors), weight_fit (named tensors →
this network), and here.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
from safetensors.torch import save
from torch import Tensor, nn

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import atomic_write
from dr_pipeline.models.channels import RGB
from dr_pipeline.models.grader import Grader, normalisation
from dr_pipeline.models.timm_names import require_published
from dr_pipeline.models.weights.bundles import load_classifier, read_bundle_weights
from dr_pipeline.models.weights.checkpoint_files import (
    NOTES,
    checkpoint_files,
    checkpoint_sha256,
    read_tensors,
    stored_notes,
)
from dr_pipeline.models.weights.match import fit
from dr_pipeline.params.candidate import Channel

_SAID_CHARACTERS = 160
# In what the hub's client says: addresses and the hosts in them, which may be a company's own, and access tokens.
_NOT_TO_BE_REPEATED = re.compile(
    r"""\w+://[^\s'",)]*\w|(?<=host=)['"]?[^'",\s)]+['"]?|(?<=resolve ')[^']+|\bhf_\w+|(?<=Bearer )\S+"""
)


def initialise(grader: Grader, *, model: str, weights: str) -> str:
    """Gives a grader's backbone its first weights.

    Tensors that the source lacks, or has too many, are listed on standard error and counted in the line returned.

    Args:
        grader: Made by create_grader for `model`.
        model: The timm name, whose published weights `timm` stands for.
        weights: `none`, `timm`, `file:PATH` with an optional `#sha256`, or `bundle:PATH` with an optional `#id`. A
            file is a safetensors file, a torch file, or the index of sharded safetensors (or its folder; then the
            hash is checkpoint_sha256's). Its weights are taken for those of an RGB network where it has three planes.
            Of a finished bundle the classifier is taken too, where it fits.

    Returns:
        One line on where the weights come from and what was changed, for reports.

    Raises:
        ParamsError: timm publishes no weights for this name, the hub cannot be reached, the file or bundle is missing
            or has another hash or id, or the bundle's network expects another normalisation than `model`.
        DataError: The file holds no weights of this architecture.
        BundleError: The bundle's weights were altered.
    """
    if weights == "none":
        return "none (random initialisation)"
    if weights == "timm":
        return _from_hub(grader, model)
    if weights.startswith("bundle:"):
        return _from_bundle(grader, model, weights)
    path, _, expected = weights.removeprefix("file:").partition("#")
    return _from_file(grader, Path(path), expected.removeprefix("sha256:"))


def unpinned(*sources: str) -> list[str]:
    """Those of `file:PATH` and `bundle:PATH` that name no hash or id, in the given order."""
    return [source for source in sources if source.startswith(("file:", "bundle:")) and not source.partition("#")[2]]


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, notes: Sequence[str] = ()) -> None:
    """Writes named tensors as safetensors, whole or not at all; `notes` go into its metadata."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as stream:
        stream.write(save(plain, {NOTES: "\n".join(notes)} if notes else None))


def load_exactly(module: nn.Module, path: Path) -> None:
    """Loads weights that write_tensors wrote; anything missing or extra is an error."""
    try:
        module.load_state_dict(read_tensors(checkpoint_files(path)), strict=True)
    except RuntimeError as error:
        raise DataError(f"weights of another network: {error}", where=str(path), todo="run `dvc repro`") from None


def _from_hub(grader: Grader, model: str) -> str:
    require_published(model)
    try:
        source = timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises dozens of types; all mean the same to the user
        raise ParamsError(
            f"timm's weights for {model!r} cannot be fetched: {_said_by(error)}",
            todo="set weights: file:PATH (a local weights file), bundle:PATH (a finished bundle) or none in "
            "params.yaml; or set HF_HOME to a cache that holds them, and HF_HUB_OFFLINE=1",
        ) from error
    return f"timm, {model}" + _load(grader, source.state_dict(), where=f"timm hub, {model}")


def _said_by(error: Exception) -> str:
    """The error's type and, shortened, its first line, without addresses and tokens."""
    line = _NOT_TO_BE_REPEATED.sub("…", str(error).strip().partition("\n")[0])
    if len(line) > _SAID_CHARACTERS:
        line = f"{line[:_SAID_CHARACTERS]}…"
    return ": ".join(filter(None, [type(error).__name__, line]))


def _from_file(grader: Grader, path: Path, expected: str) -> str:
    files = checkpoint_files(path)
    found = checkpoint_sha256(files)
    if expected and found != expected:  # before the file is read: what is not the file wanted is not parsed
        raise ParamsError(f"sha256 is {found}, expected {expected}", where=str(path), todo="fetch the weights again")
    converted = "".join(f", {note}" for note in stored_notes(files[0]))
    return f"file {files[0].name}, sha256 {found}{converted}" + _load(grader, read_tensors(files), where=str(path))


def _from_bundle(grader: Grader, model: str, weights: str) -> str:
    source = read_bundle_weights(weights)
    # of RGB: the planes may differ, and `fit` sees to them
    theirs, ours = normalisation(source.model), normalisation(model)
    if theirs != ours:  # the tensors would fit all the same, and see other numbers than they were trained with
        raise ParamsError(
            f"the bundle's network {source.model} was trained with {theirs}; {model} takes {ours}",
            where=source.where,
            todo=f"set model: {source.model} in params.yaml",
        )
    said = _load(grader, source.tensors, where=source.where, source_channels=source.channels)
    with_classifier = load_classifier(grader, source.tensors)
    return f"bundle {source.bundle_id}{said}, classifier " + ("included" if with_classifier else "made anew")


def _load(
    grader: Grader, tensors: Mapping[str, Tensor], *, where: str, source_channels: Sequence[Channel] = RGB
) -> str:
    """Loads what fits; returns what there is to say of it, empty where every tensor fitted as it was."""
    fitted = fit(tensors, grader.backbone, where=where, channels=grader.channels, source_channels=source_channels)
    grader.backbone.load_state_dict(fitted.tensors, strict=False)
    said = list(fitted.notes)
    if fitted.missing or fitted.unexpected:
        sys.stderr.write(f"{where}: {fitted.share_loaded:.1%} of the network loaded; {fitted.listing()}\n")
        said.append(
            f"{fitted.share_loaded:.1%} of the network loaded, {len(fitted.missing)} tensors missing, "
            f"{len(fitted.unexpected)} not expected"
        )
    return "".join(f", {note}" for note in said)
