"""Selects the candidate to deploy, by one rule on validation figures and latency; the test split is not used.

It also says which network for lesions the bundle gets, where params.yaml has a section `lesions`.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("candidates", "deployment", "evaluation", "lesions")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--validation", type=Path, required=True, help="parent of the folders that `validate` wrote")
    parser.add_argument("--validation-reports", type=Path, required=True, help="folder of the validation figures")
    parser.add_argument("--latency", type=Path, required=True, help="folder of the latencies")
    parser.add_argument("--exports", type=Path, required=True, help="parent of the folders that `export` wrote")
    parser.add_argument("--cascades", type=Path, help="parent of the folders that `cascade` wrote; without: none")
    parser.add_argument("--cascade-figures", type=Path, help="the figures that `cascade` wrote")
    parser.add_argument("--report", type=Path, required=True, help="the choice to write")


def run(args: argparse.Namespace) -> Outcome:
    """Reads the candidates' figures, applies the rule, writes the table.

    Raises:
        GateError: No candidate is deployable, or their figures cannot be compared.
        DataError: A file or an entry of it is missing.
        ParamsError: A section is wrong, or nothing says which of several networks for lesions is to be deployed.
    """
    from dr_pipeline.deployment.format_gate import FormatGate
    from dr_pipeline.deployment.selection import Limits
    from dr_pipeline.deployment.selection_document import select_candidate
    from dr_pipeline.deployment.selection_inputs import CandidatePaths, read_candidates, read_cascades
    from dr_pipeline.files import write_json
    from dr_pipeline.metrics.intervals import format_estimate
    from dr_pipeline.params.evaluation import Deployment, Evaluation
    from dr_pipeline.params.params_file import load_names, load_section
    from dr_pipeline.tracking.run import tracked

    deployment = load_section(args.params, "deployment", Deployment)
    evaluation = load_section(args.params, "evaluation", Evaluation)
    lesions = deployment.lesion_network(load_names(args.params, "lesions"))
    paths = CandidatePaths(
        args.exports, args.validation, args.validation_reports, args.latency, args.cascades, args.cascade_figures
    )
    candidates, unwritten = read_candidates(
        load_names(args.params, "candidates"), deployment.formats.names, paths, target=deployment.target
    )
    cascades, pairs = read_cascades(paths, target=deployment.target)
    limits = Limits(
        families=deployment.families,
        latency_budget_ms=deployment.latency_budget_ms,
        referable_sensitivity_floor=deployment.referable_sensitivity_floor,
        max_megabytes=deployment.max_megabytes,
        max_memory_mib=deployment.max_memory_mib,
    )
    with tracked("select") as tracker:
        selection, document = select_candidate(
            candidates,
            limits,
            FormatGate.of(deployment),
            unwritten=unwritten,
            cascades=cascades,
            pairs=pairs,
            replicates=evaluation.bootstrap_replicates,
            seed=evaluation.bootstrap_seed,
            confidence=evaluation.confidence,
        )
        write_json(args.report, document | {"target": deployment.target, "lesions": lesions})
        tracker.params({"selection.chosen": selection.chosen, "selection.leader": selection.leader})
    chosen = (candidates | cascades)[selection.chosen].summary
    others = ", ".join(f"{row.name}: {row.verdict}" for row in selection.rows if row.name != selection.chosen)
    return Outcome(
        wrote=(args.report,),
        headline=f"chosen {selection.chosen}: validation QWK {format_estimate(chosen.qwk)}, p95 {chosen.p95_ms:.1f} ms"
        + (f"; {others}" if others else ""),
        next_command="dvc repro package",
    )
