"""Fits named tensors to a network: each tensor is loaded, left out by name, listed, or refused. Pure."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dr_pipeline.errors import DataError
from dr_pipeline.models.channels import RGB, adapted_convolution, first_convolutions
from dr_pipeline.models.classifier import classifier_prefixes
from dr_pipeline.models.weights.position_embeddings import is_positional, resampled
from dr_pipeline.params.candidate import Channel

# Wrappers before every name: DistributedDataParallel, torch.compile, a Lightning module, this house's graph and Grader.
PREFIXES = ("module.", "_orig_mod.", "model.", "grader.", "backbone.")
# Below these shares the weights are taken for another network's. Of the network: a block more or less is 5 % or more
# of any network in timm. Of the file: a deeper sibling (ResNet101 for ResNet50) holds every tensor of the smaller
# network in its shape, and only what is left over tells; 10 % spares an auxiliary or distillation head.
MIN_SHARE_LOADED = 0.95
MIN_SHARE_USED = 0.90
_LISTED = 10
_PRECISIONS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_NOT_FINITE = "tensor {!r} holds NaN or infinity"
_EARLIER = "use the checkpoint of an earlier epoch"
_COUNTER = "num_batches_tracked"  # of BatchNorm; read only where it has no momentum, absent from older files
_STATISTICS = (".running_mean", ".running_var")


@dataclass(frozen=True)
class Fit:
    """Tensors ready to load, and what was left.

    Attributes:
        tensors: By the network's names, in its shapes and precision.
        missing: Names of the network that the file does not hold; they keep their first values.
        unexpected: Names of the file that the network does not know.
        share_loaded: Numbers loaded, of those that the network keeps (classifier left out), 0 … 1.
        notes: What was changed on the way, one phrase each.
    """

    tensors: dict[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    share_loaded: float
    notes: tuple[str, ...]

    def listing(self) -> str:
        """Missing and unexpected tensors, counted, the first ten of each by name; empty where there are none."""
        return "; ".join(
            f"{len(names)} tensors {what}: {listed(names)}"
            for what, names in (("missing", self.missing), ("not expected", self.unexpected))
            if names
        )


def fit(
    tensors: Mapping[str, Tensor],
    backbone: nn.Module,
    *,
    where: str,
    channels: Sequence[Channel] = RGB,
    source_channels: Sequence[Channel] = RGB,
) -> Fit:
    """Fits a checkpoint to a timm network; changes neither.

    Args:
        tensors: Name → tensor, as read; names may carry PREFIXES.
        backbone: The network. Its classifier is left out: it belongs to another task.
        where: The source, for messages.
        channels: The planes that the network sees.
        source_channels: The planes that the weights were trained with; where only a first convolution for another
            number of planes fits, it is taken to be made for `channels`.

    Raises:
        DataError: A tensor holds NaN or infinity, integers where the network has real numbers, or a shape that no
            resampling explains; two tensors have one name; or less than MIN_SHARE_LOADED of the network, or
            MIN_SHARE_USED of the file, fits.
    """
    classifier = classifier_prefixes(backbone)
    own = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith(classifier)}
    given = {
        name: tensor for name, tensor in under_own_names(tensors, own, where).items() if not name.startswith(classifier)
    }
    notes: Counter[str] = Counter()
    for name in _exchanged_statistics(given, own):
        del given[name]
        notes["running statistics of exchanged normalisation left out"] += 1
    first = first_convolutions(backbone) if tuple(channels) != tuple(source_channels) else ()
    fitting: dict[str, Tensor] = {}
    misshapen: dict[str, str] = {}
    for name in filter(given.__contains__, own):
        tensor, wanted = given[name], own[name]
        plain = _cast(name, tensor, wanted, where)
        if plain.dtype != tensor.dtype:
            notes[f"{_kind(tensor)} cast to {_kind(plain)}"] += 1
        if name in first and (fitted := _for_planes(plain, wanted, source_channels, channels)) is not None:
            plain = fitted
            notes[f"first convolution made for {', '.join(channels)}"] += 1
        if plain.shape == wanted.shape:
            fitting[name] = plain
            continue
        other_size = resampled(name, plain, backbone)
        if other_size is None or other_size.shape != wanted.shape:
            misshapen[name] = f"{name} {tuple(plain.shape)} for {tuple(wanted.shape)}"
            continue
        notes["position embeddings resampled"] += 1
        fitting[name] = other_size
    done = Fit(
        fitting,
        missing=tuple(name for name in own if name not in given and not name.endswith(_COUNTER)),
        unexpected=tuple(name for name in given if name not in own),
        share_loaded=_numbers(fitting.values()) / max(_numbers(own.values()), 1),
        notes=tuple(f"{note} ({count} tensors)" for note, count in sorted(notes.items())),
    )
    share_used = _numbers(given[name] for name in fitting) / max(_numbers(given.values()), 1)
    is_too_little = done.share_loaded < MIN_SHARE_LOADED or share_used < MIN_SHARE_USED
    shapes = f"{len(misshapen)} of another shape: {listed(sorted(misshapen.values()))}" if misshapen else ""
    if misshapen and not is_too_little and all(map(is_positional, misshapen)):
        raise DataError(
            f"weights for another input size, whose position embeddings cannot be resampled: {shapes}",
            where=where,
            todo="set input_px to the size that they were made for (`dr-pipeline models show` gives that of published "
            "weights), or choose a network with one embedding (ViT) or with bias tables (Swin, CoAtNet, MaxViT)",
        )
    if misshapen or is_too_little:
        raise DataError(
            f"weights of another architecture: {done.share_loaded:.1%} of the network and {share_used:.1%} of the file "
            f"fit (at least {MIN_SHARE_LOADED:.0%} and {MIN_SHARE_USED:.0%} must, and no shape may differ); "
            + "; ".join(filter(None, [shapes, done.listing()])),
            where=where,
            todo="name the model these weights belong to in params.yaml"
            + (", or the input_px they were made for: not every architecture can be resampled" if misshapen else ""),
        )
    return done


def listed(names: Iterable[str]) -> str:
    """The first ten names and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more


def under_own_names(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Tensors without wrappers' prefixes.

    Raises:
        DataError: Two have one name then, or one holds NaN or infinity.
    """
    given: dict[str, Tensor] = {}
    for stored, tensor in tensors.items():
        name = plain_name(stored, own)
        if name in given:
            raise DataError(f"two tensors are named {name!r} once wrappers' prefixes are taken off", where=where)
        plain = tensor.float() if tensor.itemsize == 1 else tensor  # float8 has no isfinite of its own
        if tensor.is_floating_point() and not plain.isfinite().all():
            raise DataError(_NOT_FINITE.format(name), where=where, todo=_EARLIER)
        given[name] = tensor
    return given


def plain_name(name: str, own: Container[str]) -> str:
    """A name without wrappers' prefixes; one that the network itself uses stays."""
    while name not in own and (prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")):
        name = name.removeprefix(prefix)
    return name


def _cast(name: str, tensor: Tensor, own: Tensor, where: str) -> Tensor:
    """The tensor in the network's precision. Copied as it is, an int8 code would pass for a weight."""
    if own.is_floating_point() and tensor.dtype not in _PRECISIONS:
        raise DataError(
            f"tensor {name!r} is stored as {_kind(tensor)}: quantised weights",
            where=where,
            todo="de-quantise them with `dr-pipeline models convert`",
        )
    plain = tensor.to(own.dtype)
    if plain.dtype != tensor.dtype and not plain.isfinite().all():  # a float64 may be beyond float32
        raise DataError(f"{_NOT_FINITE.format(name)} as {_kind(plain)}", where=where, todo=_EARLIER)
    return plain


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _numbers(tensors: Iterable[Tensor]) -> int:
    """How many real numbers; counters and indices are no weights."""
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def _exchanged_statistics(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Running statistics of layers that the network has in a form without them."""
    return [
        name
        for name in given
        if name.endswith(_STATISTICS) and name not in own and f"{name.rpartition('.')[0]}.weight" in own
    ]


def _for_planes(weight: Tensor, own: Tensor, source: Sequence[Channel], channels: Sequence[Channel]) -> Tensor | None:
    """A first convolution for other planes; None where it has them already, or cannot be made for them."""
    if len(source) != len(channels) and weight.shape == own.shape:
        return None
    try:
        return adapted_convolution(weight, source, channels)
    except ValueError:  # its shape does not fit then, which is refused with the others
        return None
