"""Matches named tensors to a network: each tensor is loaded, adapted, left out, listed, or rejected. Pure."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from dr_pipeline.errors import DataError
from dr_pipeline.models.channels import RGB, adapt_first_convolution, first_convolution_names
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.weights.efficientnet_pytorch import (
    has_efficientnet_pytorch_names,
    rename_efficientnet_pytorch,
)
from dr_pipeline.models.weights.position_embeddings import is_positional, resample_position_embedding
from dr_pipeline.params.candidate import Channel

# Prefixes of wrappers: DistributedDataParallel, torch.compile, a Lightning module, our exported graph and Grader.
WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.", "grader.", "backbone.")
# Below these fractions of numbers the weights are taken for another network's. Of the network: a block more or less is
# 5 % or more of any network in timm. Of the file: a deeper sibling (ResNet101 for ResNet50) contains every tensor of
# the smaller network in its shape, so only what is left over distinguishes it; 10 % allows for an auxiliary head.
MIN_LOADED_FRACTION = 0.95
MIN_USED_FRACTION = 0.90
_MAX_LISTED = 10
_PRECISIONS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_NOT_FINITE = "tensor {!r} contains NaN or infinity"
_EARLIER = "use the checkpoint of an earlier epoch"
_RENAMED = "renamed from EfficientNet-PyTorch"
_COUNTER = "num_batches_tracked"  # of BatchNorm; used only if it has no momentum, absent from older files
_STATISTICS = (".running_mean", ".running_var")


@dataclass(frozen=True)
class MatchedWeights:
    """Tensors ready to load, and what did not match.

    Attributes:
        tensors: By the network's names, in its shapes and precision.
        missing: Names of the network that the file lacks; they keep their initial values.
        unexpected: Names of the file that the network does not have.
        loaded_fraction: Numbers loaded, of all in the network without its classifier, 0 … 1.
        notes: Changes that were made, one phrase each.
    """

    tensors: dict[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    loaded_fraction: float
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Counts of missing and unexpected tensors with the first ten names of each; empty if there are none."""
        return "; ".join(
            f"{len(names)} tensors {kind}: {first_names(names)}"
            for kind, names in (("missing", self.missing), ("not expected", self.unexpected))
            if names
        )


def match_state_dict(
    tensors: Mapping[str, Tensor],
    backbone: nn.Module,
    *,
    where: str,
    channels: Sequence[Channel] = RGB,
    source_channels: Sequence[Channel] = RGB,
) -> MatchedWeights:
    """Matches a checkpoint to a timm network; changes neither.

    Args:
        tensors: Name → tensor, as read; names may have WRAPPER_PREFIXES, or be those of EfficientNet-PyTorch.
        backbone: The network. Its classifier is left out: it belongs to another task.
        where: The source, for messages.
        channels: Input channels of the network.
        source_channels: Input channels of the weights. If only a first convolution for another number of channels fits,
            it is taken to be made for `channels`.

    Raises:
        DataError: A tensor contains NaN or infinity, integers where the network has real numbers, or a shape that no
            resampling explains; most weights are one number; two tensors have one name; the network pads otherwise
            than an EfficientNet-PyTorch file's; or less than MIN_LOADED_FRACTION of the network, or MIN_USED_FRACTION
            of the file, matches.
    """
    classifier = classifier_prefixes(backbone)
    own = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith(classifier)}
    given, notes = _timm_names(tensors, own, where)
    given = {name: tensor for name, tensor in given.items() if not name.startswith(classifier)}
    for name in _statistics_of_replaced_norms(given, own):
        del given[name]
        notes["running statistics of exchanged normalisation left out"] += 1
    first_convolutions = first_convolution_names(backbone) if tuple(channels) != tuple(source_channels) else ()
    matched: dict[str, Tensor] = {}
    wrong_shape: dict[str, str] = {}
    for name in filter(given.__contains__, own):
        target = own[name]
        tensor = _cast(name, given[name], target, where)
        if tensor.dtype != given[name].dtype:
            notes[f"{_dtype(given[name])} cast to {_dtype(tensor)}"] += 1
        if name in first_convolutions:
            adapted = _adapt_channels(tensor, target, source_channels, channels)
            if adapted is not None:
                tensor = adapted
                notes[f"first convolution made for {', '.join(channels)}"] += 1
        if tensor.shape == target.shape:
            matched[name] = tensor
            continue
        resampled = resample_position_embedding(name, tensor, backbone)
        if resampled is None or resampled.shape != target.shape:
            wrong_shape[name] = f"{name} {tuple(tensor.shape)} for {tuple(target.shape)}"
            continue
        notes["position embeddings resampled"] += 1
        matched[name] = resampled
    result = MatchedWeights(
        matched,
        missing=tuple(name for name in own if name not in given and not name.endswith(_COUNTER)),
        unexpected=tuple(name for name in given if name not in own),
        loaded_fraction=_count_numbers(matched.values()) / max(_count_numbers(own.values()), 1),
        notes=tuple(f"{note} ({count} tensors)" for note, count in sorted(notes.items())),
    )
    used = _count_numbers(given[name] for name in matched) / max(_count_numbers(given.values()), 1)
    _require_match(result, used, wrong_shape, where)
    _require_content(result.tensors, where)
    _require_padding(backbone, notes, where)
    return result


def _timm_names(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str
) -> tuple[dict[str, Tensor], Counter[str]]:
    """Tensors by timm's names, classifier included, and how many were renamed."""
    stripped = strip_prefixes(tensors, own, where)
    if not has_efficientnet_pytorch_names(stripped):
        return stripped, Counter()
    return rename_efficientnet_pytorch(stripped, own), Counter({_RENAMED: len(stripped)})


def first_names(names: Iterable[str]) -> str:
    """The first ten names and the number of further ones."""
    names = list(names)
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def strip_prefixes(tensors: Mapping[str, Tensor], own: Container[str], where: str) -> dict[str, Tensor]:
    """Tensors by names without wrapper prefixes.

    Raises:
        DataError: Two tensors then have the same name, or one contains NaN or infinity.
    """
    stripped: dict[str, Tensor] = {}
    for stored_name, tensor in tensors.items():
        name = strip_prefix(stored_name, own)
        if name in stripped:
            raise DataError(f"two tensors are named {name!r} after removing wrapper prefixes", where=where)
        # float8 has no isfinite
        comparable = tensor.float() if tensor.itemsize == 1 else tensor
        if tensor.is_floating_point() and not comparable.isfinite().all():
            raise DataError(_NOT_FINITE.format(name), where=where, todo=_EARLIER)
        stripped[name] = tensor
    return stripped


def strip_prefix(name: str, own: Container[str]) -> str:
    """A name without wrapper prefixes; a name in `own` is unchanged."""
    while name not in own and (prefix := next((p for p in WRAPPER_PREFIXES if name.startswith(p)), "")):
        name = name.removeprefix(prefix)
    return name


def _require_match(result: MatchedWeights, used: float, wrong_shape: Mapping[str, str], where: str) -> None:
    """Raises DataError if a shape differs or too little of the network or the file matches."""
    too_little = result.loaded_fraction < MIN_LOADED_FRACTION or used < MIN_USED_FRACTION
    if not (wrong_shape or too_little):
        return
    shapes = f"{len(wrong_shape)} of another shape: {first_names(sorted(wrong_shape.values()))}" if wrong_shape else ""
    if not too_little and all(map(is_positional, wrong_shape)):
        raise DataError(
            f"weights for another input size, whose position embeddings cannot be resampled: {shapes}",
            where=where,
            todo="set input_px to the size that the weights were trained with (`dr-pipeline models show` gives that of "
            "published weights), or choose a network with one embedding (ViT) or bias tables (Swin, CoAtNet, MaxViT)",
        )
    raise DataError(
        f"weights of another architecture: {result.loaded_fraction:.1%} of the network and {used:.1%} of the file "
        f"match (at least {MIN_LOADED_FRACTION:.0%} and {MIN_USED_FRACTION:.0%} must, and no shape may differ); "
        + "; ".join(filter(None, [shapes, result.summary()])),
        where=where,
        todo="name the model of these weights in params.yaml"
        + (", or the input_px they were made for: not every architecture can be resampled" if wrong_shape else ""),
    )


def _require_content(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raises DataError if most weights are one number each, such as 0: a file that was never filled."""
    weights = {name: tensor for name, tensor in tensors.items() if tensor.dim() > 1}
    constant = [name for name, tensor in weights.items() if tensor.numel() > 1 and tensor.min() == tensor.max()]
    if 2 * len(constant) > len(weights):
        raise DataError(
            f"{len(constant)} of {len(weights)} weights are one number throughout (first: {constant[0]}): they were "
            "never filled",
            where=where,
            todo="download the weights again, or save them from a network that was trained",
        )


def _require_padding(backbone: nn.Module, notes: Container[str], where: str) -> None:
    """Raises DataError if renamed weights, which were made for TensorFlow's padding, are for a network without it."""
    if _RENAMED in notes and not isinstance(getattr(backbone, "conv_stem", None), Conv2dSame):
        raise DataError(
            "weights of a network with TensorFlow's padding (SAME); this one pads otherwise",
            where=where,
            todo="name the model that begins with tf_, such as tf_efficientnet_lite0",
        )


def _cast(name: str, tensor: Tensor, own: Tensor, where: str) -> Tensor:
    """The tensor in the network's precision. Quantised codes are rejected: cast, they would pass for weights."""
    if own.is_floating_point() and tensor.dtype not in _PRECISIONS:
        raise DataError(
            f"tensor {name!r} is stored as {_dtype(tensor)}: quantised weights",
            where=where,
            todo="de-quantise them with `dr-pipeline models convert`",
        )
    cast = tensor.to(own.dtype)
    if cast.dtype != tensor.dtype and not cast.isfinite().all():  # a float64 may exceed float32
        raise DataError(f"{_NOT_FINITE.format(name)} as {_dtype(cast)}", where=where, todo=_EARLIER)
    return cast


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _count_numbers(tensors: Iterable[Tensor]) -> int:
    """Real numbers only; counters and indices are not weights."""
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def _statistics_of_replaced_norms(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Running statistics of layers that were replaced by a kind without them."""
    return [
        name
        for name in given
        if name.endswith(_STATISTICS) and name not in own and f"{name.rpartition('.')[0]}.weight" in own
    ]


def _adapt_channels(
    weight: Tensor, own: Tensor, source: Sequence[Channel], channels: Sequence[Channel]
) -> Tensor | None:
    """A first convolution adapted to other channels; None if it has them already or cannot be adapted."""
    if len(source) != len(channels) and weight.shape == own.shape:
        return None
    try:
        return adapt_first_convolution(weight, source, channels)
    except ValueError:  # its shape does not fit then, which is reported with the others
        return None
