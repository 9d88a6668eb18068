"""`tracked(…)`: the MLflow run of a stage while it runs. Tracking never stops a stage."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dr_pipeline.tracking.guard import guarded, switched_on
from dr_pipeline.tracking.layout import CANDIDATE_STAGES, PIPELINE_STAGES, Item, Layout


@contextmanager
def tracked(stage: str, *, candidate: str = "", fold: int | None = None) -> Iterator["Run"]:
    """Records a stage in MLflow; the stage writes its files inside the block.

    A training has its own run, live from the first epoch; export, validate and latency resume the run of the
    training whose files lie there. The other stages share one run per pipeline state. At the end of the block the
    run is brought up to date with the stage's files, so that `dr-pipeline track rebuild` gives the same.

    All stages but `train` open the store at their end, which takes about 1.5 s; a stage that fails is marked.

    Args:
        stage: A stage's name in dvc.yaml, such as `train`.
        candidate: The matrix item, for the stages that have one; `report` gives it to add to a candidate's run.
        fold: Its fold; where it is None, the deployed one: the first of `folds`.

    Yields:
        The run. Where tracking is off or broken its methods do nothing.
    """
    run = Run(stage, candidate, fold) if switched_on() else Run("", "", None)
    run.begin()
    try:
        yield run
    except KeyboardInterrupt:
        run.end("KILLED")
        raise
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


class Run:
    """One stage's run. A failing tracker is reported once on standard error, then disabled."""

    def __init__(self, stage: str, candidate: str, fold: int | None) -> None:
        self._stage, self._candidate, self._fold = stage, candidate, fold
        self._broken = not stage  # an empty stage: tracking is off
        self._live: Any = None  # a session.Session once the store is open
        self._held: list[Callable[[Any], None]] = []

    def params(self, values: Mapping[str, Any]) -> None:
        """Shows parameters beside those of params.yaml."""
        self._send(lambda live: live.log_params(values))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Shows figures; with a `step` (the epoch) as points of curves in the group `epoch`."""
        self._send(lambda live: live.log_metrics(values, step))

    def artifact(self, path: Path) -> None:
        """Copies a file into the run."""
        self._send(lambda live: live.log_artifact(path))

    def picture(self, name: str, data: bytes) -> None:
        """Adds an image to the run, such as `confusion.png`."""
        self._send(lambda live: live.log_picture(name, data))

    def begin(self) -> None:
        """Opens a training's run at once; the others wait, since opening the store takes longer than some of them."""
        if self._stage == "train":
            self._guard(self._open)

    def end(self, status: str) -> None:
        """Brings the run up to date with the stage's files and closes it with MLflow's `status`."""

        def close() -> None:
            if self._live is None:
                self._open()
            for call in self._held:
                call(self._live)
            self._live.end(status)
            if status == "FINISHED" and self._stage in ("test", "external"):
                from dr_pipeline.tracking import registry

                show = registry.show_test if self._stage == "test" else registry.show_external
                show(self._live.store, self._live.layout)

        self._guard(close)

    def _send(self, call: Callable[[Any], None]) -> None:
        if self._live is None:
            self._held.append(call)
        else:
            self._guard(lambda: call(self._live))

    def _open(self) -> None:
        from dr_pipeline.tracking import session, store

        root = store.files_root(Path.cwd())
        layout = Layout.at(root)
        if self._candidate and self._stage in CANDIDATE_STAGES:
            fold = layout.deployed_fold() if self._fold is None else self._fold
            self._live = session.item_session(store.Store(root), layout, Item(self._candidate, fold), self._stage)
        elif self._stage in PIPELINE_STAGES:
            self._live = session.pipeline_session(store.Store(root), layout, self._stage)
        else:
            raise ValueError(f"no stage {self._stage!r} in tracking/layout.py")

    def _guard(self, call: Callable[[], None]) -> None:
        """The first failure is reported; this run then does nothing more."""
        if not self._broken:
            self._broken = not guarded(call)
