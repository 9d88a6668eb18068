"""Invented fingerprints, machines and costs for the tests of planning."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.params.root import Params
from dr_pipeline.params.section import validate
from dr_pipeline.planning.costs import estimated_seconds
from dr_pipeline.planning.fingerprint import Colours, Fingerprint
from dr_pipeline.planning.networks import NETWORKS
from dr_pipeline.planning.plan_inputs import MeasuredLatency, PlanInputs, TrainingMachine
from dr_pipeline.recipes.compose import recipe_text

CPU = TrainingMachine(cores=2, memory_gib=16.0, gpu="", gpu_memory_gib=0.0, compiler=True)
GPU = TrainingMachine(cores=16, memory_gib=128.0, gpu="Test GPU", gpu_memory_gib=24.0, compiler=False)
COLOURS = Colours(10, (0.5, 0.3, 0.1), (0.2, 0.1, 0.1), (0.1, 0.1, 0.1))


def cost(model: str, input_px: int) -> Complexity:
    """Heavier by the place in the list and by the square of the side."""
    size = 1 + [network.model for network in NETWORKS].index(model)
    pixels = input_px**2
    return Complexity(
        4_000_000 * size, 8_000 * size * pixels, 8_000 * size * pixels, 130 * size * pixels, 1_500 * pixels
    )


def fingerprint(by_grade: tuple[int, ...] = (300, 60, 200, 80, 60), **more: Any) -> Fingerprint:
    photographs = sum(by_grade)
    values: dict[str, Any] = {
        "photographs": photographs,
        "validation_photographs": photographs // 6,
        "by_grade": by_grade,
        "groups_by_grade": tuple((count + 1) // 2 for count in by_grade),
        "patients": photographs // 2,
        "sites": {"": photographs},
        "cameras": {"": photographs},
        "megapixels": (4.0, 8.0, 12.0),
        "disc_px": (1500.0, 2000.0, 2500.0),
        "canvas_px": 512,
        "ungradable_share": 0.04,
        "colours": COLOURS,
    }
    return Fingerprint(**(values | more))


def params(recipe: str = "synthetic", *, weights: str | None = None, families: list[str] | None = None) -> Params:
    """The parameters of a recipe; `weights` are those of its candidate lite0."""
    document = yaml.safe_load(recipe_text(recipe))
    if weights is not None:
        document["candidates"]["lite0"]["weights"] = weights
    if families is not None:
        document["deployment"]["families"] = families
    return validate(document, Params, where=recipe)


def plan_inputs(
    data: Fingerprint | None = None, *, present: Params | None = None, machine: TrainingMachine = CPU, **more: Any
) -> PlanInputs:
    present = present or params()
    values: dict[str, Any] = {
        "fingerprint": data or fingerprint(),
        "machine": machine,
        "params": present,
        "weights": "present",
        "minutes": None,
        "latency_ms": present.deployment.latency_budget_ms,
        "latency": None,
        "cost": cost,
        "seconds": lambda model, px, counted: estimated_seconds(counted, machine),
    }
    return PlanInputs(**(values | more))


@st.composite
def any_inputs(draw: st.DrawFn) -> PlanInputs:
    """Anything that `read_fingerprint` and a user could give, on a machine with memory for a small network."""
    by_grade = draw(st.tuples(*[st.integers(0, 30_000)] * 5).filter(lambda counts: sum(counts) >= 2))
    cameras = draw(st.dictionaries(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(1, 9), min_size=1))
    disc = draw(st.floats(40, 6000))
    data = fingerprint(
        by_grade,
        groups_by_grade=tuple(draw(st.integers(min(count, 1), count)) for count in by_grade),
        cameras=cameras,
        disc_px=(disc, disc, disc),
    )
    latency = st.none() | st.builds(MeasuredLatency, st.just("lite0"), st.floats(0.1, 30), st.floats(0.1, 100))
    machine = draw(st.sampled_from([CPU, GPU, TrainingMachine(1, 4.0, "", 0.0, False)]))
    seconds = {} if draw(st.booleans()) else {"seconds": None}
    return plan_inputs(
        data,
        **seconds,
        present=params(draw(st.sampled_from(["synthetic", "idrid", "eyepacs", "messidor2_google"]))),
        machine=machine,
        weights=draw(st.sampled_from(["present", "timm", "package", "none"])),
        minutes=draw(st.none() | st.floats(0.01, 1e5)),
        latency=draw(latency),
        latency_ms=draw(st.floats(60, 1000)),
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
