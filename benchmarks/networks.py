"""Latency of one photograph in each network of a recipe: as exported, from model input to logits.

python -m benchmarks.networks --out FILE.json

Weights are random, which does not affect latency. One thread, one photograph at a time, networks interleaved. Decoding
and preprocessing are the same for all and excluded; `dvc repro latency` measures from file to grade.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from torch import nn

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.formats.onnx_graph import export_onnx
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.models.ensemble import Ensemble, Weighted
from dr_pipeline.models.grader import Grader, create_grader, num_parameters
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.section import validate
from dr_pipeline.recipes.compose import recipe_text

WARM_UP = 3


def untrained_grader(candidate: Candidate) -> Grader:
    return create_grader(
        candidate.model, input_px=candidate.input_px, drop_rate=0.0, drop_path_rate=0.0, network=candidate.network
    ).eval()


def export(grader: Grader, candidate: Candidate, path: Path) -> OnnxModel:
    views = candidate.ensemble.views
    network: nn.Module = grader if views == ("identity",) else Ensemble([grader], views, Weighted.uniform(len(views)))
    export_onnx(network.eval(), input_px=candidate.input_px, path=path)
    return OnnxModel(path, threads=1)


def summarise(name: str, candidate: Candidate, grader: Grader, milliseconds: list[float]) -> dict[str, Any]:
    p50, p95 = np.percentile(milliseconds[WARM_UP:], [50, 95])
    return {
        "candidate": name,
        "model": candidate.model,
        "input_px": candidate.input_px,
        "views": list(candidate.ensemble.views),
        "parameters": num_parameters(grader),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "n": len(milliseconds) - WARM_UP,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="aptos2019")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    section = yaml.safe_load(recipe_text(args.recipe))["candidates"]
    candidates = {name: validate(values, Candidate, where=name) for name, values in section.items()}
    graders = {name: untrained_grader(candidate) for name, candidate in candidates.items()}
    with TemporaryDirectory() as folder:
        models = {
            name: export(graders[name], candidate, Path(folder) / f"{name}.onnx")
            for name, candidate in candidates.items()
        }
        latencies_ms: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(WARM_UP + args.rounds):
            for name, model in models.items():
                image = np.zeros((1, model.input_px, model.input_px, 3), np.uint8)
                start_s = time.perf_counter()
                model.logits(image)
                latencies_ms[name].append(1000 * (time.perf_counter() - start_s))
    rows = [summarise(name, candidates[name], graders[name], latencies_ms[name]) for name in models]
    write_json(args.out, {"recipe": args.recipe, "threads": 1, "networks": rows, "machine": describe_machine()})
    for row in rows:
        print(f"{row['candidate']:<10} {row['p50_ms']:>7.1f} {row['p95_ms']:>7.1f} ms, views {len(row['views'])}")


if __name__ == "__main__":
    main()
