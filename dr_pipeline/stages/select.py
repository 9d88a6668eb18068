"""Chooses the candidate to deploy, by one rule on validation figures and latency; the test split is not looked at."""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("candidates", "deployment", "evaluation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--validation", type=Path, required=True, help="parent of the folders that `validate` wrote")
    parser.add_argument("--validation-reports", type=Path, required=True, help="folder of the validation figures")
    parser.add_argument("--latency", type=Path, required=True, help="folder of the latencies")
    parser.add_argument("--exports", type=Path, required=True, help="parent of the folders that `export` wrote")
    parser.add_argument("--report", type=Path, required=True, help="the choice to write")


def run(args: argparse.Namespace) -> Outcome:
    """Reads the candidates' figures, applies the rule, writes the table."""
    from dr_pipeline.bundle.metadata import said
    from dr_pipeline.deployment import selection
    from dr_pipeline.deployment.candidates import compare_paired, read_candidate, table
    from dr_pipeline.files import write_json
    from dr_pipeline.params.evaluation import Deployment, Evaluation
    from dr_pipeline.params.params_file import load_names, load_section
    from dr_pipeline.schema import RESEARCH_USE
    from dr_pipeline.tracking.run import tracked

    deployment = load_section(args.params, "deployment", Deployment)
    evaluation = load_section(args.params, "evaluation", Evaluation)
    candidates = {
        name: read_candidate(
            name,
            export=args.exports / name / "export.json",
            predictions=args.validation / name / "predictions.csv",
            validation=args.validation_reports / f"{name}.json",
            latency=args.latency / f"{name}.json",
        )
        for name in load_names(args.params, "candidates")
    }
    limits = selection.Limits(
        families=deployment.families,
        latency_budget_ms=deployment.latency_budget_ms,
        referable_sensitivity_floor=deployment.referable_sensitivity_floor,
    )
    with tracked("select") as run_:
        selected = selection.select(
            [candidate.entrant for candidate in candidates.values()],
            limits,
            lambda first, second: compare_paired(
                candidates[first],
                candidates[second],
                replicates=evaluation.bootstrap_replicates,
                seed=evaluation.bootstrap_seed,
                confidence=evaluation.confidence,
            ),
        )
        chosen = candidates[selected.chosen].entrant
        write_json(
            args.report,
            {
                "schema_version": selection.SCHEMA_VERSION,
                "research_use": RESEARCH_USE,
                "chosen": selected.chosen,
                "leader": selected.leader,
                "rule": selection.RULE,
                "limits": limits.to_dict(),
                "machine": chosen.machine,
                "candidates": table(selected, candidates),
            },
        )
        run_.params({"selection.chosen": selected.chosen, "selection.leader": selected.leader})
    others = ", ".join(f"{line.name}: {line.verdict}" for line in selected.lines if line.name != selected.chosen)
    return Outcome(
        wrote=(args.report,),
        headline=f"chosen {selected.chosen}: validation QWK {said(chosen.qwk)}, p95 {chosen.p95_ms:.1f} ms"
        + (f"; {others}" if others else ""),
        next_command="dvc repro package",
    )
