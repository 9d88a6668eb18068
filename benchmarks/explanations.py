"""How well maps of what raised a grade point at lesions, and whether they depend on what the network learned.

    python -m benchmarks.explanations --export data/exports/lite1 --validation data/validation/lite1 --data data \
      --photographs data/phantom/default/photographs --masks data/phantom/default/lesion_masks \
      --name phantom --out reports/benchmarks/explanations.json

Photographs are those of the test and validation parts that have a mask of lesions and are gradable; they are found in
the canvases' index by their perceptual hash, so that another copy of a data set may have other names. The sanity
check (Adebayo et al., NeurIPS 2018) compares each map with that of the same architecture with random weights, in all
layers or in the classifier alone: Spearman's correlation inside the disc.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dr_pipeline.bundle.attribution import AttributionModel
from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.formats.attribution_part import MIN_CELLS, attribution_part
from dr_pipeline.deployment.formats.onnx_graph import export_onnx
from dr_pipeline.files import read_json, write_json
from dr_pipeline.fundus.canvas import disc_mask, model_input
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import Photograph
from dr_pipeline.fundus.registration import map_in_original
from dr_pipeline.logs import progress
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.localisation import (
    TOLERANCE,
    Localisation,
    centre_prior,
    localisation_figures,
    localise,
    rank_correlation,
)
from dr_pipeline.models import explain as torch_maps
from dr_pipeline.models.grader import Grader, grader_from_spec
from dr_pipeline.models.weights.trained_weights import load_strict
from dr_pipeline.schema import RESEARCH_USE, Split, Status
from dr_pipeline.scoring import explain as onnx_maps
from dr_pipeline.scoring.lesion_masks import LesionMasks
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.canvas_index import read_canvas_index
from dr_pipeline.tables.splits import SplitRow, read_splits, select_split

DRAWN = {"replicates": 2000, "seed": 20, "confidence": 0.95}
SAME_PHOTOGRAPH_BITS = 20  # of 256; IDRiD's two copies of a photograph differ by 15 at most, its nearest others by 24
CanvasMap = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """A photograph with lesions."""

    row: SplitRow
    photograph: Photograph
    lesions: NDArray[np.bool_]


@dataclass(frozen=True)
class Network:
    """A network in torch and in ONNX, and its maps of a canvas by name."""

    grader: Grader
    onnx: bytes
    input_px: int

    def maps(self) -> dict[str, CanvasMap]:  # noqa: D102
        layers = torch_maps.feature_layers(self.grader)
        fine = [name for name, reduction in layers if self.input_px // reduction >= MIN_CELLS][-1]
        plain = OnnxModel(self.onnx, threads=1)
        return {
            "attribution": self._attribution(MIN_CELLS),
            "class_activation": self._attribution(1),
            "grad_cam_plus_plus": self._resized(lambda x: torch_maps.grad_cam_plus_plus(self.grader, x, layers[-1][0])),
            "grad_cam_plus_plus_fine": self._resized(lambda x: torch_maps.grad_cam_plus_plus(self.grader, x, fine)),
            "occlusion": self._resized(lambda x: onnx_maps.occlusion(plain.logits, x)),
            "occlusion_monai": self._resized(lambda x: torch_maps.occlusion(self.grader, x)),
        }

    def _attribution(self, min_cells: int) -> CanvasMap:
        model = AttributionModel(self.onnx, attribution_part(self.onnx, min_cells=min_cells), threads=1)

        def on_canvas(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
            cells = model.attribution(model_input(canvas, self.input_px)[np.newaxis])[0]
            return model.grid.on_canvas(cells, self.input_px, len(canvas))

        return on_canvas

    def _resized(self, found: CanvasMap) -> CanvasMap:
        return lambda canvas: cv2.resize(found(model_input(canvas, self.input_px)), canvas.shape[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("export", "validation", "data", "photographs", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--masks", type=Path, nargs="+", required=True)
    parser.add_argument("--name", required=True, help="key of the figures in --out")
    parser.add_argument("--occluded", type=int, default=24, help="photographs of the occlusion, which takes seconds")
    parser.add_argument(
        "--monai", type=int, default=8, help="photographs of MONAI's occlusion, which takes half a minute"
    )
    parser.add_argument("--sanity", type=int, default=24, help="photographs of the sanity check")
    args = parser.parse_args()
    torch.set_num_threads(1)
    facts = read_json(args.export / "export.json")
    grader = grader_from_spec(facts)
    load_strict(grader, args.export / "weights.safetensors")
    network = Network(grader.eval(), (args.export / "model.onnx").read_bytes(), facts["input_px"])
    scorer = Scorer.from_export(args.export, args.validation, args.data / "gradability.json", threads=1)
    samples = read_samples(args, scorer, facts["fold"])
    maps = network.maps()
    figures = {
        "model": facts["model"],
        "input_px": facts["input_px"],
        "photographs": len(samples),
        "grades": np.bincount([sample.row.grade for sample in samples], minlength=5).tolist(),
        "lesions_of_field": float(np.mean([lesion_share(sample) for sample in samples])),
        "tolerance": f"{TOLERANCE:g} of the disc's radius; pointing_game_exact has none",
        "localisation": localisation(samples, maps, {"occlusion": args.occluded, "occlusion_monai": args.monai}),
        "sanity": sanity(samples[: args.sanity], network, facts),
        "machine": describe_machine(),
        "research_use": RESEARCH_USE,
    }
    document = read_json(args.out) if args.out.exists() else {}
    write_json(args.out, document | {args.name: figures})


def read_samples(args: argparse.Namespace, scorer: Scorer, fold: int) -> list[Sample]:
    """Out of fold: of the test part and the validation part of the network's fold."""
    rows = read_splits(args.data / "splits.csv")
    unseen = {row.image_id: row for part in (Split.TEST, Split.VALIDATION) for row in select_split(rows, part, fold)}
    index = read_canvas_index(args.data / "canvases" / "index.csv")
    known = [(int(row.perceptual_hash, 16), row.image_id) for row in index if row.perceptual_hash]
    masks, samples = LesionMasks(args.masks), []
    files = sorted(args.photographs.glob("*.jpg"))
    for path in progress(files, label="photographs", total=len(files)):
        if not masks.has(path.name):
            continue
        data = path.read_bytes()
        if scorer.score(data).status is not Status.SCORED:
            continue
        photograph = scorer.pixel_path.process(data, find_text=False)
        own = int(photograph.perceptual_hash, 16)
        distance, image_id = min(((own ^ other).bit_count(), image_id) for other, image_id in known)
        row = unseen.get(image_id)
        if row is None or distance > SAME_PHOTOGRAPH_BITS:
            continue
        lesions = masks.read(path.name, photograph.height, photograph.width)
        if lesions is not None:
            samples.append(Sample(row, photograph, lesions))
    order = np.random.default_rng(20).permutation(len(samples))
    return [samples[index] for index in order]


def lesion_share(sample: Sample) -> float:
    return float(sample.lesions.sum() / (np.pi * sample.photograph.disc.radius**2))


def localisation(samples: Sequence[Sample], maps: dict[str, CanvasMap], limits: dict[str, int]) -> dict[str, Any]:
    """Figures by map; those of a map that is measured on fewer photographs stand beside the centre prior's on them."""
    priors = [prior(sample) for sample in samples]
    figures = {"centre_prior": summary(samples, priors)}
    for name, on_canvas in maps.items():
        chosen = samples[: limits.get(name)]
        start_s = time.perf_counter()
        canvas_maps = [on_canvas(sample.photograph.canvas) for sample in progress(chosen, label=name)]
        ms = (time.perf_counter() - start_s) / len(chosen) * 1e3
        found = [original(sample, canvas_map) for sample, canvas_map in zip(chosen, canvas_maps, strict=True)]
        figures[name] = {"ms": round(ms, 1), **summary(chosen, found)}
        if name in limits:
            figures[name]["centre_prior_on_them"] = summary(chosen, priors[: len(chosen)])
    return figures


def original(sample: Sample, canvas_map: NDArray[np.float32]) -> NDArray[np.float32]:
    photograph = sample.photograph
    return map_in_original(canvas_map, photograph.window, photograph.width, photograph.height)


def prior(sample: Sample) -> NDArray[np.float32]:
    disc = sample.photograph.disc
    return centre_prior(*sample.lesions.shape, x=disc.x, y=disc.y, radius_px=disc.radius)


def summary(samples: Sequence[Sample], found: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    results: list[Localisation] = [
        localise(each, sample.lesions, radius_px=sample.photograph.disc.radius)
        for each, sample in zip(found, samples, strict=False)
    ]
    return localisation_figures(results, [sample.row.group for sample in samples], **DRAWN)


def sanity(samples: Sequence[Sample], network: Network, facts: dict[str, Any]) -> dict[str, Any]:
    """Spearman's correlation of the trained network's map with that of a randomised one, over photographs."""
    maps = network.maps()
    figures: dict[str, Any] = {}
    for kind, grader in randomised(network.grader, facts).items():
        with tempfile.TemporaryDirectory() as scratch:
            export_onnx(grader, input_px=network.input_px, path=Path(scratch) / "model.onnx")
            random_maps = Network(grader, (Path(scratch) / "model.onnx").read_bytes(), network.input_px).maps()
        for name in ("attribution", "class_activation", "grad_cam_plus_plus", "grad_cam_plus_plus_fine"):
            correlations = np.array([correlation(sample, maps[name], random_maps[name]) for sample in samples])
            figures.setdefault(name, {})[kind] = {
                "mean": float(np.nanmean(correlations)),
                "mean_absolute": float(np.nanmean(np.abs(correlations))),
                "highest": float(np.nanmax(correlations)),
                "undefined": int(np.isnan(correlations).sum()),
                "n": len(samples),
            }
    return figures


def randomised(grader: Grader, facts: dict[str, Any]) -> dict[str, Grader]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        fresh, classifier_alone = grader_from_spec(facts).eval(), grader_from_spec(facts).eval()
    state = grader.state_dict()
    classifier = classifier_alone.backbone.get_classifier()
    kept = {name: value.clone() for name, value in classifier.state_dict().items()}
    classifier_alone.load_state_dict(state)
    with torch.no_grad():
        classifier.load_state_dict({name: torch.randn_like(v) if v.ndim > 1 else v for name, v in kept.items()})
    return {"all_layers": fresh, "classifier": classifier_alone}


def correlation(sample: Sample, trained: CanvasMap, random: CanvasMap) -> float:
    canvas = sample.photograph.canvas
    inside = disc_mask(len(canvas)) > 0
    return rank_correlation(trained(canvas)[inside], random(canvas)[inside])


if __name__ == "__main__":
    main()
