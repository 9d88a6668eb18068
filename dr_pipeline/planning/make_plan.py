"""Plans from files to files: reads the tables and reports of the stages, writes plan.json and params.proposed.yaml."""

from dataclasses import dataclass
from pathlib import Path

from dr_pipeline.errors import ParamsError
from dr_pipeline.files import write_json, write_text
from dr_pipeline.params.root import load_params
from dr_pipeline.params.yaml_text import with_values
from dr_pipeline.planning.costs import NetworkCosts, TrainingSeconds
from dr_pipeline.planning.fingerprint import read_fingerprint
from dr_pipeline.planning.plan_inputs import PlanInputs, WeightsChoice, read_latency, this_machine
from dr_pipeline.planning.plan_report import plan_json
from dr_pipeline.planning.proposal import Proposal, propose


@dataclass(frozen=True)
class PlanOptions:
    """Files and limits of a plan."""

    params: Path  # the present parameters
    audited: Path  # what `audit` wrote
    splits: Path  # what `split` wrote
    canvases: Path  # folder that `preprocess` wrote
    gradability: Path  # report of `gradability`; may be missing
    selection: Path  # report of `select`; may be missing
    latency: Path  # folder of the reports of `latency`; may be missing
    out: Path  # folder to write
    weights: WeightsChoice = "present"  # where initial weights come from
    budget_minutes: float | None = None  # for all trainings together; None: no limit
    latency_ms: float | None = None  # from file to grade; None: that of the parameters
    measure: bool = False  # time some training steps instead of estimating them

    @property
    def proposed(self) -> Path:
        """The parameter file to write."""
        return self.out / "params.proposed.yaml"

    @property
    def report(self) -> Path:
        """The plan as JSON."""
        return self.out / "plan.json"


def make_plan(options: PlanOptions) -> tuple[PlanInputs, Proposal]:
    """Reads, proposes and writes; nothing is written where something is missing.

    Raises:
        DataError: A stage has not run, or its files do not fit together.
        ParamsError: The present parameters are wrong, a time budget is given on a GPU without `measure`, or the
            proposal would overwrite the present parameters.
        EnvironmentProblem: No network fits this machine or the latency budget.
    """
    inputs = _read_inputs(options)
    proposal = propose(inputs)
    text = with_values(options.params.read_text(encoding="utf-8"), proposal.values, proposal.candidates)
    write_text(options.proposed, text)
    load_params(options.proposed)
    write_json(options.report, plan_json(inputs, proposal, measured=options.measure))
    return inputs, proposal


def _read_inputs(options: PlanOptions) -> PlanInputs:
    params, machine, costs = load_params(options.params), this_machine(), NetworkCosts()
    if options.proposed.exists() and options.proposed.samefile(options.params):
        raise ParamsError(
            "the proposal would overwrite the parameters it is made from",
            where=str(options.proposed),
            todo="give another folder with --out",
        )
    if options.budget_minutes and machine.gpu and not options.measure:
        raise ParamsError(
            "the time of a step is estimated for CPUs only",
            where="--budget-minutes",
            todo="add --measure, which times some steps on this GPU",
        )
    return PlanInputs(
        fingerprint=read_fingerprint(
            audited=options.audited,
            splits=options.splits,
            canvases=options.canvases,
            gradability=options.gradability,
        ),
        machine=machine,
        params=params,
        weights=options.weights,
        minutes=options.budget_minutes,
        latency_ms=options.latency_ms or params.deployment.latency_budget_ms,
        latency=read_latency(options.selection, options.latency, costs),
        cost=costs,
        seconds=TrainingSeconds(machine, measure=options.measure) if options.measure or not machine.gpu else None,
    )
