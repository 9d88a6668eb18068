"""Does a network of lesions help grading? Five arms on IDRiD, by nested folds and through other cameras.

| arm | what it is |
|---|---|
| grader | the grading network alone; the others are compared with it |
| lesion_encoder | it starts from the encoder of the network of lesions |
| lesion_planes | probability maps of the lesions are further input planes; the first convolution starts at 0 for them |
| counts | no network grades: logistic regression on number and area of each kind, fitted on the training part |
| stacked | logistic regression on these and the grader's log-probabilities, fitted on the validation part |

No photograph that the network of lesions, or its thresholds, were fitted on may train or test a grader here: those of
the data set with masks, their copies, and other photographs of their eyes and patients take no part. Maps and counts of
every camera are computed from the pixels that this camera gives, at the side of the network of lesions; training sees
the maps of the photographs as they are, moved and cropped with them.

    P="python -m benchmarks.lesion_grading"
    $P prepare --work WORK --data DATA --params PARAMS --masks ROOT --lesions FOLDER
    $P maps --work WORK --photographs ROOT --workers N
    $P train --work WORK --arm grader --fold 0 --seed 20     # each arm of NETWORKS, each fold, one or more seeds
    $P join --work WORK --out reports/benchmarks/lesion_grading.json

DATA holds audited.csv and canvases/ of the grading set; FOLDER is the --work of `benchmarks.lesions idrid`, of whose
networks the one of --fold is exported as lesions.onnx, with thresholds of the photographs that it did not see. `train`
reads nothing but WORK, so that it may run on another machine. What is there is not computed again, so that every
command may be interrupted.
"""

import argparse
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.utils import set_determinism
from numpy.typing import NDArray

from benchmarks.lesions import EVALUATION, IDRID
from dr_pipeline.bundle.bundle_files import LESIONS
from dr_pipeline.bundle.decision import softmax
from dr_pipeline.bundle.lesions import LesionModel
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.evaluation.image_metrics import figures, resampling
from dr_pipeline.evaluation.lesion_evidence import find_places
from dr_pipeline.evaluation.lesion_figures import fit_operating_points, require_every_kind
from dr_pipeline.evaluation.lesion_validation import lesion_evidence
from dr_pipeline.experiments.fold_results import FoldResult, read_result, write_result
from dr_pipeline.experiments.nested_folds import NestedFold, eligible_photographs, folds_digest, nested_folds
from dr_pipeline.experiments.out_of_fold import OutOfFold, pool_folds
from dr_pipeline.experiments.shift_summary import shift_summary
from dr_pipeline.experiments.shifted_canvases import FAMILIES, ShiftedCanvases
from dr_pipeline.experiments.summary import fold_figures
from dr_pipeline.files import atomic_write, read_json, sha256_json, write_json
from dr_pipeline.fundus.camera_models import Camera, draw_camera
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath, model_input
from dr_pipeline.intake.lesion_adapters.choice import read_lesion_set
from dr_pipeline.lesions.count import Counting
from dr_pipeline.logs import progress
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.bootstrap import paired_qwk_difference
from dr_pipeline.metrics.cross_fitting import held_out_parts
from dr_pipeline.models.channels import first_convolution_names
from dr_pipeline.models.classifier import init_classifier
from dr_pipeline.models.grader import Grader
from dr_pipeline.models.segmenter_files import (
    ALL,
    network_hashes,
    network_name,
    read_network,
    read_spec,
    write_network,
    write_spec,
)
from dr_pipeline.models.weights.initialise import initialise_weights
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.curation import SplitParams
from dr_pipeline.params.evaluation import OperatingPoint
from dr_pipeline.params.lesions import LesionData
from dr_pipeline.params.params_file import load_section, read_document
from dr_pipeline.params.section import validate
from dr_pipeline.params.training import Augmentation, Training
from dr_pipeline.schema import GRADES, RESEARCH_USE
from dr_pipeline.splitting.groups import Group, bridges_of, group_photographs
from dr_pipeline.tables.manifest import ManifestRow, read_manifest
from dr_pipeline.tables.splits import SplitRow
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.augmentation import augmenter
from dr_pipeline.training.data.canvas_dataset import GradedCanvases
from dr_pipeline.training.data.sampler import derived_seed
from dr_pipeline.training.data.targets import training_targets
from dr_pipeline.training.fabric import device_name, make_fabric
from dr_pipeline.training.lesion_photographs import GradingSet, select_photographs
from dr_pipeline.training.loop import FitOptions, fit
from dr_pipeline.training.predict import evaluation_batch, predict
from dr_pipeline.training.trainer import untrained_grader

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]

NETWORKS = ("grader", "lesion_encoder", "lesion_planes")
CLEAN = "clean"
STRENGTH = 1.0  # of the cameras, as in the experiments `travel` and `recipes`
NUM_FOLDS = 5
# The recipe of the experiment `recipes`, arm steep_288.
SCHEDULE: dict[str, Any] = {"input_px": 288, "epochs": 12, "learning_rate": 0.0009}
# Strong: a validation part has some sixty photographs, a row of the regression about ten columns.
INVERSE_PENALTY = 0.1
_FLOOR = 1e-4  # of a probability, before its logarithm
_FRAMING = frozenset({"narrow_field", "cut_off"})  # what of a camera moves the lesions
_SEGMENTER, _CHOICE = "segmenter", "photographs.json"


def prepare(args: argparse.Namespace) -> None:
    """Chooses the photographs and exports the network of lesions."""
    work, audited = args.work, read_manifest(args.data / "audited.csv")
    work.mkdir(parents=True, exist_ok=True)
    (work / "audited.csv").write_bytes((args.data / "audited.csv").read_bytes())
    (work / "params.yaml").write_bytes(args.params.read_bytes())
    masked = validate(IDRID | {"root": str(args.masks)}, LesionData, where="--masks")
    grading = GradingSet(CanvasStore(args.data / "canvases"), audited, [])
    scratch = work.with_name(f"{work.name}-scratch")
    found = select_photographs(read_lesion_set(masked), args.masks, grading, scratch, EngineChoice())
    groups = group_photographs(eligible_photographs(audited, None), bridges_of(audited))
    used = unseen(groups, {match.grading_id for match in found.matches})
    choice = {
        "photographs_with_grade": sum(len(group.photographs) for group in groups),
        "of_the_set_with_masks": [asdict(match) for match in found.matches],
        "image_ids": sorted(one.image_id for group in used for one in group.photographs),
        "cameras": args.cameras,
    }
    write_json(work / _CHOICE, choice)
    export_fold(args.lesions, args.fold, work)


@cache
def views_of(work: Path) -> tuple[str, ...]:
    """The photographs as they are, and the cameras through which they are seen, too."""
    return CLEAN, *read_json(work / _CHOICE)["cameras"]


def unseen(groups: Sequence[Group], known: set[str]) -> list[Group]:
    """The groups without a photograph that the network of lesions knows, or that shows the same eye or patient."""
    return [group for group in groups if known.isdisjoint(one.image_id for one in group.photographs)]


def export_fold(lesions: Path, fold: int, work: Path) -> None:
    """Exports one network of a cross-validation, with thresholds of the photographs that it did not see."""
    from dr_pipeline.deployment.export_lesions import export_lesions  # needs onnx, which a machine that trains may lack

    store, spec = LesionStore(lesions / "canvases"), read_spec(lesions / "models")
    points = fit_operating_points(lesion_evidence(store, lesions / "models", spec, folds=[fold]), spec.kinds)
    require_every_kind(points, spec.kinds)
    tensors = read_network(lesions / "models", network_name(fold), spec).state_dict()
    write_network(work / _SEGMENTER, ALL, tensors)
    write_spec(work / _SEGMENTER, spec)
    stated = points.to_dict() | {"networks": network_hashes(work / _SEGMENTER)}
    export_lesions(work / _SEGMENTER, spec, stated, store, work / LESIONS)


def _inputs_path(work: Path, image_id: str) -> Path:
    return work / "inputs" / f"{image_id}.npz"


def _measures_path(work: Path, image_id: str) -> Path:
    return work / "measures" / f"{image_id}.npy"


@cache
def _lesion_model(work: Path) -> LesionModel:
    return LesionModel((work / LESIONS).read_bytes(), threads=1)


@dataclass(frozen=True)
class _One:
    """A source of canvases that holds one."""

    pixels: Pixels

    def read(self, _image_id: str) -> Pixels:
        return self.pixels


def write_inputs(work: Path, photographs: Path, row: ManifestRow) -> None:
    """Writes what the arms see of a photograph, in each view: pixels, planes, and log (1 + count, 1 + area in px).

    Planes are the greatest probability around each pixel, 0 … 255: a microaneurysm is narrower than an input pixel.
    """
    path = _inputs_path(work, row.image_id)
    if path.is_file():
        return
    model, side = _lesion_model(work), SCHEDULE["input_px"]
    described = model.description
    pixel_path = PixelPath(described.canvas_px)
    canvas = pixel_path.process((photographs / row.path).read_bytes(), find_text=False).canvas
    lesions = [number for number, kind in enumerate(described.counting.kinds) if kind.is_lesion]
    reach = np.ones((max(1, len(canvas) // side),) * 2, np.uint8)
    pixels, planes, features = [], [], []
    for view in views_of(work):
        seen = canvas if view == CLEAN else ShiftedCanvases(_One(canvas), view, STRENGTH).read(row.image_id)
        maps = model.probabilities(seen)
        pixels.append(model_input(seen, side))
        widened = (cv2.dilate(maps[number], reach) for number in lesions)
        planes.append([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in widened])
        features.append([_measures(maps[number], number, described.counting) for number in lesions])
    measures = np.array(features, np.float32).reshape(len(pixels), -1)
    _write(_measures_path(work, row.image_id), lambda stream: np.save(stream, measures))
    planes_of = np.rint(np.moveaxis(np.array(planes), 1, -1) * 255).astype(np.uint8)
    _write(path, lambda stream: np.savez(stream, pixels=np.stack(pixels), planes=planes_of))


def _write(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    stream = io.BytesIO()
    save(stream)
    with atomic_write(path, private=True) as file:
        file.write(stream.getvalue())


def _measures(probability: NDArray[np.float32], number: int, counting: Counting) -> tuple[float, float]:
    name = counting.kinds[number].name
    places = find_places(probability, counting.thresholds[name])
    kept = places.areas[(places.areas >= counting.min_pixels[name]) & (places.peaks >= counting.min_peaks[name])]
    return float(np.log1p(len(kept))), float(np.log1p(kept.sum()))


@dataclass(frozen=True)
class Inputs:
    """The networks' inputs as a source of canvases: RGB, and the planes behind it where the arm has them."""

    work: Path
    view: str
    planes: bool

    def read(self, image_id: str) -> Pixels:
        """(side, side, 3 or 3 + K) uint8."""
        with np.load(_inputs_path(self.work, image_id)) as stored:
            number = views_of(self.work).index(self.view)
            pixels: Pixels = stored["pixels"][number]
            return np.concatenate([pixels, stored["planes"][number]], axis=2) if self.planes else pixels


def features_of(work: Path, rows: Sequence[SplitRow], view: str) -> Array:
    """Measures of the lesions (N, 2 K)."""
    number = views_of(work).index(view)
    return np.array([np.load(_measures_path(work, row.image_id))[number] for row in rows], np.float64)


def augmentation(params: Augmentation) -> Callable[[Pixels, int], Pixels]:
    """As in training, all arms alike; planes behind RGB are turned, mirrored and cropped with it, nothing else."""
    photometric = ("brightness", "contrast", "saturation", "hue", "blur_probability", "jpeg_probability")
    still = {"rotation_deg": 0.0, "scale": 0.0, "translation": 0.0, "flip": False}
    unlit = dict.fromkeys((*photometric, "coarse_dropout_probability", "camera"), 0.0)
    move, light = (
        augmenter(params.model_copy(update=unlit)),
        augmenter(params.model_copy(update=still | {"camera": 0.0})),
    )

    def augment(pixels: Pixels, seed: int) -> Pixels:
        rng = np.random.default_rng(derived_seed(seed, 1))
        camera = draw_camera(rng, rng.uniform(0, params.camera), on_canvases=True)
        colours = light(camera.canvas(move(np.ascontiguousarray(pixels[..., :3]), seed)), derived_seed(seed, 2))
        if pixels.shape[2] == colours.shape[2]:
            return colours
        framed = Camera(camera.models & _FRAMING, camera.strength)
        planes = framed.canvas(move(np.ascontiguousarray(pixels[..., 3:]), seed))
        return np.concatenate(
            [colours, planes.reshape(*colours.shape[:2], -1)], axis=2
        )  # OpenCV drops a single one's axis

    return augment


def add_planes(grader: Grader, count: int) -> None:
    """Further input channels, 0 … 255, behind RGB; with their weights at 0 the network's outputs stay as they are."""
    (name,) = first_convolution_names(grader.backbone)
    convolution: Any = grader.backbone.get_submodule(name.removesuffix(".weight"))
    weight = convolution.weight.detach()
    new = weight.new_zeros(len(weight), count, *weight.shape[2:])
    convolution.weight = torch.nn.Parameter(torch.cat([weight, new], dim=1))
    convolution.in_channels += count
    grader.mean = torch.cat([grader.mean, grader.mean.new_zeros(1, count, 1, 1)], dim=1)
    grader.std = torch.cat([grader.std, grader.std.new_full((1, count, 1, 1), 255.0)], dim=1)


def num_planes(work: Path) -> int:
    """How many kinds of lesion there are maps of."""
    return sum(kind.is_lesion for kind in read_spec(work / _SEGMENTER).kinds)


def recipe(work: Path, epochs: int) -> tuple[Candidate, Training]:
    """Network and schedule, the same for all arms."""
    document = read_document(work / "params.yaml")
    values = document["candidates"]["lite0"] | SCHEDULE | {"epochs": epochs}
    return validate(values, Candidate, where="candidates.lite0"), load_section(
        work / "params.yaml", "training", Training
    )


def folds_of(work: Path) -> list[NestedFold]:
    """The nested folds of the photographs that the network of lesions does not know."""
    audited, used = read_manifest(work / "audited.csv"), set(read_json(work / _CHOICE)["image_ids"])
    photographs = [one for one in eligible_photographs(audited, None) if one.image_id in used]
    salt = load_section(work / "params.yaml", "split", SplitParams).salt
    return nested_folds(group_photographs(photographs, bridges_of(audited)), NUM_FOLDS, salt)


def untrained(work: Path, arm: str, candidate: Candidate, training: Training, grades: Sequence[int]) -> Grader:
    """The network of an arm with its first weights."""
    grader = untrained_grader(candidate, training)
    init_classifier(grader.backbone, grader.head, grades)
    initialise_weights(grader, model=candidate.model, weights=candidate.weights)
    if arm == "lesion_encoder":  # its last convolution, which the segmenter has not, stays as it is
        segmenter = read_network(work / _SEGMENTER, ALL, read_spec(work / _SEGMENTER))
        encoder = segmenter.encoder.state_dict()
        if unknown := grader.backbone.load_state_dict(encoder, strict=False).unexpected_keys:
            raise SystemExit(f"the network of lesions has another encoder than {candidate.model}: {unknown[0]}")
    if arm == "lesion_planes":
        add_planes(grader, num_planes(work))
    return grader


def _result(work: Path, arm: str, nested: NestedFold, seed: int, epochs: int) -> tuple[Path, str]:
    key = sha256_json([arm, nested.digest, seed, SCHEDULE | {"epochs": epochs}, views_of(work)])
    return work / "results" / f"{arm}-{nested.fold}-{seed}", key


def train(args: argparse.Namespace) -> None:
    """Trains one arm on one fold, and predicts its validation and outer part."""
    work, nested = args.work, folds_of(args.work)[args.fold]
    folder, key = _result(work, args.arm, nested, args.seed, args.epochs)
    if read_result(folder, nested.validation, nested.outer, key=key) is not None:
        return
    candidate, training = recipe(work, args.epochs)
    planes = args.arm == "lesion_planes"
    set_determinism(args.seed)
    fabric = make_fabric(training.precision, candidate.fine_tuning)
    grader = untrained(work, args.arm, candidate, training, [row.grade for row in nested.training])
    canvases = partial(GradedCanvases, Inputs(work, CLEAN, planes), input_px=candidate.input_px)
    train_set = canvases(
        image_ids=[row.image_id for row in nested.training],
        grades=[row.grade for row in nested.training],
        augment=augmentation(training.augmentation),
        seed=args.seed,
        targets=training_targets(nested.training, {}, agreement=0.0, soft=False),
    )
    validation_ids, outer_ids = ([row.image_id for row in part] for part in (nested.validation, nested.outer))
    val_set = canvases(
        image_ids=validation_ids,
        grades=[row.grade for row in nested.validation],
        groups=[row.group for row in nested.validation],
    )
    checkpoint = Checkpoint(folder / "checkpoint", key)
    options = FitOptions(args.seed, checkpoint, lambda row: print(folder.name, row, flush=True))
    result = fit(fabric, grader, train_set, val_set, candidate=candidate, params=training, options=options)
    finished = untrained_grader(candidate, training)
    if planes:
        add_planes(finished, num_planes(work))
    finished.load_state_dict(result.weights)

    def logits(view: str, image_ids: Sequence[str]) -> NDArray[np.float32]:
        source = Inputs(work, view, planes)
        return predict(finished, source, image_ids, candidate.input_px, batch=evaluation_batch(candidate))

    facts = {
        "best_epoch": result.best.epoch,
        "inner_validation_qwk": result.best.validation_qwk,
        "seconds": round(sum(row.seconds for row in result.history), 1),
        "device": device_name(fabric),
        "torch": torch.__version__,
    }
    shifted = {view: logits(view, outer_ids) for view in views_of(work) if view != CLEAN}
    found = FoldResult(logits(CLEAN, validation_ids), logits(CLEAN, outer_ids), facts, shifted)
    write_result(folder, found, nested.validation, nested.outer, key=key)
    checkpoint.remove()


def mean_of_seeds(results: Sequence[FoldResult]) -> FoldResult:
    """The mean of their probabilities, as log-probabilities."""

    def mean(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return _log(np.mean([softmax(one.astype(np.float64)) for one in logits], axis=0))

    return FoldResult(
        mean([one.validation for one in results]),
        mean([one.outer for one in results]),
        {"trainings": [dict(one.facts) for one in results]},
        {view: mean([one.shifted[view] for one in results]) for view in results[0].shifted},
    )


def _log(probabilities: Array) -> NDArray[np.float32]:
    return np.log(np.maximum(probabilities, _FLOOR)).astype(np.float32)


def _regression(features: Array, grades: NDArray[np.int64]) -> Any:
    from sklearn.linear_model import LogisticRegression  # not on every machine that trains
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=5000)).fit(features, grades)


def _predicted(model: Any, features: Array) -> NDArray[np.float32]:
    """Log-probabilities (N, 5); a grade that the regression has not seen gets the floor."""
    probabilities = np.zeros((len(features), len(GRADES)))
    probabilities[:, model.classes_] = model.predict_proba(features)
    return _log(probabilities)


def counts(
    nested: NestedFold, cameras: Iterable[str], measured: Callable[[Sequence[SplitRow], str], Array]
) -> FoldResult:
    """The arm without a network: the regression is fitted on the training part."""
    model = _regression(measured(nested.training, CLEAN), _grades(nested.training))
    return FoldResult(
        _predicted(model, measured(nested.validation, CLEAN)),
        _predicted(model, measured(nested.outer, CLEAN)),
        {},
        {camera: _predicted(model, measured(nested.outer, camera)) for camera in cameras},
    )


def stacked(nested: NestedFold, grader: FoldResult, measured: Callable[[Sequence[SplitRow], str], Array]) -> FoldResult:
    """Grader and counts together: fitted on the validation part, whose own predictions are cross-fitted."""

    def columns(logits: NDArray[np.float32], rows: Sequence[SplitRow], view: str) -> Array:
        return np.hstack([_log(softmax(logits.astype(np.float64))), measured(rows, view)])

    known, grades = columns(grader.validation, nested.validation, CLEAN), _grades(nested.validation)
    validation = np.empty((len(known), len(GRADES)), np.float32)
    for held_out, rest in held_out_parts([row.group for row in nested.validation]):
        validation[held_out] = _predicted(_regression(known[rest], grades[rest]), known[held_out])
    model = _regression(known, grades)
    return FoldResult(
        validation,
        _predicted(model, columns(grader.outer, nested.outer, CLEAN)),
        {},
        {view: _predicted(model, columns(logits, nested.outer, view)) for view, logits in grader.shifted.items()},
    )


def _grades(rows: Sequence[SplitRow]) -> NDArray[np.int64]:
    return np.array([row.grade for row in rows], np.int64)


def join(args: argparse.Namespace) -> None:
    """Reads all trainings, fits the regressions, and writes the figures of every arm."""
    work, folds = args.work, folds_of(args.work)
    results: dict[str, list[FoldResult]] = {}
    for arm in (one for one in NETWORKS if one in args.arms):
        results[arm] = []
        for nested in folds:
            found = []
            for seed in args.seeds:
                folder, key = _result(work, arm, nested, seed, args.epochs)
                if (one := read_result(folder, nested.validation, nested.outer, key=key)) is None:
                    raise SystemExit(f"{folder} holds no result: train {arm}, fold {nested.fold}, seed {seed}")
                found.append(one)
            results[arm].append(mean_of_seeds(found))
    measured = partial(features_of, work)
    results["counts"] = [
        counts(nested, one.shifted, measured) for nested, one in zip(folds, results["grader"], strict=True)
    ]
    results["stacked"] = [stacked(nested, one, measured) for nested, one in zip(folds, results["grader"], strict=True)]
    targets = load_section(work / "params.yaml", "operating_point", OperatingPoint)
    pooled = {arm: pool_folds(folds, found, targets, seed=EVALUATION.bootstrap_seed) for arm, found in results.items()}
    choice, counting = read_json(work / _CHOICE), _lesion_model(work).description.counting
    report = {
        "what": __doc__.partition("\n")[0],
        "research_use": RESEARCH_USE,
        "machine": describe_machine(),
        "photographs": {
            "with_grade": choice["photographs_with_grade"],
            "used": len(choice["image_ids"]),
            "matches_of_the_set_with_masks": len(choice["of_the_set_with_masks"]),
        },
        "folds": NUM_FOLDS,
        "division": folds_digest(folds),
        "seeds": args.seeds,
        "schedule": SCHEDULE | {"epochs": args.epochs},
        "camera_shift": STRENGTH,
        "operating_points": {
            "thresholds": dict(counting.thresholds),
            "min_pixels": dict(counting.min_pixels),
            "min_peaks": dict(counting.min_peaks),
        },
        "segmenter": read_spec(work / _SEGMENTER).training.model_dump(mode="json"),
        "arms": {arm: _arm(one, pooled["grader"], results[arm]) for arm, one in pooled.items()},
    }
    write_json(args.out, report)
    for arm, entry in report["arms"].items():
        print(arm, entry["figures"]["qwk"], entry["qwk_minus_grader"], entry["shifts"]["mean_minus_first"], sep="\n  ")


def _arm(pooled: OutOfFold, first: OutOfFold, results: Sequence[FoldResult]) -> Mapping[str, Any]:
    drawn = resampling(EVALUATION)
    difference = paired_qwk_difference(pooled.grades, pooled.decided.grade, first.decided.grade, pooled.groups, **drawn)
    return {
        "figures": figures(pooled.decided, pooled.grades, pooled.groups, EVALUATION),
        "qwk_minus_grader": difference.to_dict(),
        "shifts": shift_summary(pooled, first, drawn),
        "by_fold": [fold_figures(pooled, fold) for fold in range(NUM_FOLDS)],
        "folds": [dict(one.facts) for one in results],
    }


def main() -> None:
    """One of the four steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "maps", "train", "join"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--params", type=Path)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--lesions", type=Path)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--arm", choices=NETWORKS)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[20])
    parser.add_argument("--epochs", type=int, default=SCHEDULE["epochs"])
    parser.add_argument("--cameras", nargs="+", choices=FAMILIES, default=FAMILIES, help="fewer where there is no GPU")
    parser.add_argument("--arms", nargs="+", choices=NETWORKS, default=NETWORKS, help="those that are trained")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.step == "maps":
        used = set(read_json(args.work / _CHOICE)["image_ids"])
        rows = [row for row in read_manifest(args.work / "audited.csv") if row.image_id in used]
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            done = pool.map(partial(write_inputs, args.work, args.photographs), rows)
            for _ in progress(done, label="maps", total=len(rows)):
                pass
    else:
        {"prepare": prepare, "train": train, "join": join}[args.step](args)


if __name__ == "__main__":
    main()
