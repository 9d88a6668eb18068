"""Trains one candidate on one fold: a network for each seed of its ensemble, from files to files."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.files import sha256_file, sha256_json, write_json
from dr_pipeline.logs import logger
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.initialise import unpinned_sources
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.schema import Split
from dr_pipeline.tables.history import EpochRow, write_history, write_layers
from dr_pipeline.tables.readings import read_readings
from dr_pipeline.tables.splits import read_splits, select_split
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.data.targets import readings_by_photograph
from dr_pipeline.training.launcher import is_first_process
from dr_pipeline.training.loop import FitOptions
from dr_pipeline.training.run_identity import provenance, require_disjoint
from dr_pipeline.training.run_summary import history_row, member_file, minutes_left, model_facts, training_figures
from dr_pipeline.training.seed_teacher import learns_from_seeds, with_teacher
from dr_pipeline.training.trainer import TrainedNetwork, TrainingData, train_network

_STOP_HINT = "run `dr-pipeline train` with the same arguments and --take-best"


@dataclass(frozen=True)
class CandidateRun:
    """The inputs of one candidate's training on one fold.

    Attributes:
        name: The candidate's key in params.yaml.
        fold: The fold that validates.
        candidate: The network and its schedule.
        params: Settings that all candidates share.
        data: Photographs and grades of the fold.
        data_facts: Pixel path, and hashes of the split and of the canvases; part of model.json.
        readings_sha256: Of the table of readings.
    """

    name: str
    fold: int
    candidate: Candidate
    params: Training
    data: TrainingData
    data_facts: dict[str, Any]
    readings_sha256: str

    @property
    def seeds(self) -> list[int]:
        """One for each network of the ensemble."""
        return [self.params.seed + number for number in range(self.candidate.ensemble.seeds)]

    def tracked_params(self) -> dict[str, Any]:
        """The parameters for an experiment tracker, flat at the top level."""
        shared = self.params.model_dump(mode="json")
        return {**self.candidate.model_dump(mode="json"), **{f"training.{key}": value for key, value in shared.items()}}

    @property
    def has_student(self) -> bool:
        """Whether the networks only teach another one, which is kept alone."""
        return learns_from_seeds(self.candidate, self.params, where=f"params.yaml, candidates.{self.name}.ensemble")

    def checkpoints(self, scratch: Path) -> list[Checkpoint]:
        """The checkpoint of each network, a student's last; its key covers everything that the training depends on."""
        key = {
            **self.data_facts,
            # how members are combined changes none of them: a stopped training resumes with fewer or more members
            "candidate": self.candidate.model_dump(mode="json", exclude={"ensemble"}),
            "training": self.params.model_dump(mode="json"),
            "fold": self.fold,
            "readings_sha256": self.readings_sha256,
            **provenance(self.candidate.weights, self.params.distillation.teacher),
        }
        folder = scratch / f"{self.name}-{self.fold}"
        members = [
            Checkpoint(folder / f"member-{number}", sha256_json({**key, "seed": seed}))
            for number, seed in enumerate(self.seeds)
        ]
        student = Checkpoint(folder / "student", sha256_json({**key, "teacher_seeds": self.seeds}))
        return [*members, student] if self.has_student else members


def read_candidate_run(
    params: Path, name: str, fold: int, *, canvases: Path, splits: Path, readings: Path
) -> CandidateRun:
    """Reads the inputs of a candidate's training.

    Args:
        params: params.yaml.
        name: A key of its `candidates`.
        fold: The fold that validates.
        canvases: Folder that `preprocess` wrote.
        splits: Table that `split` wrote.
        readings: Table of several readers' grades that `intake` wrote.

    Raises:
        ParamsError: A parameter is wrong, or a bundle that is named there was trained on photographs that validate.
        DataError: A table is missing or wrong, or a part of the fold is empty.
    """
    training = load_section(params, "training", Training)
    candidate = load_section(params, f"candidates.{name}", Candidate)
    store, rows = CanvasStore(canvases), read_splits(splits)
    hashes = {"splits_sha256": sha256_file(splits), "canvas_index_sha256": sha256_file(store.index_path)}
    for source, key in (
        (candidate.weights, f"candidates.{name}.weights"),
        (training.distillation.teacher, "training.distillation.teacher"),
    ):
        require_disjoint(source, where=f"{params}, {key}", fold=fold, **hashes)
    return CandidateRun(
        name=name,
        fold=fold,
        candidate=candidate,
        params=training,
        data=TrainingData(
            store,
            select_split(rows, Split.TRAIN, fold),
            select_split(rows, Split.VALIDATION, fold),
            readings_by_photograph(read_readings(readings)),
        ),
        data_facts={"pixel_path": store.pixel_path.to_dict(), **hashes},
        readings_sha256=sha256_file(readings),
    )


@dataclass(frozen=True)
class EpochReport:
    """An epoch of a candidate's training, for a tracker and a progress plot.

    Attributes:
        row: The epoch, counted over all networks of the candidate.
        network: Number of the network, from 0.
        history: The network's epochs so far.
        minutes_left: Of the whole candidate.
        folder: The network's scratch folder.
    """

    row: EpochRow
    network: int
    history: Sequence[EpochRow]
    minutes_left: float
    folder: Path

    def metrics(self) -> dict[str, float]:
        """The figures of the epoch by name."""
        return {key: float(value) for key, value in asdict(self.row).items() if key != "epoch"}


@dataclass(frozen=True)
class TrainedCandidate:
    """The networks of a candidate, trained on one fold; `checkpoints` can be removed once everything is written."""

    run: CandidateRun
    networks: tuple[TrainedNetwork, ...]
    checkpoints: tuple[Checkpoint, ...]

    @property
    def seeds(self) -> list[int]:
        """Of the networks that are kept."""
        return self.run.seeds[:1] if self.run.has_student else self.run.seeds

    def figures(self) -> dict[str, Any]:
        """The entry of the training's report."""
        return training_figures(self.run.candidate, self.networks, self.seeds)

    def write(self, folder: Path, *, history: Path, layers: Path, report: Path) -> None:
        """Writes weights and model.json into `folder`, the tables of epochs and of layers, and the report."""
        for number, network in enumerate(self.networks):
            write_tensors(network.grader.state_dict(), folder / member_file(number))
        write_json(
            folder / "model.json",
            {
                "schema_version": 1,
                "candidate": self.run.name,
                "fold": self.run.fold,
                **model_facts(
                    self.run.candidate,
                    self.run.params,
                    self.networks,
                    self.seeds,
                    self.run.seeds if self.run.has_student else (),
                ),
                **self.run.data_facts,
                "versions": {package: version(package) for package in ("timm", "torch")},
            },
        )
        epochs = [
            history_row(row, self.run.candidate, number)
            for number, network in enumerate(self.networks)
            for row in network.fit.history
        ]
        write_history(history, epochs)
        write_layers(layers, self.networks[0].layers)
        write_json(report, {"training": {f"{self.run.name}-{self.run.fold}": self.figures()}})


def train_candidate(
    run: CandidateRun,
    *,
    scratch: Path,
    take_best: bool = False,
    on_epoch: Callable[[EpochReport], None] = lambda _report: None,
) -> TrainedCandidate:
    """Trains the networks of a candidate one after another, or resumes from their checkpoints.

    Args:
        run: From `read_candidate_run`.
        scratch: Folder for unfinished training.
        take_best: Train no further: take the best finished epoch.
        on_epoch: Called after each epoch (rank 0 only).

    Raises:
        DrPipelineError: See train_network.
        KeyboardInterrupt: After a message that states what is saved.
    """
    if is_first_process():
        for source in unpinned_sources(run.candidate.weights, run.params.distillation.teacher):
            logger.warning(
                "%s is not pinned: `dvc repro` does not detect when it changes; write its sha256, or a bundle's id, "
                "behind a # in params.yaml",
                source,
            )
    checkpoints = run.checkpoints(scratch)

    def train(number: int, seed: int, data: TrainingData, *, is_first: bool) -> TrainedNetwork:
        checkpoint = checkpoints[number]

        def report(row: EpochRow) -> None:
            history = [EpochRow(**finished) for finished in checkpoint.history]
            on_epoch(
                EpochReport(
                    row=history_row(row, run.candidate, number),
                    network=number,
                    history=history,
                    minutes_left=minutes_left(history, run.candidate, number, len(checkpoints)),
                    folder=checkpoint.path.parent,
                )
            )

        options = FitOptions(seed, checkpoint, report, take_best=take_best, stop_hint=_STOP_HINT)
        return train_network(run.candidate, run.params, data, options, collect_layer_stats=is_first)

    networks = [
        train(number, seed, run.data, is_first=number == 0 and not run.has_student)
        for number, seed in enumerate(run.seeds)
    ]
    if run.has_student:
        taught = with_teacher(run.data, [network.grader for network in networks], run.candidate)
        networks = [train(len(run.seeds), run.params.seed, taught, is_first=True)]
    return TrainedCandidate(run, tuple(networks), tuple(checkpoints))
