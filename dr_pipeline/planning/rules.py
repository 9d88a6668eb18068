"""The rules, one function each: plain figures in, a value and its reason out. A constant names where it is from.

What is called a rule of thumb is this project's own and not measured. Everything proposed is a start, to be edited.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from dr_pipeline.planning.networks import Kind

# What a network begins with: ImageNet's weights or others like them, those of a finished bundle, or none.
Start = Literal["published", "bundle", "random"]

_THUMB = "rule of thumb"
# A field of 45°; a degree is 0.288 mm of retina in its middle (Drasdo and Fowler, Br J Ophthalmol 1974;58:709).
_FIELD_MM = 45 * 0.288
# A large microaneurysm, and the pixels that it is to have: rules of thumb.
_LESION_MM, _LESION_PX = 0.125, 3
_STRIDE = 32  # of all the proposed networks: the last feature map has a pixel for so many
SMALLEST_PX = 160
_LARGEST_WEIGHT = 5.0
_LEAST_IMBALANCE = 1.5
_COMPILE_FROM_MINUTES = 30
_BUNDLE_SHARE = 0.1  # of the learning rate for published weights


@dataclass(frozen=True)
class Reason:
    """Why a key of params.yaml gets a value.

    Attributes:
        key: Its dotted name.
        value: As it goes into params.yaml.
        why: One sentence with the figures that decided.
        source: A publication, a measurement, or "rule of thumb".
    """

    key: str
    value: Any
    why: str
    source: str


def class_weight_exponent(imbalance: float) -> Reason:
    """0.5, less where the rarest grade would weigh more than five times the commonest, 0 where grades are even."""
    key = "training.balance.exponent"
    if imbalance < _LEAST_IMBALANCE:
        return Reason(key, 0.0, f"the grades are even: {imbalance:.1f} to 1", _THUMB)
    exponent = math.floor(100 * min(0.5, math.log(_LARGEST_WEIGHT) / math.log(imbalance))) / 100
    return Reason(
        key,
        exponent,
        f"commonest to rarest grade {imbalance:.1f} to 1: the rarest weighs {imbalance**exponent:.1f} times as much",
        f"{_THUMB}: at most {_LARGEST_WEIGHT:g} times",
    )


def input_px(disc_px: float) -> Reason:
    """The side at which a large microaneurysm has three pixels, but no more than the photographs have."""
    wanted = round(_FIELD_MM / _LESION_MM * _LESION_PX / _STRIDE) * _STRIDE
    have = math.floor(disc_px / _STRIDE) * _STRIDE
    side = max(SMALLEST_PX, min(wanted, have))
    lesion = f"a large microaneurysm of {_LESION_MM} mm has {_LESION_PX} pixels"
    why = f"a 45° field is {_FIELD_MM:.0f} mm: {lesion} at {wanted}"
    if have < wanted:
        why += f"; but the discs are {disc_px:.0f} pixels wide, and enlarging adds nothing"
    return Reason(
        "input_px", side, why, "0.288 mm a degree: Drasdo and Fowler 1974; the lesion and its 3 pixels: rule of thumb"
    )


def canvas_px(present: int, largest_input: int, disc_px: float) -> Reason:
    """The present side where it serves; else a quarter more than the largest input, where the photographs have it."""
    key = "preprocess.canvas_px"
    if largest_input <= present <= 2 * largest_input:
        return Reason(key, present, f"serves inputs of {largest_input} px; another side remakes every canvas", _THUMB)
    roomy = min(1.25 * largest_input, disc_px)
    side = max(largest_input, 64 * math.floor(roomy / 64))
    return Reason(key, side, f"inputs are {largest_input} px, and zooming in takes some more; it is {present}", _THUMB)


def batch_photographs(training: int) -> Reason:
    """A power of two from 8 to 32, at most a twentieth of the photographs."""
    batch = 32
    while batch > 8 and batch > training / 20:
        batch //= 2
    batch = max(2, min(batch, training))
    return Reason(
        "batch_photographs",
        batch,
        f"{training} train: {math.ceil(training / batch)} steps an epoch",
        "at most 5 % of the photographs, as nnU-Net has it; 8 to 32: rule of thumb",
    )


def start_of(weights: str) -> Start:
    """By `weights` of a candidate."""
    if weights == "none":
        return "random"
    return "bundle" if weights.startswith("bundle:") else "published"


def epochs(training: int, batch: int, *, start: Start) -> Reason:
    """So many that the steps reach 1,500, three times as many from random weights.

    A bundle gets no fewer: at a tenth of the learning rate it moves slowly, and validation chooses the epoch.
    """
    steps, least, most = (4_500, 30, 90) if start == "random" else (1_500, 10, 30)
    steps_per_epoch = math.ceil(training / batch)
    count = max(least, min(most, round(steps / steps_per_epoch)))
    slowly = ", as many as published ones: it learns slowly" if start == "bundle" else ""
    return Reason(
        "epochs",
        count,
        f"{start} weights{slowly}: {steps} steps wanted, {least} to {most} epochs; {count * steps_per_epoch} steps",
        "random weights need longer: He et al. 2019, arXiv:1811.08883; the numbers: rule of thumb",
    )


def learning_rate(kind: Kind, batch: int, *, start: Start) -> Reason:
    """AdamW's, by the kind of network and its first weights, with the root of the batch."""
    rate, of_batch = {
        ("convolutional", "published"): (3e-4, 32),
        ("convolutional", "random"): (3e-3, 16),
        ("transformer", "published"): (5e-5, 32),  # without first weights no transformer is proposed
    }[kind, "published" if start == "bundle" else start]
    why, source = f"{kind}, {start} weights", "values: the recipes aptos2019, eyepacs and synthetic"
    if start == "bundle":
        rate *= _BUNDLE_SHARE
        why = f"{kind}, a bundle that grades already: a tenth of published weights' rate keeps what it has learnt"
        source += f"; a tenth: {_THUMB}, as README.md has it"
    return Reason(
        "learning_rate",
        round(rate * math.sqrt(batch / of_batch), 7),
        f"{why}: {rate:g} for a batch of {of_batch}, by the root of the batch",
        f"{source}; root: Malladi et al. 2022, arXiv:2205.10287",
    )


def layer_decay(kind: Kind, *, pretrained: bool) -> Reason:
    """Slower early layers for a pretrained transformer only."""
    if kind == "transformer" and pretrained:
        return Reason(
            "fine_tuning.layer_decay",
            0.75,
            "a pretrained transformer: early layers learn slower",
            "between 0.65 (ViT-B) and 0.75 (ViT-L) of the scripts of facebookresearch/mae; rule of thumb",
        )
    return Reason("fine_tuning.layer_decay", 1.0, "only a pretrained transformer is proposed to learn by layer", _THUMB)


def ema_decay(steps: int) -> Reason:
    """Averages over about a tenth of the steps."""
    decay = round(max(0.9, min(0.999, 1 - 10 / steps)), 4)
    return Reason(
        "training.ema_decay", decay, f"the shortest training has {steps} steps: averages over a tenth", _THUMB
    )


def colour_change(cameras: int, training: int) -> Reason:
    """Stronger changes of brightness, contrast and saturation for fewer photographs and more cameras."""
    strength = round(0.1 + 0.05 * (training < 2_000) + 0.05 * (cameras > 1) + 0.05 * (cameras > 3), 2)
    told = f"{cameras} cameras" if cameras > 1 else "one camera, or none named"
    return Reason("training.augmentation.brightness", strength, f"{told}, {training} train", _THUMB)


def camera_artefacts(cameras: int) -> Reason:
    """Some blur and compression where the photographs come from several cameras."""
    share = 0.1 if cameras > 1 else 0.0
    why = f"{cameras} cameras differ in focus and compression" if cameras > 1 else "one camera, or none named"
    return Reason("training.augmentation.blur_probability", share, why, _THUMB)


def compiled(minutes: float | None, *, on_gpu: bool, compiler: bool) -> Reason:
    """torch.compile where its start is worth it."""
    worth = minutes is not None and minutes >= _COMPILE_FROM_MINUTES
    on = worth and (compiler or on_gpu)
    if minutes is None:
        why = "the time of a training is not known"
    elif worth and not on:
        why = "there is no C++ compiler"
    else:
        why = f"the longest training takes about {minutes:.0f} min; worth it from {_COMPILE_FROM_MINUTES}"
    return Reason(
        "training.compile",
        on,
        why,
        "a little faster after a minute's start, as the recipes say; from 30 min: rule of thumb",
    )
