"""The rules, one function each: plain figures in, a value and its reason out. Constants name their source.

A "rule of thumb" is this project's own and not measured. Every proposal is a starting point, to be edited.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from dr_pipeline.planning.networks import Kind

# What a network starts from: ImageNet's weights or similar ones, those of a finished bundle, or none.
Start = Literal["published", "bundle", "random"]

_THUMB = "rule of thumb"
# A field of 45°; a degree is 0.288 mm of retina in its middle (Drasdo and Fowler, Br J Ophthalmol 1974;58:709).
_FIELD_MM = 45 * 0.288
# A large microaneurysm, and the pixels across it: rules of thumb.
_LESION_MM, _LESION_PX = 0.125, 3
_STRIDE = 32  # of all proposed networks: input pixels for each pixel of the last feature map
SMALLEST_PX = 160
_MAX_WEIGHT_RATIO = 5.0
_MIN_IMBALANCE = 1.5
_COMPILE_FROM_MINUTES = 30
STUDENT_SEEDS = 3
_BUNDLE_RATE = 0.1  # of the learning rate for published weights
# Published weights on fewer photographs get the higher rate, which was better on 262 (reports/experiments/ladder.csv).
# Where it stops to be better was not measured: rule of thumb.
_FEW_PHOTOGRAPHS = 2_000


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
    """0.5; less where the rarest grade would weigh over five times the most frequent one; 0 where grades are even."""
    key = "training.balance.exponent"
    if imbalance < _MIN_IMBALANCE:
        return Reason(key, 0.0, f"the grades are even: {imbalance:.1f} to 1", _THUMB)
    exponent = math.floor(100 * min(0.5, math.log(_MAX_WEIGHT_RATIO) / math.log(imbalance))) / 100
    return Reason(
        key,
        exponent,
        f"most to least frequent grade {imbalance:.1f} to 1: the rarest weighs {imbalance**exponent:.1f} times as much",
        f"{_THUMB}: at most {_MAX_WEIGHT_RATIO:g} times",
    )


def input_px(disc_px: float) -> Reason:
    """The side at which a large microaneurysm has three pixels, at most the width of the photographs' discs."""
    ideal = round(_FIELD_MM / _LESION_MM * _LESION_PX / _STRIDE) * _STRIDE
    available = math.floor(disc_px / _STRIDE) * _STRIDE
    side = max(SMALLEST_PX, min(ideal, available))
    lesion = f"a large microaneurysm of {_LESION_MM} mm has {_LESION_PX} pixels"
    why = f"a 45° field is {_FIELD_MM:.0f} mm: {lesion} at {ideal}"
    if available < ideal:
        why += f"; but the discs are {disc_px:.0f} pixels wide, and enlarging adds nothing"
    return Reason(
        "input_px", side, why, "0.288 mm a degree: Drasdo and Fowler 1974; the lesion and its 3 pixels: rule of thumb"
    )


def canvas_px(present: int, largest_input: int, disc_px: float) -> Reason:
    """The present side where it suffices; else a quarter more than the largest input, where the photographs have it."""
    key = "preprocess.canvas_px"
    if largest_input <= present <= 2 * largest_input:
        return Reason(
            key, present, f"suffices for inputs of {largest_input} px; another side renders every canvas again", _THUMB
        )
    ideal = min(1.25 * largest_input, disc_px)
    side = max(largest_input, 64 * math.floor(ideal / 64))
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
        "at most 5 % of the photographs, as in nnU-Net; 8 to 32: rule of thumb",
    )


def start_of(weights: str) -> Start:
    """The kind of start, by `weights` of a candidate: timm's, a package's and a file's are published ones."""
    if weights == "none":
        return "random"
    return "bundle" if weights.startswith("bundle:") else "published"


def epochs(training: int, batch: int, *, start: Start) -> Reason:
    """Enough for 1,500 steps, or three times as many from random weights.

    A bundle gets no fewer: it trains slowly at a tenth of the learning rate, and validation chooses the epoch.
    """
    steps, fewest, most = (4_500, 30, 90) if start == "random" else (1_500, 10, 30)
    steps_per_epoch = math.ceil(training / batch)
    count = max(fewest, min(most, round(steps / steps_per_epoch)))
    slowly = ", as many as published ones: it trains slowly" if start == "bundle" else ""
    return Reason(
        "epochs",
        count,
        f"{start} weights{slowly}: {steps} steps aimed at, {fewest} to {most} epochs; {count * steps_per_epoch} steps",
        "random weights need longer: He et al. 2019, arXiv:1811.08883; the numbers: rule of thumb",
    )


def learning_rate(kind: Kind, batch: int, training: int, *, start: Start) -> Reason:
    """Of AdamW, by the kind of network, its initial weights and the photographs; times the square root of the batch."""
    few = training < _FEW_PHOTOGRAPHS
    rate, of_batch = {
        ("convolutional", "published"): (9e-4, 16) if few else (3e-4, 32),
        ("convolutional", "random"): (3e-3, 16),
        ("transformer", "published"): (5e-5, 32),  # without initial weights no transformer is proposed
    }[kind, "published" if start == "bundle" else start]
    why, source = f"{kind}, {start} weights", "values: the recipes aptos2019, eyepacs and synthetic"
    if few and kind == "convolutional" and start != "random":
        why += f", {training} train"
        source = "value: QWK 0.850 against 0.825 of a third of it for 2.5 times as long, IDRiD, n = 409 (ladder)"
    if start == "bundle":
        rate *= _BUNDLE_RATE
        why = f"{kind}, a bundle that grades already: a tenth of published weights' rate keeps its training"
        source += f"; a tenth: {_THUMB}, as in README.md"
    return Reason(
        "learning_rate",
        round(rate * math.sqrt(batch / of_batch), 7),
        f"{why}: {rate:g} for a batch of {of_batch}, by the root of the batch",
        f"{source}; root: Malladi et al. 2022, arXiv:2205.10287",
    )


def layer_decay(kind: Kind, *, pretrained: bool) -> Reason:
    """Lower rates in early layers, for a pretrained transformer only."""
    if kind == "transformer" and pretrained:
        return Reason(
            "fine_tuning.layer_decay",
            0.75,
            "a pretrained transformer: early layers train at lower rates",
            "between 0.65 (ViT-B) and 0.75 (ViT-L) of the scripts of facebookresearch/mae; rule of thumb",
        )
    return Reason("fine_tuning.layer_decay", 1.0, "only a pretrained transformer gets rates by layer", _THUMB)


def ema_decay(steps: int) -> Reason:
    """Averages over about a tenth of the steps."""
    decay = round(max(0.9, min(0.999, 1 - 10 / steps)), 4)
    return Reason(
        "training.ema_decay", decay, f"the shortest training has {steps} steps: averages over a tenth", _THUMB
    )


def colour_change(cameras: int, training: int) -> Reason:
    """Stronger changes of brightness, contrast and saturation for fewer photographs and more cameras."""
    strength = round(0.1 + 0.05 * (training < 2_000) + 0.05 * (cameras > 1) + 0.05 * (cameras > 3), 2)
    described = f"{cameras} cameras" if cameras > 1 else "one camera, or none named"
    return Reason("training.augmentation.brightness", strength, f"{described}, {training} train", _THUMB)


def camera_artefacts(cameras: int) -> Reason:
    """Some blur and compression where the photographs come from several cameras."""
    probability = 0.1 if cameras > 1 else 0.0
    why = f"{cameras} cameras differ in focus and compression" if cameras > 1 else "one camera, or none named"
    return Reason("training.augmentation.blur_probability", probability, why, _THUMB)


def student(minutes: float, budget: float) -> list[Reason]:
    """A student of three networks of each candidate, where the budget holds their trainings and its own."""
    trainings = STUDENT_SEEDS + 1
    if trainings * minutes > budget:
        return []
    why = (
        f"the budget holds {trainings} trainings of each candidate: a student of {STUDENT_SEEDS} networks travels "
        "better and is as fast as one"
    )
    measured = "mean QWK over the cameras +0.043 (0.024 to 0.065), IDRiD, n = 409: reports/experiments/averages.csv"
    return [
        Reason("training.distillation.teacher", "seeds", why, measured),
        Reason("training.distillation.weight", 0.5, "as measured there", measured),
        Reason("training.distillation.temperature", 2.0, "as measured there", measured),
    ]


def compiled(minutes: float | None, *, on_gpu: bool, compiler: bool) -> Reason:
    """torch.compile where its start-up time pays off."""
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
        "a little faster after a minute's start, as the recipes state; from 30 min: rule of thumb",
    )
