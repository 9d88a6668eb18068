"""A proposal as people and programs read it: a table, and plan.json."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from dr_pipeline.params.yaml_text import on_one_line
from dr_pipeline.planning.inputs import Asked
from dr_pipeline.planning.proposal import Proposal
from dr_pipeline.planning.rules import Reason
from dr_pipeline.schema import RESEARCH_USE

SCHEMA_VERSION = 1


def plan_json(asked: Asked, proposal: Proposal, *, measured: bool) -> dict[str, Any]:
    """All that was looked at and all that is proposed."""
    return {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "fingerprint": asdict(asked.fingerprint) | {"imbalance": round(asked.fingerprint.imbalance, 3)},
        "machine": asdict(asked.machine),
        "limits": {"minutes": asked.minutes, "latency_ms": asked.latency_ms, "weights": asked.weights},
        "measured_latency": None if asked.latency is None else asdict(asked.latency),
        "training_photographs": proposal.training_photographs,
        "minutes": proposal.minutes,
        "minutes_are": _how_known(measured=measured, known=proposal.minutes is not None),
        "values": proposal.values,
        "candidates": proposal.candidates,
        "reasons": [asdict(reason) for reason in proposal.reasons],
        "left_out": [asdict(one) for one in proposal.left_out],
    }


def table(asked: Asked, proposal: Proposal, *, measured: bool) -> str:
    """What is proposed and why, in lines for a terminal."""
    data, machine = asked.fingerprint, asked.machine
    patients = f"{data.patients} patients" if data.patients else "patients unknown"
    lines = [
        f"data: {data.photographs} development photographs ({patients}), {proposal.training_photographs} train; "
        f"grades 0–4: {', '.join(map(str, data.by_grade))} ({data.imbalance:.1f} to 1)",
        f"      sites: {_named(data.sites)}; cameras: {_named(data.cameras)}; {data.megapixels[1]:g} megapixels, disc "
        f"{data.disc_px[1]:.0f} px (medians); ungradable: {_share(data.ungradable_share)}",
        f"      red, green, blue inside the disc: {_three(data.colours.mean)}, std {_three(data.colours.std)} "
        f"({data.colours.photographs} canvases)",
        f"split: left as it is, since other folds draw another test part; the rarest grade is in {data.rarest_groups} "
        "groups",
        f"machine: {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.gpu or 'no GPU'}",
        "",
    ]
    for (key, value, why), names in _merged(proposal.reasons).items():
        whose = f" of {', '.join(names)}" if names else ""
        now = "" if names else _now(asked.present, key, value)
        lines += [f"{key}{whose}: {value}{now}", f"    {why}"]
    lines += [f"left out: {one.name}\n    {one.why}" for one in proposal.left_out]
    time = _how_known(measured=measured, known=proposal.minutes is not None)
    total = "" if proposal.minutes is None else f"about {proposal.minutes:.0f} min, "
    return "\n".join([*lines, "", f"all trainings: {total}{time}", RESEARCH_USE])


def _how_known(*, measured: bool, known: bool) -> str:
    if not known:
        return "no estimate for this GPU; --measure times some steps"
    return "from steps timed on this machine" if measured else "an estimate; --measure times some steps"


def _merged(reasons: Iterable[Reason]) -> dict[tuple[str, str, str], list[str]]:
    """Key, value and reason, each once, with the candidates that it is of; none where it is of all."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for reason in reasons:
        key, names = reason.key, []
        if key.startswith("candidates."):
            _, name, key = key.split(".", 2)
            names = [name]
        why = f"{reason.why} [{reason.source}]" if reason.source else reason.why
        merged.setdefault((key, on_one_line(reason.value), why), []).extend(names)
    return merged


def _now(present: Mapping[str, Any], dotted: str, proposed: str) -> str:
    """What is in params.yaml, where something else is proposed."""
    value: Any = present
    for key in dotted.split("."):
        value = value[key]
    text = on_one_line(value)
    return "" if text == proposed else f" (now {text})"


def _named(counts: Any) -> str:
    return str(len(counts)) if any(counts) else "unknown"


def _share(share: float | None) -> str:
    return "not known yet" if share is None else f"{share:.1%}"


def _three(values: Iterable[float]) -> str:
    return "/".join(f"{value:.3f}" for value in values)
