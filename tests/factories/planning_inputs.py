"""Invented fingerprints, machines and costs for the tests of planning."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.planning.colours import Colours
from dr_pipeline.planning.costs import estimated_seconds
from dr_pipeline.planning.fingerprint import Fingerprint
from dr_pipeline.planning.inputs import Asked, MeasuredLatency
from dr_pipeline.planning.machine import Machine
from dr_pipeline.planning.networks import NETWORKS
from dr_pipeline.recipes.compose import recipe_text

CPU = Machine(cores=2, memory_gib=16.0, gpu="", gpu_memory_gib=0.0, compiler=True)
GPU = Machine(cores=16, memory_gib=128.0, gpu="Test GPU", gpu_memory_gib=24.0, compiler=False)
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


def document(recipe: str = "synthetic") -> dict[str, Any]:
    return dict(yaml.safe_load(recipe_text(recipe)))


def asked(told: Fingerprint | None = None, *, recipe: str = "synthetic", machine: Machine = CPU, **more: Any) -> Asked:
    present = document(recipe)
    values: dict[str, Any] = {
        "fingerprint": told or fingerprint(),
        "machine": machine,
        "present": present,
        "weights": "present",
        "minutes": None,
        "latency_ms": present["deployment"]["latency_budget_ms"],
        "latency": None,
        "cost": cost,
        "seconds": lambda model, px, counted: estimated_seconds(counted, machine),
    }
    return Asked(**(values | more))


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """Anything that `read_fingerprint` and a user could hand over, on a machine with memory for a small network."""
    by_grade = draw(st.tuples(*[st.integers(0, 30_000)] * 5).filter(lambda counts: sum(counts) >= 2))
    cameras = draw(st.dictionaries(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(1, 9), min_size=1))
    disc = draw(st.floats(40, 6000))
    told = fingerprint(
        by_grade,
        groups_by_grade=tuple(draw(st.integers(min(count, 1), count)) for count in by_grade),
        cameras=cameras,
        disc_px=(disc, disc, disc),
    )
    latency = st.none() | st.builds(MeasuredLatency, st.just("lite0"), st.floats(0.1, 30), st.floats(0.1, 100))
    machine = draw(st.sampled_from([CPU, GPU, Machine(1, 4.0, "", 0.0, False)]))
    known = {} if draw(st.booleans()) else {"seconds": None}
    return asked(
        told,
        **known,
        recipe=draw(st.sampled_from(["synthetic", "idrid", "eyepacs", "messidor2_google"])),
        machine=machine,
        weights=draw(st.sampled_from(["present", "timm", "none"])),
        minutes=draw(st.none() | st.floats(0.01, 1e5)),
        latency=draw(latency),
        latency_ms=draw(st.floats(60, 1000)),
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
