"""Figures of outlined lesions by cross-validation: IDRiD's part A, and the phantom with every kind.

`python -m benchmarks.lesions idrid --root FOLDER --work FOLDER --out reports/benchmarks/lesions_idrid.json`
`python -m benchmarks.lesions phantom --work FOLDER --out reports/benchmarks/lesions_phantom.json`

The photographs become canvases as in the stage `lesion-canvases`, in five folds by eye, without a grading set: the
figures are of lesions alone. Each fold's network is trained with one of `RECIPES`, by --recipe, and a fixed number of
epochs; nothing is chosen by its validation photographs. Networks that lie in FOLDER/models are not trained
again, so that the run may be interrupted. `--folds` names those to train and measure now: the figures then are of their
photographs alone. With --train-only nothing is measured, so that several processes may each train a fold of one FOLDER
once `--folds` without a number has written its canvases.

With --multi-task PROJECT the encoder learns grades as well (`GRADING`), those of the training part of fold 0 of a
project's data/canvases, data/audited.csv and data/splits.csv. The outlined photographs stay the same; those that the
grading set shows too are searched once and kept in FOLDER/same_eye.json. --alone FOLDER names a run without it, for the
difference of the areas, paired by photograph.

Protocol of the area: the pixels of all validation photographs together, as in IDRiD's challenge (Porwal et al., Medical
Image Analysis 2020;59:101561), at the canvas's resolution; thresholds of Dice and counts are fitted on other
photographs. With --original the area is computed a second time in the photographs' own pixels, to which the maps are
enlarged, against the masks as IDRiD publishes them. The challenge trained on 54 photographs and tested on 27 others;
here 43 or 44 train and 10 or 11 validate, so that figures are not those of its table.
"""

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.canvases.store import INDEX, PIXEL_PATH, CanvasStore
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.evaluation.lesion_evidence import LesionEvidence, segment
from dr_pipeline.evaluation.lesion_figures import fit_operating_points, lesion_figures
from dr_pipeline.evaluation.lesion_validation import lesion_evidence
from dr_pipeline.files import read_json, write_json
from dr_pipeline.fundus.canvas import Window
from dr_pipeline.fundus.decode import read_image_file
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.intake.lesion_adapters.choice import read_lesion_set
from dr_pipeline.intake.phantom.generate import (
    GROUND_TRUTH,
    LABELS,
    PHANTOM_LABELS,
    PHOTOGRAPHS,
    write_phantom,
)
from dr_pipeline.lesions.count import Counting, count_lesions
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.lesions.kinds import plane
from dr_pipeline.lesions.mask_files import join_masks, read_masks
from dr_pipeline.machine import describe_machine, usable_processes
from dr_pipeline.metrics.bootstrap import bootstrap_sums
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.metrics.segmentation import Histogram, average_precision, histogram, pooled_average_precision
from dr_pipeline.models.segmenter import Segmenter
from dr_pipeline.models.segmenter_files import SegmenterSpec, network_name, read_network, read_spec
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.params.lesions import LesionData
from dr_pipeline.params.phantom_params import Phantom
from dr_pipeline.params.section import validate
from dr_pipeline.recipes.lesion_entries import lesion_values
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.canvas_index import write_canvas_index
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.tables.splits import read_splits
from dr_pipeline.training.lesion_canvases import prepare_lesion_canvases
from dr_pipeline.training.lesion_photographs import GradingSet, select_photographs
from dr_pipeline.training.lesions.cross_validation import train_networks
from dr_pipeline.training.lesions.graded import Grades

# As `dr-pipeline recipe --lesions` writes it, but for the precision, which is the same on every machine.
RECIPE: dict[str, Any] = lesion_values("synthetic")["phantom"]["training"] | {"precision": "32-true"}
# Tiles of half a canvas: 384 px lost large hemorrhages, and discs as orange as what a tile shows around them.
GPU_RECIPE = RECIPE | {
    "epochs": 40,
    "tile_px": 768,
    "tiles_per_photograph": 6,
    "learning_rate": 0.002,
    "ema_decay": 0.998,
    "precision": "bf16-mixed",
}
RECIPES = {"shipped": RECIPE, "gpu": GPU_RECIPE}
# Side, batch and weights of grades as in the recipe for grading; their loss counts half of the lesions'.
GRADING: dict[str, Any] = {"weight": 0.5, "input_px": 288, "batch_photographs": 8, "balance_exponent": 0.5}
IDRID: dict[str, Any] = lesion_values("idrid_segmentation")["idrid"]["data"]
PHANTOM: dict[str, Any] = lesion_values("synthetic")["phantom"]["data"]
_PHANTOM_EYES: dict[str, Any] = {
    "seed": 20,
    "patients": 60,
    "grade_shares": [0.2, 0.2, 0.2, 0.2, 0.2],
    "megapixels": 2.5,  # an IRMA is four pixels wide on the canvas then
    "faults": {
        "exact_duplicates": 0,
        "near_duplicates": 0,
        "cross_patient": 0,
        "contradictions": 0,
        "exif_turns": 0,
        "colour_order": 0,
        "not_fundus": 0,
    },
}
PHOTOGRAPHS_WITH, PHOTOGRAPHS_WITHOUT = "photographs", "photographs_without_lesions"
_HASHED_PX = 384  # canvases on which photographs of one eye are searched
EVALUATION = Evaluation(bootstrap_replicates=1000, bootstrap_seed=20, confidence=0.95, two_eye_fusion=False)


def prepared(data: LesionData, name: str, work: Path) -> LesionStore:
    """The store of canvases, written once."""
    out = work / "canvases"
    if not (out / INDEX).is_file():
        nobody, path = work / "no_grading_set", PixelPath(_HASHED_PX)
        write_json(nobody / PIXEL_PATH, path.to_dict() | {"fingerprint": path.fingerprint})
        write_canvas_index(nobody / INDEX, [])
        grading = GradingSet(CanvasStore(nobody), [], [])
        report = prepare_lesion_canvases(name, data, grading, out, work / "scratch", EngineChoice(), grading_root=work)
        write_json(work / "canvases.json", report)
    return LesionStore(out)


def graded(data: LesionData, work: Path, project: Path) -> Grades:
    """The grading set of a project, and which of its photographs show outlined eyes; searched once."""
    store, splits = CanvasStore(project / "data" / "canvases"), read_splits(project / "data" / "splits.csv")
    audited, found = read_manifest(project / "data" / "audited.csv"), work / "same_eye.json"
    if not found.is_file():
        grading, root = GradingSet(store, audited, splits), Path(data.root)
        photographs = select_photographs(read_lesion_set(data), root, grading, work / "scratch-graded", EngineChoice())
        write_json(found, [[match.image_id, match.grading_id] for match in photographs.matches])
    same_eye: defaultdict[str, set[str]] = defaultdict(set)
    for image_id, grading_id in read_json(found):
        same_eye[image_id].add(grading_id)
    return Grades(store, audited, splits, 0, same_eye)


def train_missing(
    store: LesionStore, params: LesionTraining, grades: Grades | None, folds: Sequence[int], work: Path
) -> None:
    """Trains the networks that are not there yet; each has a file with the figures of its training beside."""
    models = work / "models"
    for fold in folds:
        record = work / "trainings" / f"{network_name(fold)}.json"
        if record.is_file():
            if read_spec(models).training != params:
                raise SystemExit(f"{models} has networks of another recipe: name another folder with --work")
            continue
        begun = time.process_time()
        figures = train_networks(
            store,
            params,
            models,
            work / "training",
            folds=[fold],
            grades=grades,
            on_epoch=lambda name, row: print(name, row, flush=True),
        )
        cpu_s = round(time.process_time() - begun, 1)
        write_json(record, figures[network_name(fold)] | {"cpu_s": cpu_s, "machine": describe_machine()})


def in_two_parts(evidence: Sequence[LesionEvidence]) -> list[LesionEvidence]:
    """Photographs of one fold as two, so that thresholds are fitted on the other part."""
    if len({photograph.fold for photograph in evidence}) > 1:
        return list(evidence)
    return [replace(photograph, fold=number % 2) for number, photograph in enumerate(evidence)]


def gradable_figures(store: LesionStore, evidence: Sequence[LesionEvidence], work: Path) -> dict[str, Any]:
    """Of the photographs that are not drawn too dark, blurred or hazy to grade; `score` counts no lesions in those."""
    truth = read_json(work / PHOTOGRAPHS_WITH / GROUND_TRUTH)["photographs"]
    gradable = in_two_parts([one for one in evidence if not truth[one.image_id]["ungradable"]])
    figures = lesion_figures(gradable, read_spec(work / "models").kinds, EVALUATION)
    return {"figures": figures} | phantom_figures(store, gradable, work)


def phantom_figures(store: LesionStore, evidence: Sequence[LesionEvidence], work: Path) -> dict[str, Any]:
    """What only drawn eyes can show: counts and opinions beside the drawn grade, foveas, eyes without their lesions.

    Args:
        store: The canvases.
        evidence: Photographs whose `fold` says by which part's operating points they are counted: the others'.
        work: The folder of the run.
    """
    spec, root, bare = read_spec(work / "models"), work / PHOTOGRAPHS_WITH, work / PHOTOGRAPHS_WITHOUT
    grades = {Path(row.image).stem: row.grade for row in PHANTOM_LABELS.read(root / LABELS)}
    truth = read_json(root / GROUND_TRUTH)["photographs"]
    within: defaultdict[str, list[bool]] = defaultdict(list)
    mild: defaultdict[str, list[str]] = defaultdict(list)
    foveas, false, groups, opinions = [], [], [], []
    trained = {store.rows[photograph.image_id].fold for photograph in evidence}
    networks = {fold: read_network(work / "models", network_name(fold), spec) for fold in trained}
    for fold in sorted({photograph.fold for photograph in evidence}):
        points = fit_operating_points((other for other in evidence if other.fold != fold), spec.kinds)
        kinds = tuple(kind for kind in spec.kinds if kind.name in points.thresholds)  # the other part shows them
        counting = Counting(kinds, points.thresholds, points.min_pixels, points.min_peaks, spec.um_per_px)
        for photograph in (photograph for photograph in evidence if photograph.fold == fold):
            row = store.rows[photograph.image_id]
            network = networks[row.fold]
            if grades[photograph.image_id] in (1, 2):
                for name in points.thresholds:
                    one = photograph.kinds[name]
                    within[name].append(abs(points.count(name, one) - len(one.true_areas)) <= 1)
                    mild[name].append(photograph.group)
            window = Window(row.window_left, row.window_top, row.window_width, row.window_height)
            drawn = truth[photograph.image_id]
            found = _findings(network, store.read(photograph.image_id).pixels, window, spec, counting)
            place, half_dd = (drawn["fovea"]["x"], drawn["fovea"]["y"]), drawn["px_per_disc_diameter"] / 2
            foveas.append(found.fovea is not None and math.dist(found.fovea, place) <= half_dd)
            without = PixelPath(spec.canvas_px).process((bare / PHOTOGRAPHS / f"{row.image_id}.jpg").read_bytes())
            false.append(len(_findings(network, without.canvas, without.window, spec, counting).lesions))
            groups.append(photograph.group)
            opinions.append(second_opinion(Counts.of(found)).low == grades[photograph.image_id])
    sums = np.stack([np.array(false, np.float64), np.ones(len(false))], axis=1)
    return {
        "count_within_1_grades_1_and_2": {
            name: clustered_proportion(np.array(hits), mild[name], EVALUATION.confidence).to_dict()
            for name, hits in within.items()
        },
        "second_opinion_is_the_drawn_grade": clustered_proportion(
            np.array(opinions), groups, EVALUATION.confidence
        ).to_dict(),
        "fovea_within_half_a_disc_diameter": clustered_proportion(
            np.array(foveas), groups, EVALUATION.confidence
        ).to_dict(),
        "false_components_of_eyes_drawn_without_lesions": bootstrap_sums(
            lambda sums: sums[:, 0] / sums[:, 1], sums, groups, replicates=1000, seed=20, confidence=0.95
        ).to_dict(),
    }


def _findings(
    network: Segmenter, canvas: NDArray[np.uint8], window: Window, spec: SegmenterSpec, counting: Counting
) -> Findings:
    maps = segment(network, canvas, tile_px=spec.training.tile_px, overlap=spec.training.overlap)
    fitted = [spec.kinds.index(kind) for kind in counting.kinds]
    return count_lesions(maps[fitted], canvas, window, counting)


def original_areas(store: LesionStore, data: LesionData, folds: Sequence[int], work: Path) -> dict[str, Any]:
    """Areas in the photographs' own pixels, outside the canvas included."""
    root = Path(data.root)
    photographs = {one.image_id: one for one in read_lesion_set(data).photographs}
    spec = read_spec(work / "models")
    histograms: defaultdict[str, list[Histogram]] = defaultdict(list)
    for fold in folds:
        network = read_network(work / "models", network_name(fold), spec)
        for row in (row for row in store.rows.values() if row.fold == fold):
            files = photographs[row.image_id].masks
            read = ((file, read_masks(read_image_file(root / file.path), file)) for file in files)
            masks = join_masks(read, row.height, row.width)
            canvas = store.read(row.image_id).pixels
            maps = segment(network, canvas, tile_px=spec.training.tile_px, overlap=spec.training.overlap)
            corner = np.array([row.window_left, row.window_top])
            scale = np.array([row.window_width, row.window_height]) / spec.canvas_px
            # centres of pixels: (canvas + 0.5) · scale + corner = original + 0.5
            matrix = np.array(
                [[scale[0], 0, corner[0] + scale[0] / 2 - 0.5], [0, scale[1], corner[1] + scale[1] / 2 - 0.5]]
            )
            for kind, found in zip(spec.kinds, maps, strict=True):
                enlarged = cv2.warpAffine(found, matrix, (row.width, row.height), flags=cv2.INTER_LINEAR)
                histograms[kind.name].append(histogram(np.clip(enlarged, 0, 1), plane(masks, kind)))
    return {
        name: pooled_average_precision(
            counts, [str(number) for number in range(len(counts))], replicates=1000, seed=20, confidence=0.95
        ).to_dict()
        for name, counts in histograms.items()
    }


def differences(evidence: Sequence[LesionEvidence], alone: Sequence[LesionEvidence]) -> dict[str, Any]:
    """By kind, how much larger the area is than that of networks which learn lesions alone, on the same photographs."""

    def larger(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        ours, theirs = np.split(sums, 2, axis=1)
        return average_precision(ours) - average_precision(theirs)

    pairs = list(zip(evidence, alone, strict=True))
    return {
        name: bootstrap_sums(
            larger,
            np.stack([np.stack([one.kinds[name].pixels for one in pair]).ravel() for pair in pairs]),
            [one.group for one in evidence],
            replicates=1000,
            seed=20,
            confidence=0.95,
        ).to_dict()
        for name in evidence[0].kinds
    }


def main() -> None:
    """Prepares, trains, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["idrid", "phantom"])
    parser.add_argument("--root", type=Path, help="folder of the data set; the phantom is drawn into --work")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--recipe", choices=RECIPES, default="shipped")
    parser.add_argument("--model", default=RECIPE["model"])
    parser.add_argument("--weights", default=RECIPE["weights"])
    parser.add_argument("--canvas-px", type=int, default=IDRID["canvas_px"])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--multi-task", type=Path, metavar="PROJECT", help="whose grades are learned as well")
    parser.add_argument("--alone", type=Path, metavar="FOLDER", help="--work of a run without --multi-task")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--original", action="store_true", help="the area in the photographs' own pixels as well")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    root = args.root or args.work / PHOTOGRAPHS_WITH
    if args.name == "phantom" and not root.is_dir():
        eyes = validate(_PHANTOM_EYES, Phantom, where="_PHANTOM_EYES")
        write_phantom(eyes, root, without_lesions=False, workers=usable_processes())
        write_phantom(eyes, args.work / PHOTOGRAPHS_WITHOUT, without_lesions=True, workers=usable_processes())
    own = {"root": str(root), "canvas_px": args.canvas_px}
    data = validate((IDRID if args.name == "idrid" else PHANTOM) | own, LesionData, where=args.name)
    recipe = RECIPES[args.recipe] | {"model": args.model, "weights": args.weights}
    recipe |= {"epochs": args.epochs} if args.epochs else {}
    store = prepared(data, args.name, args.work)
    grades = graded(data, args.work, args.multi_task) if args.multi_task else None
    recipe |= {"grading": GRADING} if grades else {}
    train_missing(store, validate(recipe, LesionTraining, where="RECIPE"), grades, args.folds, args.work)
    if args.train_only or not args.folds:
        return
    spec = read_spec(args.work / "models")
    evidence = lesion_evidence(store, args.work / "models", spec, folds=args.folds)
    result = {
        "what": __doc__.partition("\n")[0],
        "research_use": RESEARCH_USE,
        "machine": describe_machine(),
        "folds_measured": args.folds,
        "folds": spec.folds,
        "canvas_px": spec.canvas_px,
        "recipe": spec.training.model_dump(mode="json"),
        "trainings": {
            network_name(fold): read_json(args.work / "trainings" / f"{network_name(fold)}.json") for fold in args.folds
        },
        "figures": lesion_figures(in_two_parts(evidence), spec.kinds, EVALUATION),
    }
    if args.name == "phantom":
        result["gradable"] = gradable_figures(store, evidence, args.work)
    if args.alone:
        models = args.alone / "models"
        alone = lesion_evidence(store, models, read_spec(models), folds=args.folds)
        result["aupr_minus_lesions_alone"] = differences(evidence, alone)
    if args.original:
        result["aupr_in_original_pixels"] = original_areas(store, data, args.folds, args.work)
    write_json(args.out, result)
    for name, one in result["figures"]["kinds"].items():
        print(name, one["aupr"], one["dice"]["value"], one["count_within_1"]["value"])


if __name__ == "__main__":
    main()
