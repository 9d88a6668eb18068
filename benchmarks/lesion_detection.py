"""Microaneurysms found by a detector, and by the segmenter's outlines: FROC on the folds of benchmarks.lesions.

`python -m benchmarks.lesions idrid …` writes canvases and segmenters into FOLDER; then, for any folds at once:
`python -m benchmarks.lesion_detection idrid --work FOLDER --folds 0`
`python -m benchmarks.lesion_detection idrid --work FOLDER --out reports/benchmarks/lesion_detection_idrid.json`

Each fold's detector learns microaneurysms alone, from the photographs that its segmenter learned from, with `RECIPE`,
or by --gpu with more steps and channels, and a fixed number of epochs. Detectors and marks stay in FOLDER/detection, so
that folds may be trained by several processes, and the last command only joins them.

Both are marks with a score. A detector's mark is the centre of a box. A segmenter's is the surest pixel of a connected
component of its probabilities of `CANDIDATE` at least, and the score is that probability; a second figure scores it by
the component's mean. A mark is on the nearest lesion within `REACH_PX`, for both alike; lesions are the connected
components of the mask, corners included. Nothing is chosen by the validated photographs.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.lesions import EVALUATION
from benchmarks.lesions import RECIPE as SEGMENTER
from dr_pipeline.canvases.lesion_store import LesionStore
from dr_pipeline.evaluation.lesion_evidence import segment
from dr_pipeline.files import read_json, sha256_file, write_json
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.lesions.kinds import MICROANEURYSMS, plane
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.froc import NO_LESION, Marks, froc_difference, froc_figures
from dr_pipeline.models.detector import Detector, detect, detector_from_params
from dr_pipeline.models.segmenter_files import network_name, read_network, read_spec
from dr_pipeline.models.weights.checkpoint_files import read_tensors, write_tensors
from dr_pipeline.params.lesion_training import LesionTraining
from dr_pipeline.params.section import validate
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.lesions.lesion_data import lesion_data
from dr_pipeline.training.lesions.train_detector import detector_key, train_detector

# The segmenter's tiles and schedule, in half of its time; its loss is not used. The head's channels are for one kind.
RECIPE = SEGMENTER | {"decoder_channels": 32, "overlap": 0.25, "epochs": 5}
GPU = {"decoder_channels": 64, "epochs": 50, "batch_tiles": 8, "learning_rate": 0.002, "ema_decay": 0.998}
CANDIDATE = 0.1
REACH_PX = 3.0  # 28 µm of IDRiD's eyes: marks on the rim of what an annotator outlined generously or tightly
_FOLDS = (0, 1, 2, 3, 4)

Points = tuple[NDArray[np.float64], NDArray[np.float64]]  # x and y, (N, 2), and scores, (N,)


def components(probability: NDArray[np.float32], limit: float, *, mean: bool = False) -> Points:
    """Of each connected component of pixels of `limit` at least the centre of its surest pixel, and its score.

    Args:
        probability: (S, S).
        limit: Of the components.
        mean: Whether the score is the component's mean instead of its largest probability.
    """
    number, labels = cv2.connectedComponents((probability >= limit).astype(np.uint8), connectivity=8)
    rows, columns = np.nonzero(labels)
    order = np.argsort(-probability[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    label, found = labels[rows, columns], probability[rows, columns].astype(np.float64)
    _, surest = np.unique(label, return_index=True)
    centres = np.stack([columns[surest], rows[surest]], axis=1) + 0.5
    if not mean:
        return centres, found[surest]
    sizes = np.bincount(label, minlength=number)[1:]
    return centres, np.bincount(label, weights=found, minlength=number)[1:] / sizes


def on_lesions(centres: NDArray[np.float64], scores: NDArray[np.float64], shown: NDArray[np.bool_]) -> Marks:
    """Marks on the nearest lesion within `REACH_PX`.

    Args:
        centres: x and y, px, (N, 2).
        scores: (N,).
        shown: (S, S), where the photograph shows a lesion.
    """
    number, labels = cv2.connectedComponents(shown.astype(np.uint8), connectivity=8)
    away, nearest = cv2.distanceTransformWithLabels(
        (~shown).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lesion_of = np.zeros(nearest.max() + 1, np.int64)
    lesion_of[nearest[shown]] = labels[shown]
    columns, rows = centres.astype(np.int64).clip(0, len(shown) - 1).T
    hit = shown.any() & (away[rows, columns] <= REACH_PX)
    return Marks(scores, np.where(hit, lesion_of[nearest[rows, columns]], NO_LESION), number - 1)


def trained(store: LesionStore, params: LesionTraining, fold: int, work: Path) -> Detector:
    """The detector that did not see a fold, trained where it is not there yet."""
    weights, record = work / f"{network_name(fold)}.safetensors", work / f"{network_name(fold)}.json"
    if not record.is_file():
        data = lesion_data(store, (MICROANEURYSMS,), fold)
        annotated = [one for one in data.image_ids if MICROANEURYSMS.name in store.rows[one].labelled_kinds]
        data = replace(data, image_ids=tuple(annotated))
        checkpoint = Checkpoint(work / "training" / network_name(fold), detector_key(params, data))
        begun = time.process_time()
        result = train_detector(params, data, checkpoint, on_epoch=lambda row: print(fold, row, flush=True))
        write_tensors(result.tensors, weights)
        figures = result.figures() | {"photographs": len(annotated), "cpu_s": round(time.process_time() - begun, 1)}
        write_json(record, figures | {"params": params.model_dump(mode="json"), "machine": describe_machine()})
        checkpoint.remove()
    if validate(read_json(record)["params"], LesionTraining, where=str(record)) != params:
        raise SystemExit(f"{work} has detectors of another recipe: remove it, or name another --work")
    network, _ = detector_from_params(params)
    network.load_state_dict(read_tensors((weights,)))
    return network.eval()


def mark_fold(
    store: LesionStore, detector: Detector | None, params: LesionTraining, fold: int, work: Path
) -> dict[str, Any]:
    """Marks of each way on the photographs of a fold, by photograph."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spec = read_spec(work / "models")
    if sha256_file(store.index_path) != spec.index_sha256:
        raise SystemExit(f"the networks of {work} were trained on other canvases, or on other folds of them")
    segmenter = read_network(work / "models", network_name(fold), spec).to(device)
    index, marked = spec.kinds.index(MICROANEURYSMS), {}
    for row in (row for row in store.rows.values() if row.fold == fold and MICROANEURYSMS.name in row.labelled_kinds):
        canvas = store.read(row.image_id)
        outlined = segment(segmenter, canvas.pixels, tile_px=spec.training.tile_px, overlap=spec.training.overlap)[
            index
        ]
        found: dict[str, Points] = {
            "segmenter": components(outlined, CANDIDATE),
            "segmenter_by_mean": components(outlined, CANDIDATE, mean=True),
        }
        if detector is not None:
            found["detector"] = detect(
                detector.to(device), canvas.pixels, tile_px=params.tile_px, overlap=params.overlap
            )
        shown = plane(canvas.masks, MICROANEURYSMS)
        marks = {way: on_lesions(*points, shown) for way, points in found.items()}
        marked[row.image_id] = {
            way: {"score": one.score.tolist(), "lesion": one.lesion.tolist(), "num_lesions": one.num_lesions}
            for way, one in marks.items()
        }
    return marked


def figures(marked: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    """FROC of each way, and of the detector less each of the segmenter's, paired by photograph."""
    drawing: dict[str, Any] = {
        "replicates": EVALUATION.bootstrap_replicates,
        "seed": EVALUATION.bootstrap_seed,
        "confidence": EVALUATION.confidence,
    }
    ways = {
        way: [
            Marks(np.array(one[way]["score"], float), np.array(one[way]["lesion"], int), one[way]["num_lesions"])
            for one in marked.values()
        ]
        for way in next(iter(marked.values()))
    }
    found = {way: froc_figures(marks, groups, **drawing) for way, marks in ways.items()}
    if detector := ways.pop("detector", None):
        for way, marks in ways.items():
            found[f"detector_minus_{way}"] = froc_difference(detector, marks, groups, **drawing)
    return found


def main() -> None:
    """Trains, marks, and with --out joins the folds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["idrid", "phantom"], help="for the report")
    parser.add_argument("--work", type=Path, required=True, help="that of benchmarks.lesions")
    parser.add_argument("--folds", type=int, nargs="+", default=_FOLDS)
    parser.add_argument("--gpu", action="store_true", help="more steps and channels")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--weights", default=RECIPE["weights"])
    parser.add_argument("--segmenter-alone", action="store_true", help="no detector is trained or measured")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory(all_of_it=True)
    values = RECIPE | (GPU if args.gpu else {}) | {"weights": args.weights}
    values |= {"epochs": args.epochs} if args.epochs else {}
    params = validate(values, LesionTraining, where="RECIPE")
    store, work = LesionStore(args.work / "canvases"), args.work / "detection"
    marked: dict[str, Any] = {}
    for fold in args.folds:
        detector = None if args.segmenter_alone else trained(store, params, fold, work)
        file = work / f"{'outlines' if args.segmenter_alone else 'marks'}-{network_name(fold)}.json"
        if not file.is_file():
            write_json(file, mark_fold(store, detector, params, fold, args.work))
        marked |= read_json(file)
    if args.out is None:
        return
    result = {
        "what": __doc__.partition("\n")[0],
        "research_use": RESEARCH_USE,
        "machine": describe_machine(),
        "data": args.name,
        "folds_measured": list(args.folds),
        "candidate_probability": CANDIDATE,
        "reach_px": REACH_PX,
        "canvas_px": store.pixel_path.canvas_px,
        "segmenter": read_spec(args.work / "models").training.model_dump(mode="json"),
        "detectors": {
            network_name(fold): read_json(work / f"{network_name(fold)}.json")
            for fold in args.folds
            if not args.segmenter_alone
        },
        "figures": figures(marked, [store.rows[image_id].group for image_id in marked]),
    }
    write_json(args.out, result)
    for way, one in result["figures"].items():
        print(way, one["score"], [row["value"] for row in one["sensitivity"]])


if __name__ == "__main__":
    main()
