"""A proposal as a text for a terminal and as plan.json."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from dr_pipeline.params.root import Params
from dr_pipeline.params.yaml_text import on_one_line
from dr_pipeline.planning.plan_inputs import PlanInputs
from dr_pipeline.planning.proposal import Proposal
from dr_pipeline.planning.rules import Reason
from dr_pipeline.schema import RESEARCH_USE

SCHEMA_VERSION = 1


def plan_json(inputs: PlanInputs, proposal: Proposal, *, measured: bool) -> dict[str, Any]:
    """All inputs and all that is proposed."""
    return {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "fingerprint": asdict(inputs.fingerprint) | {"imbalance": round(inputs.fingerprint.imbalance, 3)},
        "machine": asdict(inputs.machine),
        "limits": {"minutes": inputs.minutes, "latency_ms": inputs.latency_ms, "weights": inputs.weights},
        "measured_latency": None if inputs.latency is None else asdict(inputs.latency),
        "training_photographs": proposal.training_photographs,
        "minutes": proposal.minutes,
        "minutes_are": _basis(measured=measured, known=proposal.minutes is not None),
        "values": proposal.values,
        "candidates": proposal.candidates,
        "reasons": [asdict(reason) for reason in proposal.reasons],
        "left_out": [asdict(network) for network in proposal.left_out],
    }


def format_plan(inputs: PlanInputs, proposal: Proposal, *, measured: bool) -> str:
    """What is proposed and why, as lines for a terminal."""
    data, machine = inputs.fingerprint, inputs.machine
    patients = f"{data.patients} patients" if data.patients else "patients unknown"
    lines = [
        f"data: {data.photographs} development photographs ({patients}), {proposal.training_photographs} train; "
        f"grades 0–4: {', '.join(map(str, data.by_grade))} ({data.imbalance:.1f} to 1)",
        f"      sites: {_known(data.sites)}; cameras: {_known(data.cameras)}; {data.megapixels[1]:g} megapixels, disc "
        f"{data.disc_px[1]:.0f} px (medians); ungradable: {_percent(data.ungradable_share)}",
        f"      red, green, blue inside the disc: {_triple(data.colours.mean)}, std {_triple(data.colours.std)} "
        f"({data.colours.photographs} canvases)",
        f"split: unchanged, since other folds would change the test part; the rarest grade is in {data.rarest_groups} "
        "groups",
        f"machine: {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.gpu or 'no GPU'}",
        "",
    ]
    for (key, value, why), names in _merged(proposal.reasons).items():
        owners = f" of {', '.join(names)}" if names else ""
        present = "" if names else _present(inputs.params, key, value)
        lines += [f"{key}{owners}: {value}{present}", f"    {why}"]
    lines += [f"left out: {network.name}\n    {network.why}" for network in proposal.left_out]
    time = _basis(measured=measured, known=proposal.minutes is not None)
    total = "" if proposal.minutes is None else f"about {proposal.minutes:.0f} min, "
    return "\n".join([*lines, "", f"all trainings: {total}{time}", RESEARCH_USE])


def _basis(*, measured: bool, known: bool) -> str:
    if not known:
        return "no estimate for this GPU; --measure times some steps"
    return "from steps timed on this machine" if measured else "an estimate; --measure times some steps"


def _merged(reasons: Iterable[Reason]) -> dict[tuple[str, str, str], list[str]]:
    """Key, value and reason, each once, with the candidates that have it; none where it is of all."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for reason in reasons:
        key, names = reason.key, []
        if key.startswith("candidates."):
            _, name, key = key.split(".", 2)
            names = [name]
        why = f"{reason.why} [{reason.source}]" if reason.source else reason.why
        merged.setdefault((key, on_one_line(reason.value), why), []).extend(names)
    return merged


def _present(params: Params, dotted: str, proposed: str) -> str:
    """The value in params.yaml, where another one is proposed."""
    value: Any = params
    for key in dotted.split("."):
        value = getattr(value, key)
    text = on_one_line(value)
    return "" if text == proposed else f" (now {text})"


def _known(counts: Any) -> str:
    return str(len(counts)) if any(counts) else "unknown"


def _percent(fraction: float | None) -> str:
    return "not known yet" if fraction is None else f"{fraction:.1%}"


def _triple(values: Iterable[float]) -> str:
    return "/".join(f"{value:.3f}" for value in values)
