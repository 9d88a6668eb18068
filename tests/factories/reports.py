"""A small report's sources: invented grades, figures by the pipeline's own functions."""

import copy
from functools import cache
from typing import Any

import numpy as np

from dr_pipeline.bundle.decision import Decision
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.baselines import baselines
from dr_pipeline.evaluation.calibration_comparison import compare_calibrations
from dr_pipeline.evaluation.extended_figures import extended_figures
from dr_pipeline.evaluation.external_report import ExternalPhotographs
from dr_pipeline.evaluation.external_report import external_report as external_figures
from dr_pipeline.evaluation.graded_images import Graded
from dr_pipeline.evaluation.image_metrics import all_and_gradable, resampling
from dr_pipeline.evaluation.repeatability import EyePhotograph, repeatability_report
from dr_pipeline.evaluation.site_figures import figures_by_site, thresholds_by_site
from dr_pipeline.evaluation.subgroups import subgroup_report
from dr_pipeline.evaluation.uncertainty_figures import uncertainty_measures
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.reporting.layer_tables import Layers
from dr_pipeline.reporting.plot_style import svg
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.reporting.report_plots import report_figures
from dr_pipeline.schema import GRADES, Eye, Status
from dr_pipeline.tables.history import EpochRow, LayerRow
from dr_pipeline.tables.splits import SplitRow

DECISION = Decision(
    temperature=1.1,
    cut_points=(0.5, 1.5, 2.5, 3.5),
    referable_threshold=0.4,
    review_margin=0.1,
    fitted_on={"split": "validation", "splits_sha256": "a" * 64, "fold": "0"},
)
PARAMS = Evaluation(
    bootstrap_replicates=100,
    bootstrap_seed=1,
    confidence=0.95,
    two_eye_fusion=False,
)


def graded_split(seed: int, n: int, noise: float) -> tuple[dict[str, Any], Graded]:
    """Figures and photographs of a grader that errs with `noise`."""
    return copy.deepcopy(_graded_split(seed, n, noise))


@cache
def _graded_split(seed: int, n: int, noise: float) -> tuple[dict[str, Any], Graded]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, n)
    centre = true + rng.normal(0, noise, n)
    logits = -((np.arange(5) - centre[:, None]) ** 2)
    decided = DECISION.apply(logits)
    groups = [f"p{index // 2}" for index in range(n)]
    statuses = ["ungradable" if index % 17 == 0 else "scored" for index in range(n)]
    sites = ["hill <1>" if index % 4 < 2 else "sea" for index in range(n)]
    report = all_and_gradable(decided, true, groups, statuses, PARAMS)
    measures = uncertainty_measures(decided, DECISION)
    report |= extended_figures(decided, true, groups, statuses, PARAMS, measures=measures)
    report |= {
        "calibration": compare_calibrations(logits, true, groups, PARAMS),
        "baselines": baselines(true, groups, groups, 0, PARAMS, grade=decided.grade),
        "openings": 2,
        "by_eye": {"eyes": 0},
        "by_site": figures_by_site(decided, true, groups, sites, PARAMS),
        "referable_thresholds": {
            "shipped": DECISION.referable_threshold,
            "by_site": thresholds_by_site(decided.referable_probability, true, sites, 0.9),
        },
        "bundle_id": "b" * 16,
    }
    answers = Answers.of_decided(decided, [Status(status) for status in statuses])
    drawn = resampling(PARAMS)
    attributes = {"site": sites, "eye": [("left", "right")[index % 2] for index in range(n)]}
    eyes = [EyePhotograph(f"{group} {index % 20}", "", group) for index, group in enumerate(groups)]
    report |= {
        "subgroups": subgroup_report(answers, true, groups, attributes, drawn, min_photographs=20),
        "repeatability": repeatability_report(answers, true, eyes, drawn),
    }
    names = tuple(f"photo-{index:03d}" for index in range(n))
    return report, Graded(names, true, decided.grade, decided.expected_grade, decided.referable_probability)


@cache
def images() -> dict[str, bytes]:
    """The plots of `sources()`, drawn once: most tests of a page look at its text."""
    return {name: svg(figure) for name, figure in report_figures(sources()).items()}


def history(epochs: int, best: float) -> list[EpochRow]:
    return [
        EpochRow(
            epoch=epoch,
            seconds=20.0,
            train_loss=1.7 / (1 + 0.4 * epoch),
            validation_loss=1.6 / (1 + 0.3 * epoch),
            validation_qwk=best * (1 - 0.7 ** (epoch + 1)),
            learning_rate=float(0.002 * np.cos(epoch / epochs * 1.5)),
            images_per_s=30.0 + epoch,
        )
        for epoch in range(epochs)
    ]


def layer(name: str, kind: str, when: str, channels: int, dead: int, shift: float | None) -> LayerRow:
    return LayerRow(
        layer=name, kind=kind, when=when, channels=channels, dead_channels=dead, mean=0.1, std=1.0, shift=shift
    )


def layers(dead: int) -> Layers:
    """Four layers; after training the second one has `dead` dead channels."""

    def four(when: str, dead: int, shift: float) -> list[LayerRow]:
        return [
            layer("backbone.bn1", "BatchNorm2d", when, 16, 0, shift),
            layer("backbone.<act1>", "ReLU", when, 16, dead, None),
            layer("backbone.bn2", "BatchNorm2d", when, 32, 0, shift / 3),
            layer("backbone.act2", "ReLU", when, 32, 0, None),
        ]

    return {"before": four("before", 0, 1.5), "after": four("after", dead, 0.3)}


def latency(p50_ms: float) -> dict[str, Any]:
    steps = {"read": 0.4, "decode": 0.3 * p50_ms, "pixel path": 0.2 * p50_ms, "network": 0.4 * p50_ms}
    times = {"p50_ms": p50_ms, "p95_ms": 1.3 * p50_ms, "p99_ms": 1.5 * p50_ms}
    more = {
        "interval_95": {key: {"low": 0.9 * value, "high": 1.1 * value} for key, value in times.items()},
        "network_per_s": {"1": 90.0, "32": 120.0},
        "best_batch": 32,
        "peak_memory_mib": 170.0,
    }
    return times | more | {"n": 60, "threads": 1, "batch": 1, "machine": "f" * 16, "steps_ms": steps}


def rejected(n: int) -> dict[str, Any]:
    shares = {
        str(g): {"value": g / 100, "low": 0.0, "high": g / 100 + 0.05, "n": n // 5, "rejected": g * n // 500}
        for g in GRADES
    }
    every = {"value": 0.02, "low": 0.01, "high": 0.04, "n": n, "rejected": n // 50}
    return {"all": every, "by_grade": shares, "by_site": [{"site": "clinic <A>"} | every], "reasons": {"blurred": 2}}


REDUCED = {
    "parity": {"n": 130, "changed_grades": 3, "changed_referrals": 1, "max_probability_difference": 0.02},
    "qwk_difference": {"value": -0.002, "low": -0.007, "high": 0.001, "n": 130},
    "speedup": 1.84,
}


def sources(*, warnings: tuple[str, ...] = (), adapter: str = "synthetic") -> Sources:
    validation = {
        name: graded_split(seed, 130, noise)[0] for seed, (name, noise) in enumerate((("lite0", 0.5), ("b0", 0.7)))
    }
    test, graded = graded_split(9, 124, 0.9)
    by_grade = {str(grade): 20 + grade for grade in GRADES}
    line = {"parameters": 3_376_133, "input_px": 224, "family": "efficientnet", "threads": 1, "qwk_behind_leader": None}
    candidates = [
        line
        | {
            "candidate": name,
            "model": model,
            "qwk": validation[name]["qwk"],
            "referable_sensitivity": validation[name]["referable_sensitivity"],
            **{key: latency(p50)[key] for key in ("p50_ms", "p95_ms", "p99_ms")},
            "verdict": verdict,
            "reasons": [],
            "megabytes": 13.5,
            "against_float32": against_float32,
        }
        for name, model, p50, verdict, against_float32 in (
            ("lite0", "tf_efficientnet_lite0", 14.0, "chosen", None),
            ("b0", "efficientnet_b0", 21.0, "tie, not taken", REDUCED),
        )
    ]
    training = {"epochs": 8, "seconds": 90.0, "device": "cpu", "model": "m", "best_epoch": 7}
    return Sources(
        intake={
            "adapter": adapter,
            "provenance": {"name": "phantom <b>", "licence": "CC0"},
            "ungraded": 3,
            "unreadable": ["x.jpg"],
            "readings": {"photographs": 20, "readings": 40, "unanimous": 15},
        },
        audit={
            "photographs": 660,
            "used": 650,
            "counts": {"identical": 5, "cross_patient": 2},
            "actions": {"identical": "report", "cross_patient": "report"},
            "excluded": [{"image_id": "x", "reason": "contradiction"}],
            "warnings": list(warnings),
        },
        split={
            "photographs": 640,
            "groups": 320,
            "photographs_of_unknown_patients": 0,
            "patients_said": "patients known",
            "asked": {"test": "share", "validation": "folds"},
            "shared_between_parts": {"patient": 0, "group": 0},
            "parts": {
                "test": {"by_grade": by_grade},
                "fold 0": {"by_grade": by_grade},
                "fold 1": {"by_grade": by_grade},
            },
        },
        gradability={
            "thresholds": {
                "default": 0.02,
                "min_score": 0.02,
                "max_rejected_share": 0.1,
                "sites": [{"site": "clinic <A>", "threshold": 0.01}],
            },
            "development": rejected(500),
            "test": rejected(124),
        },
        training={"lite0-0": training, "b0-0": training},
        layers={"lite0-0": layers(dead=3), "b0-0": layers(dead=0)},
        histories={"lite0-0": history(8, 0.85), "b0-0": history(8, 0.8)},
        validation=validation,
        latency={"lite0": latency(14.0), "b0": latency(21.0)},
        selection={
            "chosen": "lite0",
            "rule": "The rule in one sentence.",
            "candidates": candidates,
            "limits": {
                "families": ["efficientnet"],
                "latency_budget_ms": 55.0,
                "referable_sensitivity_floor": 0.8,
                "max_megabytes": None,
                "max_memory_mib": 300.0,
            },
            "target": "machine",
            "machine": "f" * 16,
            "cascades": [
                {
                    "small": "lite0",
                    "large": "b0",
                    **dict.fromkeys(("qwk", "qwk_minus_small", "qwk_minus_large"), validation["b0"]["qwk"]),
                    "asked_share": 0.123,
                    "mean_ms": 15.0,
                    "p95_ms_at_most": 30.0,
                    "reasons": ["the large network is never asked"],
                    "name": "",
                    "deployed": False,
                }
            ],
        },
        test=test,
        graded=graded,
        bundle={
            "bundle_id": "b" * 16,
            "version": "0.1.0",
            "intended_use": "Research use only. Not a medical device. For tests.",
            "model": {
                "model": "tf_efficientnet_lite0",
                "fold": 0,
                "parameters": 3_376_133,
                "input_px": 224,
                "loss": "cross_entropy",
                "ensemble": {"members": [{"fold": 0, "seed": 20}], "views": ["identity"], "combine": "mean"},
                "weights": "none",
                "sha256": "c" * 64,
                "parity": {"n": 130, "changed_grades": 0},
            },
            "data_hashes": {"splits_sha256": "a" * 64, "canvas_index_sha256": "d" * 64},
            "development": {"cameras": {"camera <1>": 500}, "sites": {"hill <1>": 250, "sea": 250}},
            "preprocessing": {"pixel_path": {"version": 2, "canvas_px": 256, "arm": "none"}},
            "decision": DECISION.to_dict(),
            "required_packages_version": {"numpy": "2.3"},
            "export_versions": {"torch": "2.15.0"},
        },
        machine={
            "cpu": "Test CPU",
            "usable_cores": 2,
            "logical_cores": 2,
            "memory_gib": 8,
            "system": "Linux",
            "architecture": "x86_64",
            "fingerprint": "f" * 16,
        },
        external={},
    )


def external_report(n: int = 150) -> dict[str, Any]:
    """What `validate-external` reports of another data set; of every sixth file the network graded nothing."""
    return copy.deepcopy(_external_report(n))


@cache
def _external_report(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(9)
    true = rng.integers(0, 5, n)
    answered = np.flatnonzero(np.arange(n) % 6 != 5)
    logits = -((np.arange(5) - (true + rng.normal(0, 0.9, n))[answered, None]) ** 2)
    rows = [
        SplitRow(
            image_id=f"far-{index}",
            patient_id=f"p{index // 2}",
            eye=(Eye.LEFT, Eye.RIGHT)[index % 2],
            group=f"p{index // 2}",
            grade=grade,
            split="test",
        )
        for index, grade in enumerate(true.tolist())
    ]
    statuses = [Status.SCORED if index % 6 != 5 else Status.FAILED for index in range(n)]
    photographs = ExternalPhotographs(rows, statuses, answered, logits)
    answers, groups, drawn = photographs.answers(DECISION), [row.group for row in rows], resampling(PARAMS)
    attributes = {"eye": [f"{row.eye}" for row in rows]}
    eyes = [EyePhotograph(group, "", group) for group in groups]
    targets = OperatingPoint(target_referable_sensitivity=0.9, human_review_share=0.1)
    return {
        "name": "far",
        "bundle_id": "b" * 16,
        "protocol": {"adapter": "folder", "patients_known": True},
        "left_out": {"ungraded": 3, "excluded_by_audit": 2, "seen": 0, "same_patients": 0},
        "warnings": ["copies <b> are left out"],
        "by_status": {"scored": len(answered), "failed": n - len(answered)},
        **external_figures(DECISION, graded_split(5, 130, 0.6)[0], photographs, PARAMS, targets),
        "subgroups": subgroup_report(answers, true, groups, attributes, drawn, min_photographs=20),
        "repeatability": repeatability_report(answers, true, eyes, drawn),
    }
